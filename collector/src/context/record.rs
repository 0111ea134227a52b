//! Records of class container that no probe writes: containers that were there at the start, and what runtimes say.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use weir_schema::loss::CPU_COLLECTOR;
use weir_schema::record::at;
use weir_schema::wire::{HEADER_SIZE, offset_of};
use weir_schema::{CLASSES, Class, ClassId};

use super::Container;
use crate::names::Metadata;

const CLASS: &Class = CLASSES[ClassId::Container.index()];
/// Bytes of column `labels`; a tail of a record has at most 65,535.
const LABELS_BYTES_MAX: usize = 60_000;
const BITS: usize = HEADER_SIZE + offset_of(CLASS.fields, "bits");

/// The bytes of a record of this action about a container.
pub fn container_record(
    action: u16,
    container: &Container,
    metadata: Option<&Metadata>,
    seq: i64,
    ktime_ns: i64,
) -> Vec<u8> {
    let (labels, cut) = metadata.map(|m| labels(&m.labels)).unwrap_or_default();
    let text = |of: fn(&Metadata) -> Option<&str>| metadata.and_then(of).unwrap_or_default();
    let tails: Vec<(&str, &str)> = vec![
        ("cgroup_path", &container.cgroup_path),
        ("digest", text(|m| m.image_digest.as_deref())),
        ("labels", &labels),
        ("pod_name", text(|m| m.pod.as_deref())),
        ("pod_namespace", text(|m| m.namespace.as_deref())),
        ("pod_uid", text(|m| m.pod_uid.as_deref())),
    ];
    let layout = CLASS.layout();
    let mut bytes = vec![0; layout.fixed];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(at::ACTION, &action.to_le_bytes());
    put(at::CPU, &CPU_COLLECTOR.to_le_bytes());
    put(at::SEQ, &seq.to_le_bytes());
    put(at::KTIME_NS, &ktime_ns.to_le_bytes());
    put(at::CONTAINER_CGROUP, &container.cgroup.to_le_bytes());
    put(BITS, &u32::from(cut || metadata.is_some_and(|m| m.labels_cut)).to_le_bytes());
    for (name, text) in tails {
        let tail = CLASS.tail(name).unwrap_or_default();
        let text = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
        bytes[layout.tail_lengths + 2 * tail..][..2].copy_from_slice(&(text.len() as u16).to_le_bytes());
        bytes.extend_from_slice(text);
    }
    let size = bytes.len() as u32;
    bytes[at::SIZE..at::SIZE + 4].copy_from_slice(&size.to_le_bytes());
    bytes
}

/// As one JSON object, without the last ones if it would be too long, and whether it would; nothing if there is none.
fn labels(labels: &BTreeMap<String, String>) -> (String, bool) {
    let (mut kept, mut bytes) = (Map::new(), 2);
    for (name, value) in labels {
        let value = Value::from(value.as_str());
        // With the colon and the comma.
        bytes += Value::from(name.as_str()).to_string().len() + value.to_string().len() + 2;
        if bytes > LABELS_BYTES_MAX {
            break;
        }
        kept.insert(name.clone(), value);
    }
    let cut = kept.len() < labels.len();
    (if kept.is_empty() { String::new() } else { Value::Object(kept).to_string() }, cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Containers;
    use crate::texts::Texts;
    use weir_schema::record::Record;

    #[test]
    fn a_record_of_a_container_is_a_record_of_its_class() {
        let (mut containers, mut texts) = (Containers::default(), Texts::default());
        let path = format!("/docker/{}", "ab".repeat(32));
        containers.made(7, path.as_bytes(), true, &mut texts);
        let container = containers.iter().next().expect("one");
        for action in CLASS.actions {
            let bytes = container_record(action.id, container, None, 3, 5);
            let record = Record::parse(&bytes).expect("whole");
            assert_eq!((record.seq(), record.ktime_ns(), record.container_cgroup()), (3, 5, 7));
            assert!(!record.in_task());
            let tail = |name: &str| record.tail(CLASS.tail(name).expect("a tail"));
            assert_eq!((tail("cgroup_path"), tail("labels")), (path.as_bytes(), &b""[..]));
        }
    }

    #[test]
    fn labels_are_one_json_object() {
        assert_eq!(labels(&BTreeMap::new()), (String::new(), false));
        let one = labels(&BTreeMap::from([("a\"b".into(), "c".into())]));
        assert_eq!(one, (r#"{"a\"b":"c"}"#.into(), false));
        let many: BTreeMap<String, String> = (0..5000).map(|i| (format!("{i:04}"), "\u{1}".repeat(8))).collect();
        let (text, cut) = labels(&many);
        assert!(cut && text.len() <= LABELS_BYTES_MAX);
        assert!(serde_json::from_str::<Value>(&text).is_ok());
    }
}
