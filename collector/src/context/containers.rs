//! Containers: which cgroup belongs to which, and what their runtime says of them.
//!
//! A cgroup is learnt when it is made, so its container is known before the first event inside. Names come later, from the
//! runtime's own socket; rows that went out before have the id and no name.

mod rule;

use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;

use weir_schema::record::Record;

use super::{CGROUP_PATH, shape};
use crate::names::Metadata;
use crate::texts::{TextId, Texts};

pub use rule::{Rule, is_id};

/// Cgroups that are known at once; beyond it those that were removed first go, then none is added.
pub const CGROUPS_MAX: usize = 1 << 16;
/// How long a removed cgroup stays known, ns: its last events can come behind its end.
const GRACE_NS: i64 = 30_000_000_000;

/// One container.
#[derive(Debug, Clone)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its cgroup's path, from the root of the hierarchy.
    pub cgroup_path: String,
    /// Id of that cgroup.
    pub cgroup: u64,
    /// Its name, as soon as it is known.
    pub name: Option<String>,
    /// Its name is known, or that there is none.
    is_answered: bool,
    texts: [TextId; 4],
    cgroups: u32,
}

impl Container {
    /// `container_id`, `container_name`, `container_image`, `runtime`.
    pub fn texts(&self) -> [TextId; 4] {
        self.texts
    }
}

/// A cgroup and what the filter says of it, for the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Id of the cgroup.
    pub cgroup: u64,
    /// It belongs to a container.
    pub inside: bool,
    /// The filter by id and name keeps it.
    pub wanted: bool,
    /// It is gone.
    pub gone: bool,
}

/// All that are known.
#[derive(Default)]
pub struct Containers {
    /// The container of each known cgroup; `None`: the host's.
    cgroups: HashMap<u64, Option<u32>, FixedState>,
    list: HashMap<u32, Container, FixedState>,
    by_id: HashMap<String, u32, FixedState>,
    next: u32,
    removed: VecDeque<(u64, i64)>,
    unknown: u64,
    refused: u64,
    rule: Rule,
    verdicts: Vec<Verdict>,
    /// Ids that nobody has asked the runtime for.
    new_ids: Vec<String>,
}

impl Containers {
    /// The container of a cgroup, if it is one's.
    pub fn of_cgroup(&mut self, cgroup: u64) -> Option<&Container> {
        match self.cgroups.get(&cgroup) {
            Some(container) => self.list.get(&(*container)?),
            None => {
                self.unknown += 1;
                None
            }
        }
    }

    /// A cgroup was made, or was there at the start.
    pub fn made(&mut self, cgroup: u64, path: &[u8], texts: &mut Texts) {
        let path = String::from_utf8_lossy(path);
        if self.cgroups.len() >= CGROUPS_MAX {
            let Some((gone, _)) = self.removed.pop_front() else {
                self.refused += 1;
                return;
            };
            self.forget(gone);
        }
        let container = shape::container_of(&path).map(|(id, runtime)| self.add(&id, runtime, cgroup, &path, texts));
        if let Some(Some(old)) = self.cgroups.insert(cgroup, container) {
            self.release(old);
        }
        self.judge(cgroup);
    }

    fn add(&mut self, id: &str, runtime: &str, cgroup: u64, path: &str, texts: &mut Texts) -> u32 {
        if let Some(known) = self.by_id.get(id) {
            let container = self.list.entry(*known);
            container.and_modify(|container| container.cgroups += 1);
            return *known;
        }
        let number = self.next;
        self.next += 1;
        let (is_machine, text) = (!shape::is_oci_id(id), texts.plain(id.as_bytes()));
        let container = Container {
            id: id.to_owned(),
            cgroup_path: path.to_owned(),
            cgroup,
            // Machines are called by their id, and no socket knows them.
            name: is_machine.then(|| id.to_owned()),
            is_answered: is_machine,
            texts: [text, if is_machine { text } else { TextId::NONE }, TextId::NONE, texts.plain(runtime.as_bytes())],
            cgroups: 1,
        };
        self.list.insert(number, container);
        self.by_id.insert(id.to_owned(), number);
        if !is_machine {
            self.new_ids.push(id.to_owned());
        }
        number
    }

    /// A cgroup was removed. It stays known for a while.
    pub fn removed(&mut self, cgroup: u64, ktime_ns: i64) {
        self.removed.push_back((cgroup, ktime_ns));
        while let Some((gone, at)) = self.removed.front().copied()
            && (at.saturating_add(GRACE_NS) < ktime_ns || self.removed.len() > CGROUPS_MAX)
        {
            self.removed.pop_front();
            self.forget(gone);
        }
    }

    fn forget(&mut self, cgroup: u64) {
        let container = self.cgroups.remove(&cgroup).flatten();
        self.verdicts.push(Verdict { cgroup, inside: container.is_some(), wanted: false, gone: true });
        if let Some(container) = container {
            self.release(container);
        }
    }

    fn release(&mut self, number: u32) {
        let Some(container) = self.list.get_mut(&number) else { return };
        container.cgroups -= 1;
        if container.cgroups == 0
            && let Some(gone) = self.list.remove(&number)
        {
            self.by_id.remove(&gone.id);
        }
    }

    /// The container that a record of class container is about: one whose own cgroup it is.
    pub fn own(&self, cgroup: u64, path: &[u8]) -> Option<&Container> {
        let container = self.list.get(&self.cgroups.get(&cgroup).copied()??)?;
        shape::is_own(&String::from_utf8_lossy(path)).then_some(container)
    }

    /// Whether a record of class container becomes a row: of a container's own cgroup. Of the filters by containers it
    /// is the container that counts, and not the runtime's process that makes the cgroup.
    pub fn has_row(&self, record: &Record<'_>) -> bool {
        let container = self.own(record.container_cgroup(), record.tail(CGROUP_PATH));
        container.is_some_and(|container| self.rule.keeps_where(true) && self.rule.keeps(Some(container)))
    }

    /// What the runtime says of a container; returns it with what it has now. `None`: it is gone.
    pub fn named(&mut self, metadata: &Metadata, texts: &mut Texts) -> Option<Container> {
        let number = *self.by_id.get(&metadata.id)?;
        let container = self.list.get_mut(&number)?;
        let text = |value: Option<&str>, texts: &mut Texts| value.map_or(TextId::NONE, |v| texts.plain(v.as_bytes()));
        container.texts[1] = text(metadata.name.as_deref(), texts);
        container.texts[2] = text(metadata.image.as_deref(), texts);
        container.texts[3] = text(Some(metadata.runtime.name()), texts);
        container.name = metadata.name.clone();
        container.is_answered = true;
        let container = container.clone();
        self.judge_all_of(number);
        Some(container)
    }

    /// No runtime knows a container, or none could be asked.
    pub fn nameless(&mut self, id: &str) {
        let Some(number) = self.by_id.get(id).copied() else { return };
        if let Some(container) = self.list.get_mut(&number) {
            container.is_answered = true;
        }
        self.judge_all_of(number);
    }

    fn judge_all_of(&mut self, number: u32) {
        let cgroups: Vec<u64> = self.cgroups.iter().filter(|(_, c)| **c == Some(number)).map(|(id, _)| *id).collect();
        cgroups.into_iter().for_each(|cgroup| self.judge(cgroup));
    }

    /// Puts a filter by id and name in force.
    pub fn set_rule(&mut self, rule: Rule) {
        self.rule = rule;
        let all: Vec<u64> = self.cgroups.keys().copied().collect();
        all.into_iter().for_each(|cgroup| self.judge(cgroup));
    }

    fn judge(&mut self, cgroup: u64) {
        let container = self.cgroups.get(&cgroup).copied().flatten().and_then(|number| self.list.get(&number));
        let verdict = Verdict { cgroup, inside: container.is_some(), wanted: self.rule.keeps(container), gone: false };
        self.verdicts.push(verdict);
    }

    /// Whether the filters keep a record of this cgroup, written in an inner pid namespace or not.
    pub fn keeps(&self, cgroup: u64, is_inner: bool) -> bool {
        if self.rule.is_open() {
            return true;
        }
        // Of one that is not known (its making was lost, or it went while nobody read) nothing can be said.
        let Some(number) = self.cgroups.get(&cgroup) else { return true };
        let container = number.and_then(|number| self.list.get(&number));
        self.rule.keeps_where(container.is_some() || is_inner) && self.rule.keeps(container)
    }

    /// What the kernel's filter is to be told.
    pub fn take_verdicts(&mut self) -> Vec<Verdict> {
        std::mem::take(&mut self.verdicts)
    }

    /// Ids that came since the last call.
    pub fn take_new_ids(&mut self) -> Vec<String> {
        std::mem::take(&mut self.new_ids)
    }

    /// Containers that are known.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Every container.
    pub fn iter(&self) -> impl Iterator<Item = &Container> {
        self.list.values()
    }

    /// Look-ups of cgroups that were not known, and cgroups that found no room.
    pub fn unknown(&self) -> (u64, u64) {
        (self.unknown, self.refused)
    }

    /// Every text that is held, to be renumbered.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut TextId> {
        self.list.values_mut().flat_map(|container| &mut container.texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Runtime;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn metadata(name: &str, image: Option<&str>) -> Metadata {
        Metadata {
            id: ID.to_owned(),
            runtime: Runtime::Podman,
            name: Some(name.to_owned()),
            image: image.map(str::to_owned),
            image_digest: None,
            labels: Default::default(),
            labels_cut: false,
            pod: None,
            namespace: None,
            pod_uid: None,
        }
    }

    fn path() -> Vec<u8> {
        format!("/docker/{ID}").into_bytes()
    }

    #[test]
    fn a_container_is_known_from_its_cgroup_until_the_last_of_its_cgroups_is_long_gone() {
        let (mut containers, mut texts) = (Containers::default(), Texts::default());
        containers.made(7, &path(), &mut texts);
        containers.made(8, &[&path()[..], b"/init.scope"].concat(), &mut texts);
        containers.made(9, b"/system.slice", &mut texts);
        assert_eq!(containers.take_new_ids(), [ID]);
        assert_eq!(containers.of_cgroup(8).map(|c| c.id.as_str()), Some(ID));
        assert!(containers.of_cgroup(9).is_none());
        assert!(containers.own(7, &path()).is_some());
        assert!(containers.own(8, &[&path()[..], b"/init.scope"].concat()).is_none());
        containers.removed(8, 0);
        containers.removed(7, 1);
        assert!(containers.of_cgroup(7).is_some(), "late events still find it");
        containers.removed(99, GRACE_NS + 2);
        assert_eq!((containers.len(), containers.unknown().0), (0, 0));
        assert!(containers.of_cgroup(7).is_none());
        assert_eq!(containers.unknown().0, 1);
    }

    #[test]
    fn a_name_comes_later_and_completes_what_is_known() {
        let (mut containers, mut texts) = (Containers::default(), Texts::default());
        assert!(containers.named(&metadata("web", None), &mut texts).is_none());
        containers.made(7, &path(), &mut texts);
        let container = containers.named(&metadata("web", Some("nginx:1")), &mut texts).expect("known");
        let [id, name, image, runtime] = container.texts().map(|text| texts.get(text).to_owned());
        assert_eq!([id.as_str(), &name, &image, &runtime], [ID, "web", "nginx:1", "podman"]);
    }

    #[test]
    fn the_kernel_is_told_of_every_cgroup_and_again_when_the_name_or_the_filter_decides_otherwise() {
        let (mut containers, mut texts) = (Containers::default(), Texts::default());
        containers.set_rule(Rule::new(None, &["web".into()], &[]));
        containers.made(7, &path(), &mut texts);
        containers.made(9, b"/", &mut texts);
        let verdict = |cgroup, inside, wanted| Verdict { cgroup, inside, wanted, gone: false };
        assert_eq!(containers.take_verdicts(), [verdict(7, true, true), verdict(9, false, false)], "no name yet: kept");
        containers.named(&metadata("db", None), &mut texts);
        assert_eq!(containers.take_verdicts(), [verdict(7, true, false)]);
        assert!(!containers.keeps(7, true) && !containers.keeps(9, false));
        containers.set_rule(Rule::new(Some(false), &[], &[]));
        assert!(!containers.keeps(7, false) && containers.keeps(9, false) && !containers.keeps(9, true));
    }
}
