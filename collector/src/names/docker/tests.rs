use bollard::models::{ContainerConfig, SystemVersionComponents};

use super::*;

fn inspected(name: &str) -> ContainerInspectResponse {
    let labels = [("io.kubernetes.pod.name".to_owned(), "web-1".to_owned())].into();
    let config = ContainerConfig { image: Some("web:7".into()), labels: Some(labels), ..Default::default() };
    ContainerInspectResponse {
        name: Some(name.into()),
        image: Some("sha256:aa".into()),
        config: Some(config),
        ..Default::default()
    }
}

#[test]
fn one_leading_slash_is_no_part_of_a_name() {
    let names = ["/web", "web", "//web"].map(|name| raw(inspected(name)).name);
    assert_eq!(names, [Some("web".into()), Some("web".into()), Some("/web".into())]);
}

#[test]
fn image_and_labels_are_those_of_the_configuration() {
    let raw = raw(inspected("/web"));
    assert_eq!((raw.image.as_deref(), raw.image_digest.as_deref()), (Some("web:7"), Some("sha256:aa")));
    assert_eq!(raw.labels.len(), 1);
}

#[test]
fn an_answer_without_anything_has_no_names() {
    assert_eq!(raw(ContainerInspectResponse::default()), Raw::default());
}

#[test]
fn podman_says_what_it_is() {
    let of = |name: &str| {
        let component = SystemVersionComponents { name: name.into(), ..Default::default() };
        runtime(&SystemVersion { components: Some(vec![component]), ..Default::default() })
    };
    assert_eq!([of("Podman Engine"), of("Engine")], [Runtime::Podman, Runtime::Docker]);
    assert_eq!(runtime(&SystemVersion::default()), Runtime::Docker);
}
