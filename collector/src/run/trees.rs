//! Processes as the task iterator lists them, and who descends from whom.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use weir_bpf::{Filters, Loaded};
use weir_schema::record::{i64_at, u32_at};
use weir_schema::wire::{HEADER, offset_of};

const PID: usize = offset_of(HEADER, "pid");
const PPID: usize = offset_of(HEADER, "ppid");
const CGROUP: usize = offset_of(HEADER, "cgroup_id");

/// A process's id in a record of the task iterator.
pub fn pid(record: &[u8]) -> u32 {
    u32_at(record, PID)
}

/// Its cgroup there.
pub fn cgroup_id(record: &[u8]) -> u64 {
    i64_at(record, CGROUP) as u64
}

/// The records of the task iterator.
pub fn tasks(bytes: &[u8]) -> Vec<&[u8]> {
    let mut rest = bytes;
    let mut records = vec![];
    while rest.len() >= 4 {
        let size = (u32_at(rest, 0) as usize).clamp(4, rest.len());
        let (record, behind) = rest.split_at(size);
        records.push(record);
        rest = behind;
    }
    records
}

/// The roots and every process below them.
pub fn descendants(tasks: &[&[u8]], roots: &[u32]) -> HashSet<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for task in tasks {
        children.entry(u32_at(task, PPID)).or_default().push(pid(task));
    }
    let mut known: HashSet<u32> = HashSet::new();
    let mut waiting = roots.to_vec();
    while let Some(parent) = waiting.pop() {
        if known.insert(parent) {
            waiting.extend(children.get(&parent).into_iter().flatten());
        }
    }
    known
}

/// Takes every process below the roots of the filters into the subtrees, also those that are forked meanwhile: the programs
/// must let children join already.
///
/// # Errors
/// When the kernel refuses the list, or a table is full.
pub fn follow_all(loaded: &Loaded, filters: &Filters) -> Result<()> {
    for (roots, except) in [(&filters.trees.only, false), (&filters.trees.except, true)] {
        let mut followed = HashSet::new();
        while !roots.is_empty() {
            let there = loaded.tasks()?;
            let before = followed.len();
            for pid in descendants(&tasks(&there), roots) {
                if followed.insert(pid) {
                    loaded.follow(pid, except)?;
                }
            }
            if followed.len() == before {
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(pid: u32, ppid: u32) -> Vec<u8> {
        let size = weir_schema::wire::HEADER_SIZE;
        let mut record = vec![0; size];
        record[..4].copy_from_slice(&(size as u32).to_le_bytes());
        record[PID..PID + 4].copy_from_slice(&pid.to_le_bytes());
        record[PPID..PPID + 4].copy_from_slice(&ppid.to_le_bytes());
        record
    }

    #[test]
    fn a_subtree_is_its_root_and_all_below_whatever_the_order_of_the_list() {
        let bytes = [task(30, 20), task(1, 0), task(20, 10), task(10, 1), task(11, 1)].concat();
        let list = tasks(&bytes);
        assert_eq!(list.len(), 5);
        let pids = |roots: &[u32]| {
            let mut pids: Vec<u32> = descendants(&list, roots).into_iter().collect();
            pids.sort_unstable();
            pids
        };
        assert_eq!(pids(&[10]), [10, 20, 30]);
        assert_eq!(pids(&[11, 20]), [11, 20, 30]);
        assert_eq!(pids(&[]), [0u32; 0]);
    }
}
