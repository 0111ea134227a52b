use super::messages::{ContainerMetadata, ImageSpec, PodSandboxMetadata};
use super::*;

/// A number as it is on the wire; none here needs more than two bytes.
fn number(number: usize) -> Vec<u8> {
    let low = (number & 127) as u8;
    match u8::try_from(number >> 7).unwrap() {
        0 => vec![low],
        high => vec![low | 128, high],
    }
}

/// A field of length-delimited bytes.
fn field(tag: usize, bytes: &[u8]) -> Vec<u8> {
    [number(tag << 3 | 2), number(bytes.len()), bytes.to_vec()].concat()
}

fn pair(key: &str, value: &str) -> Vec<u8> {
    [field(1, key.as_bytes()), field(2, value.as_bytes())].concat()
}

#[test]
fn the_bytes_of_a_container_are_read_and_unknown_fields_skipped() {
    let status = [
        field(1, b"abc"),
        field(2, &[field(1, b"web"), vec![2 << 3, 4]].concat()),
        vec![3 << 3, 1],
        field(8, &field(1, b"shop/web:7")),
        field(9, b"shop/web@sha256:bb"),
        field(12, &pair("io.kubernetes.pod.name", "web-1")),
        field(12, &pair("team", "a")),
        field(13, &pair("annotation", "x")),
        field(31, b"from the future"),
    ];
    let answer = ContainerStatusResponse::decode(&*field(1, &status.concat())).unwrap();
    let raw = of_container(answer.status.unwrap());
    assert_eq!(raw.name.as_deref(), Some("web"));
    assert_eq!(raw.image.as_deref(), Some("shop/web:7"));
    assert_eq!(raw.image_digest.as_deref(), Some("shop/web@sha256:bb"));
    assert_eq!(raw.labels.len(), 2);
}

#[test]
fn the_bytes_of_a_sandbox_name_its_pod() {
    let metadata = [field(1, b"web-1"), field(2, b"4f2c"), field(3, b"shop")].concat();
    let status = [field(1, b"abc"), field(2, &metadata), field(7, &pair("app", "web"))].concat();
    let answer = PodSandboxStatusResponse::decode(&*field(1, &status)).unwrap();
    let metadata = of_sandbox(answer.status.unwrap()).bounded("abc", Runtime::Cri("containerd".into()), 1000);
    assert_eq!(metadata.pod.as_deref(), Some("web-1"));
    assert_eq!(metadata.namespace.as_deref(), Some("shop"));
    assert_eq!(metadata.pod_uid.as_deref(), Some("4f2c"));
    assert_eq!((metadata.name, metadata.image, metadata.labels.len()), (None, None, 1));
}

#[test]
fn what_the_user_wrote_goes_before_what_the_runtime_made_of_it() {
    let image = ImageSpec { image: "sha256:aa".into(), user_specified_image: "web:7".into() };
    let status = ContainerStatus { image: Some(image), ..Default::default() };
    assert_eq!(of_container(status).image.as_deref(), Some("web:7"));
}

#[test]
fn an_answer_without_anything_has_no_names() {
    let metadata = of_container(ContainerStatus::default()).bounded("abc", Runtime::Cri(String::new()), 10);
    assert_eq!((metadata.name, metadata.image, metadata.image_digest, metadata.pod), (None, None, None, None));
    let sandbox = PodSandboxStatus { metadata: Some(PodSandboxMetadata::default()), ..Default::default() };
    assert_eq!(of_sandbox(sandbox).bounded("abc", Runtime::Cri(String::new()), 10).pod, None);
}

#[test]
fn any_bytes_are_an_answer_or_an_error() {
    let metadata = Some(ContainerMetadata { name: "web".into() });
    let status = Some(ContainerStatus { id: "abc".into(), metadata, ..Default::default() });
    let whole = ContainerStatusResponse { status, ..Default::default() }.encode_to_vec();
    for at in 0..whole.len() {
        for byte in 0..=u8::MAX {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            let _ = ContainerStatusResponse::decode(&*bytes);
            let _ = ContainerStatusResponse::decode(&bytes[..at]);
        }
    }
}

#[test]
fn only_what_may_pass_is_trouble() {
    let of = |code| reply(&Status::new(code, "why"));
    assert_eq!(of(Code::NotFound), Reply::Absent);
    assert_eq!(of(Code::Unimplemented), Reply::Absent);
    assert_eq!(of(Code::Unavailable), Reply::Trouble("Unavailable: why".into()));
    assert_eq!(of(Code::OutOfRange), Reply::Refused("OutOfRange: why".into()));
}

#[test]
fn a_verbose_answer_has_the_first_process() {
    let pid = |info: &str| pid_of(&[("info".to_owned(), info.to_owned())].into());
    assert_eq!(pid(r#"{"sandboxID":"ab","pid":4711,"runtimeSpec":{"pid":1}}"#), Some(4711));
    for info in ["", "{", r#"{"pid":0}"#, r#"{"pid":-1}"#, r#"{"pid":"4711"}"#, "{}"] {
        assert_eq!(pid(info), None, "{info}");
    }
    assert_eq!(pid_of(&HashMap::new()), None);
}
