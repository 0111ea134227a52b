//! An answer before it is bounded.

use std::collections::HashMap;

use super::answer::{Metadata, Runtime};
use super::budget::Budget;
use super::place::cgroups_of;

const POD: &str = "io.kubernetes.pod.name";
const NAMESPACE: &str = "io.kubernetes.pod.namespace";
const POD_UID: &str = "io.kubernetes.pod.uid";

/// What both interfaces have in common.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Raw {
    pub name: Option<String>,
    pub image: Option<String>,
    pub image_digest: Option<String>,
    pub labels: HashMap<String, String>,
    /// Where the answer itself names the pod; else its labels do.
    pub pod: Option<Pod>,
    /// Its first process.
    pub pid: Option<u32>,
}

/// A pod.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pod {
    pub name: Option<String>,
    pub namespace: Option<String>,
    pub uid: Option<String>,
}

impl Raw {
    /// With no more text than is allowed. The pod and the image go before the labels.
    pub(super) fn bounded(self, id: &str, runtime: Runtime, bytes_max: usize) -> Metadata {
        let mut budget = Budget::new(bytes_max);
        let pod = self.pod.unwrap_or_else(|| Pod::of_labels(&self.labels));
        Metadata {
            id: id.to_owned(),
            runtime,
            name: budget.text(self.name),
            image: budget.text(self.image),
            image_digest: budget.text(self.image_digest),
            pod: budget.text(pod.name),
            namespace: budget.text(pod.namespace),
            pod_uid: budget.text(pod.uid),
            labels: budget.labels(self.labels),
            labels_cut: budget.cut,
            cgroups: self.pid.map(cgroups_of).unwrap_or_default(),
        }
    }
}

impl Pod {
    fn of_labels(labels: &HashMap<String, String>) -> Pod {
        let label = |key| labels.get(key).cloned();
        Pod { name: label(POD), namespace: label(NAMESPACE), uid: label(POD_UID) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_a_pod() -> Raw {
        let labels = [(POD, "web-1"), (NAMESPACE, "shop"), (POD_UID, "4f2c"), ("note", "a long remark")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Raw { name: Some("web".into()), labels: labels.into(), ..Raw::default() }
    }

    #[test]
    fn labels_name_the_pod() {
        let metadata = in_a_pod().bounded("abc", Runtime::Docker, 1000);
        assert_eq!(metadata.pod.as_deref(), Some("web-1"));
        assert_eq!(metadata.namespace.as_deref(), Some("shop"));
        assert_eq!(metadata.pod_uid.as_deref(), Some("4f2c"));
        assert_eq!((metadata.labels.len(), metadata.labels_cut), (4, false));
    }

    #[test]
    fn the_pod_is_kept_where_its_labels_have_no_room() {
        let metadata = in_a_pod().bounded("abc", Runtime::Docker, 20);
        assert_eq!(metadata.name.as_deref(), Some("web"));
        assert_eq!(metadata.pod_uid.as_deref(), Some("4f2c"));
        assert!(metadata.labels.is_empty() && metadata.labels_cut);
    }

    #[test]
    fn texts_stay_as_they_are() {
        let raw = Raw { name: Some("a\u{1b}[2J\nb".into()), ..Raw::default() };
        assert_eq!(raw.bounded("abc", Runtime::Podman, 1000).name.as_deref(), Some("a\u{1b}[2J\nb"));
    }
}
