//! Class `container`: containers and what their runtime says of them.

use crate::class::{Action, Class, ClassId, Trigger};
use crate::column::{ColumnType::*, Source, TEXT_ESCAPED, column};
use crate::wire::{Wire, field};

/// Columns that only the runtime can fill.
const OF_THE_RUNTIME: &[&str] = &[
    "cgroup_path",
    "runtime",
    "container_image_digest",
    "labels",
    "labels_cut",
    "pod_name",
    "pod_namespace",
    "pod_uid",
];

pub(super) static CONTAINER: Class = Class {
    id: ClassId::Container,
    name: "container",
    doc: "Containers: start, end, and what their runtime says of them.",
    default: true,
    fields: &[field("bits", Wire::U32, "0: labels were left out")],
    tails: &["cgroup_path", "digest", "labels", "pod_name", "pod_namespace", "pod_uid"],
    columns: &[
        column(
            "cgroup_path",
            Text,
            Source::Text { tail: "cgroup_path" },
            "cgroup of the container, from its hierarchy's root",
        ),
        column(
            "runtime",
            Text,
            Source::Collector,
            "who runs it, as the cgroup or the runtime tells: docker, containerd, cri-o, podman, systemd-nspawn, ...",
        ),
        column("container_image_digest", Text, Source::Text { tail: "digest" }, "metadata: digest of the image"),
        column("labels", Text, Source::Text { tail: "labels" }, "metadata: labels as one JSON object"),
        column(
            "labels_cut",
            Bool,
            Source::Bit { field: "bits", bit: 0 },
            "metadata: labels beyond the limit were left out",
        ),
        column("pod_name", Text, Source::Text { tail: "pod_name" }, "metadata: Kubernetes pod"),
        column("pod_namespace", Text, Source::Text { tail: "pod_namespace" }, "metadata: its namespace"),
        column("pod_uid", Text, Source::Text { tail: "pod_uid" }, "metadata: its uid"),
        TEXT_ESCAPED,
    ],
    actions: &[
        Action::new(0x0801, "running", "a container that was there when weir started")
            .sets(&["cgroup_path", "runtime"])
            .trigger(Trigger::Collector),
        Action::new(0x0802, "start", "the cgroup of a container was made, by the process of the row")
            .sets(&["cgroup_path", "runtime"]),
        Action::new(0x0803, "die", "the cgroup of a container was removed").sets(&["cgroup_path", "runtime"]),
        Action::new(0x0804, "metadata", "what the container's runtime says: it completes rows that came before")
            .sets(OF_THE_RUNTIME)
            .trigger(Trigger::Collector),
    ],
};
