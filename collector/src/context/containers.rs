//! Containers: which cgroup belongs to which, and what their runtime says of them.
//!
//! A cgroup is learnt when it is made, so its container is known before the first event inside. Names come later, from the
//! runtime's own socket; rows that went out before have the id and no name.

mod evidence;
mod rule;

use std::collections::{HashMap, HashSet, VecDeque};

use foldhash::fast::FixedState;

use weir_schema::record::Record;

use super::CGROUP_PATH;
use super::shape::{self, Shape};
use crate::names::Metadata;
use crate::texts::{TextId, Texts};

pub use evidence::Evidence;
pub use rule::{Rule, is_id};

/// Cgroups that are known at once; beyond it those that were removed first go, then none is added.
pub const CGROUPS_MAX: usize = 1 << 16;
/// The same of those that others than root made: what they make takes no room from what root makes.
const OTHERS_MAX: usize = CGROUPS_MAX / 2;
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
    /// What says that it is one.
    pub evidence: Evidence,
    /// Its cgroup is inside of one that is another container's by its name.
    is_nested: bool,
    /// Root made its cgroup.
    by_root: bool,
    /// Its name is known, or that there is none.
    is_answered: bool,
    texts: [TextId; TEXTS],
}

/// Texts of a container in a row.
const TEXTS: usize = 5;

impl Container {
    /// `container_id`, `container_name`, `container_image`, `runtime`, `container_evidence`.
    pub fn texts(&self) -> [TextId; TEXTS] {
        self.texts
    }

    /// Whether a filter may leave it out for its id or its name: of what is inside of a container, only its runtime knows them.
    fn may_be_left_out(&self) -> bool {
        self.evidence == Evidence::Confirmed || self.evidence.is_proof() && !self.is_nested
    }

    /// Whether one of these cgroups is its own or below it.
    fn has_one_of(&self, cgroups: &[String]) -> bool {
        let is_below =
            |path: &String| path.strip_prefix(&self.cgroup_path).is_some_and(|r| r.is_empty() || r.starts_with('/'));
        cgroups.iter().any(is_below)
    }
}

/// A container whose runtime is to be asked for its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nameless {
    /// Its id.
    pub id: String,
    /// Where one is that only claims to be it: look-ups of such are few in each place. `None`: root made it.
    pub claimed_in: Option<String>,
}

/// Components of a path that tell one place of claims from another: on a machine with systemd, one user from another.
const PLACE_COMPONENTS: usize = 2;

/// Of the directory that a claim was made in.
fn place_of_claim(own: &str) -> String {
    let parent = own.rsplit_once('/').map_or("", |(parent, _)| parent);
    parent.split('/').filter(|name| !name.is_empty()).take(PLACE_COMPONENTS).flat_map(|name| ["/", name]).collect()
}

/// The container of a path, and how far that is believed.
struct Found<'a> {
    shape: Shape<'a>,
    is_proof: bool,
    is_nested: bool,
}

/// A cgroup and what the filter says of it, for the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Id of the cgroup.
    pub cgroup: u64,
    /// It belongs to a container, as far as the filter believes it.
    pub inside: bool,
    /// The filter by id and name keeps it.
    pub wanted: bool,
    /// It is gone.
    pub gone: bool,
}

/// All that are known.
pub struct Containers {
    /// Each known cgroup.
    cgroups: HashMap<u64, Cgroup, FixedState>,
    /// How many of them others than root made.
    others: usize,
    list: HashMap<u32, Container, FixedState>,
    /// Cgroups of each.
    members: HashMap<u32, HashSet<u64, FixedState>, FixedState>,
    /// Those that are proven, by their id.
    by_id: HashMap<String, u32, FixedState>,
    /// All, by the path of their own cgroup.
    by_path: HashMap<String, u32, FixedState>,
    /// Those that only claim an id.
    claims: HashMap<String, Vec<u32>, FixedState>,
    next: u32,
    /// Those of root, and those of others.
    removed: [VecDeque<(u64, i64)>; 2],
    unknown: u64,
    refused: u64,
    rule: Rule,
    verdicts: Vec<Verdict>,
    /// Those that nobody has asked a runtime for.
    new_ids: Vec<Nameless>,
    /// Containers whose texts are of the generation before.
    to_renew: Vec<u32>,
    /// Bytes of what containers are called; beyond the limit none is added.
    bytes: usize,
    bytes_max: usize,
    /// Of them those of cgroups that others than root made, which have the half of it.
    others_bytes: usize,
}

/// What is known of a cgroup.
#[derive(Debug, Clone, Copy)]
struct Cgroup {
    /// `None`: the host's.
    container: Option<u32>,
    by_root: bool,
}

/// Bytes of a container beside its id, four times, and its path, twice.
const CONTAINER_BYTES: usize = 512;

#[cfg(test)]
impl Default for Containers {
    fn default() -> Containers {
        Containers::new(4 << 20)
    }
}

impl Container {
    /// Carries its texts over to the generation that is now.
    fn renew(&mut self, texts: &mut Texts) {
        self.texts = self.texts.map(|text| texts.renewed(text));
    }

    fn bytes_of(id: &str, path: &str) -> usize {
        CONTAINER_BYTES + 4 * id.len() + 2 * path.len()
    }
}

impl Containers {
    /// None yet; what they are called has at most so many bytes.
    pub fn new(bytes_max: usize) -> Containers {
        Containers {
            cgroups: HashMap::default(),
            others: 0,
            list: HashMap::default(),
            members: HashMap::default(),
            by_id: HashMap::default(),
            by_path: HashMap::default(),
            claims: HashMap::default(),
            next: 0,
            removed: [VecDeque::new(), VecDeque::new()],
            unknown: 0,
            refused: 0,
            rule: Rule::default(),
            verdicts: Vec::new(),
            new_ids: Vec::new(),
            to_renew: Vec::new(),
            bytes: 0,
            bytes_max,
            others_bytes: 0,
        }
    }

    /// The container of a cgroup, if it is one's.
    pub fn of_cgroup(&mut self, cgroup: u64) -> Option<&Container> {
        match self.cgroups.get(&cgroup) {
            Some(known) => self.list.get(&known.container?),
            None => {
                self.unknown += 1;
                None
            }
        }
    }

    /// A cgroup was made, or was there at the start. `by_root`: nobody else can have made it.
    pub fn made(&mut self, cgroup: u64, path: &[u8], by_root: bool, texts: &mut Texts) {
        let path = String::from_utf8_lossy(path);
        let found = self.believed(&path, by_root);
        let has_room = self.make_room(by_root) && found.as_ref().is_none_or(|found| self.has_room_for(found, by_root));
        if !has_room {
            self.refused += 1;
            return;
        }
        let container = found.map(|found| self.add(&found, cgroup, by_root, texts));
        if let Some(number) = container {
            self.members.entry(number).or_default().insert(cgroup);
        }
        self.others += usize::from(!by_root);
        if let Some(old) = self.cgroups.insert(cgroup, Cgroup { container, by_root }) {
            self.others -= usize::from(!old.by_root);
            if let Some(number) = old.container.filter(|_| old.container != container) {
                self.release(number, cgroup);
            }
        }
        self.judge(cgroup);
    }

    /// Room for one more cgroup: what was removed goes, first what others than root made.
    fn make_room(&mut self, by_root: bool) -> bool {
        let is_full = |this: &Containers| this.cgroups.len() >= CGROUPS_MAX || !by_root && this.others >= OTHERS_MAX;
        while is_full(self) {
            let [roots, others] = &mut self.removed;
            let gone = others.pop_front().or_else(|| if by_root { roots.pop_front() } else { None });
            let Some((gone, _)) = gone else { return false };
            self.forget(gone);
        }
        true
    }

    /// Whether there is room for what the container is called, if it is a new one.
    fn has_room_for(&self, found: &Found<'_>, by_root: bool) -> bool {
        let bytes = Container::bytes_of(&found.shape.id, found.shape.own);
        self.known(found).is_some()
            || self.bytes + bytes <= self.bytes_max && (by_root || self.others_bytes + bytes <= self.bytes_max / 2)
    }

    /// The container of a path that counts: the innermost one that is proven, else the innermost. So nobody leaves a container
    /// by making a cgroup inside that claims to be another.
    fn believed<'a>(&self, path: &'a str, by_root: bool) -> Option<Found<'a>> {
        let shapes: Vec<Shape<'a>> = shape::shapes(path).collect();
        let is_proven = |own| self.at(own).is_some_and(|container| container.evidence.is_proof());
        for (i, shape) in shapes.iter().enumerate() {
            let is_known = shape.own != path && self.by_path.contains_key(shape.own);
            let is_proof = if is_known { is_proven(shape.own) } else { shape.is_in_place && by_root };
            let is_nested = i + 1 < shapes.len();
            // Root inside of a container can make a cgroup that has another one's id, and does not become that one by it.
            let is_anothers = is_nested && self.proven(&shape.id).is_some_and(|other| other.cgroup_path != shape.own);
            if is_proof && !is_anothers {
                return Some(Found { shape: shape.clone(), is_proof, is_nested });
            }
        }
        let is_nested = shapes.len() > 1;
        shapes.into_iter().next().map(|shape| Found { shape, is_proof: false, is_nested })
    }

    /// The container whose own cgroup has this path.
    fn at(&self, path: &str) -> Option<&Container> {
        self.list.get(self.by_path.get(path)?)
    }

    /// The one that is proven to have this id.
    fn proven(&self, id: &str) -> Option<&Container> {
        self.list.get(self.by_id.get(id)?)
    }

    fn known(&self, found: &Found<'_>) -> Option<u32> {
        let Found { shape, is_proof, .. } = found;
        // One that is inside of another container is this one only at its own path.
        let is_it = |container: &Container| !container.is_nested || container.cgroup_path == shape.own;
        let by_id = self.by_id.get(&shape.id).filter(|_| *is_proof && self.proven(&shape.id).is_some_and(is_it));
        by_id.or_else(|| self.by_path.get(shape.own).filter(|number| self.has_evidence(**number, *is_proof))).copied()
    }

    fn add(&mut self, found: &Found<'_>, cgroup: u64, by_root: bool, texts: &mut Texts) -> u32 {
        if let Some(known) = self.known(found) {
            return known;
        }
        let Found { shape, is_proof, is_nested } = found;
        let number = self.next;
        self.next += 1;
        let (is_machine, text) = (!shape::is_oci_id(&shape.id), texts.plain(shape.id.as_bytes()));
        let evidence = if *is_proof { Evidence::Cgroup } else { Evidence::Claimed };
        let name = if is_machine { text } else { TextId::NONE };
        let [runtime, evident] = [shape.runtime, evidence.name()].map(|word| texts.plain(word.as_bytes()));
        let container = Container {
            id: shape.id.clone(),
            cgroup_path: shape.own.to_owned(),
            cgroup,
            // Machines are called by their id, and no socket knows them.
            name: is_machine.then(|| shape.id.clone()),
            evidence,
            is_nested: *is_nested,
            by_root,
            is_answered: is_machine,
            texts: [text, name, TextId::NONE, runtime, evident],
        };
        let bytes = Container::bytes_of(&shape.id, shape.own);
        self.bytes += bytes;
        self.others_bytes += if by_root { 0 } else { bytes };
        self.list.insert(number, container);
        self.by_path.insert(shape.own.to_owned(), number);
        if *is_proof {
            if let Some(before) = self.by_id.insert(shape.id.clone(), number) {
                self.only_claims(before, texts);
            }
        } else {
            self.claims.entry(shape.id.clone()).or_default().push(number);
        }
        if !is_machine {
            let claimed_in = (!is_proof).then(|| place_of_claim(shape.own));
            self.new_ids.push(Nameless { id: shape.id.clone(), claimed_in });
        }
        number
    }

    /// Another turned out to have its id: root made that one at the runtime's own place, or the runtime says so.
    fn only_claims(&mut self, number: u32, texts: &mut Texts) {
        let Some(container) = self.list.get_mut(&number) else { return };
        container.evidence = Evidence::Claimed;
        container.texts = [
            container.texts[0],
            TextId::NONE,
            TextId::NONE,
            container.texts[3],
            texts.plain(Evidence::Claimed.name().as_bytes()),
        ];
        container.name = None;
        self.claims.entry(container.id.clone()).or_default().push(number);
        self.judge_all_of(number);
    }

    fn has_evidence(&self, number: u32, is_proof: bool) -> bool {
        self.list.get(&number).is_some_and(|container| container.evidence.is_proof() == is_proof)
    }

    /// A cgroup was removed. It stays known for a while.
    pub fn removed(&mut self, cgroup: u64, ktime_ns: i64) {
        if let Some(known) = self.cgroups.get(&cgroup) {
            self.removed[usize::from(!known.by_root)].push_back((cgroup, ktime_ns));
        }
        for queue in 0..self.removed.len() {
            while let Some((gone, at)) = self.removed[queue].front().copied()
                && (at.saturating_add(GRACE_NS) < ktime_ns || self.removed[queue].len() > CGROUPS_MAX)
            {
                self.removed[queue].pop_front();
                self.forget(gone);
            }
        }
    }

    fn forget(&mut self, cgroup: u64) {
        let known = self.cgroups.remove(&cgroup);
        self.others -= usize::from(known.is_some_and(|known| !known.by_root));
        let container = known.and_then(|known| known.container);
        self.verdicts.push(Verdict { cgroup, inside: container.is_some(), wanted: false, gone: true });
        if let Some(container) = container {
            self.release(container, cgroup);
        }
    }

    fn release(&mut self, number: u32, cgroup: u64) {
        let Some(members) = self.members.get_mut(&number) else { return };
        members.remove(&cgroup);
        if members.is_empty()
            && self.members.remove(&number).is_some()
            && let Some(gone) = self.list.remove(&number)
        {
            for (key, index) in [(&gone.id, &mut self.by_id), (&gone.cgroup_path, &mut self.by_path)] {
                if index.get(key) == Some(&number) {
                    index.remove(key);
                }
            }
            self.no_claim(&gone.id, number);
            let bytes = Container::bytes_of(&gone.id, &gone.cgroup_path);
            self.bytes -= bytes;
            self.others_bytes -= if gone.by_root { 0 } else { bytes };
        }
    }

    fn no_claim(&mut self, id: &str, number: u32) {
        let Some(claims) = self.claims.get_mut(id) else { return };
        claims.retain(|claim| *claim != number);
        if claims.is_empty() {
            self.claims.remove(id);
        }
    }

    /// The container that a record of class container is about: one whose own cgroup it is.
    pub fn own(&self, cgroup: u64, path: &[u8]) -> Option<&Container> {
        let container = self.list.get(&self.cgroups.get(&cgroup)?.container?)?;
        let path = String::from_utf8_lossy(path);
        // The same container can have several, so it is the shape that tells.
        shape::shapes(&path).any(|shape| shape.own == path && shape.id == container.id).then_some(container)
    }

    /// Whether a record of class container becomes a row: of a container's own cgroup. Of the filters by containers it
    /// is the container that counts, and not the runtime's process that makes the cgroup.
    pub fn has_row(&self, record: &Record<'_>) -> bool {
        let container = self.own(record.container_cgroup(), record.tail(CGROUP_PATH));
        container.is_some_and(|container| self.rule.keeps_inside(container) && self.rule.keeps(Some(container)))
    }

    /// What the runtime says of a container; returns it with what it has now. `None`: it is gone, or who claims to be it is
    /// not where the runtime has it.
    pub fn named(&mut self, metadata: &Metadata, texts: &mut Texts) -> Option<Container> {
        let claims = self.claims.get(&metadata.id).cloned().unwrap_or_default();
        let is_it = |number: &u32| self.list.get(number).is_some_and(|claim| claim.has_one_of(&metadata.cgroups));
        let right = claims.iter().copied().find(is_it);
        for number in claims.into_iter().filter(|number| Some(*number) != right) {
            self.answered(number);
        }
        let proven = self.by_id.get(&metadata.id).copied();
        let is_there =
            |number: &u32| self.list.get(number).is_some_and(|c| !c.is_nested || c.has_one_of(&metadata.cgroups));
        let Some(number) = right.or(proven.filter(is_there)) else {
            proven.into_iter().for_each(|number| self.answered(number));
            return None;
        };
        if Some(number) == right {
            self.no_claim(&metadata.id, number);
            // The runtime has it here, so what root made elsewhere is not it.
            if let Some(before) = self.by_id.insert(metadata.id.clone(), number) {
                self.only_claims(before, texts);
                self.answered(before);
            }
        }
        let container = self.list.get_mut(&number)?;
        let text = |value: Option<&str>, texts: &mut Texts| value.map_or(TextId::NONE, |v| texts.plain(v.as_bytes()));
        container.texts[1] = text(metadata.name.as_deref(), texts);
        container.texts[2] = text(metadata.image.as_deref(), texts);
        container.texts[3] = text(Some(metadata.runtime.name()), texts);
        container.texts[4] = text(Some(Evidence::Confirmed.name()), texts);
        container.name = metadata.name.clone();
        container.evidence = Evidence::Confirmed;
        let container = container.clone();
        self.answered(number);
        Some(container)
    }

    /// No runtime knows a container, or none could be asked.
    pub fn nameless(&mut self, id: &str) {
        let claims = self.claims.get(id).cloned().unwrap_or_default();
        claims.into_iter().chain(self.by_id.get(id).copied()).for_each(|number| self.answered(number));
    }

    /// Nobody is asked whether who claims to be this container is it.
    pub fn unconfirmed(&mut self, id: &str) {
        let claims = self.claims.get(id).cloned().unwrap_or_default();
        claims.into_iter().for_each(|number| self.answered(number));
    }

    fn answered(&mut self, number: u32) {
        if let Some(container) = self.list.get_mut(&number) {
            container.is_answered = true;
        }
        self.judge_all_of(number);
    }

    fn judge_all_of(&mut self, number: u32) {
        let cgroups: Vec<u64> = self.members.get(&number).into_iter().flatten().copied().collect();
        cgroups.into_iter().for_each(|cgroup| self.judge(cgroup));
    }

    /// Puts a filter by id and name in force.
    pub fn set_rule(&mut self, rule: Rule) {
        self.rule = rule;
        let all: Vec<u64> = self.cgroups.keys().copied().collect();
        all.into_iter().for_each(|cgroup| self.judge(cgroup));
    }

    fn judge(&mut self, cgroup: u64) {
        let container = self.cgroups.get(&cgroup).and_then(|known| self.list.get(&known.container?));
        let inside = container.is_some_and(|container| self.rule.is_inside(container));
        let verdict = Verdict { cgroup, inside, wanted: self.rule.keeps(container), gone: false };
        self.verdicts.push(verdict);
    }

    /// Whether the filters keep a record of this cgroup, written in an inner pid namespace or not.
    pub fn keeps(&self, cgroup: u64, is_inner: bool) -> bool {
        if self.rule.is_open() {
            return true;
        }
        // Of one that is not known (its making was lost, or it went while nobody read) nothing can be said.
        let Some(known) = self.cgroups.get(&cgroup) else { return true };
        let container = known.container.and_then(|number| self.list.get(&number));
        let is_inside = is_inner || container.is_some_and(|container| self.rule.is_inside(container));
        self.rule.keeps_where(is_inside) && self.rule.keeps(container)
    }

    /// What the kernel's filter is to be told.
    pub fn take_verdicts(&mut self) -> Vec<Verdict> {
        std::mem::take(&mut self.verdicts)
    }

    /// Those that came since the last call.
    pub fn take_new_ids(&mut self) -> Vec<Nameless> {
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

    /// The container of a cgroup, with texts that a row can have.
    pub fn with_texts(&mut self, cgroup: u64, texts: &mut Texts) -> Option<&Container> {
        if texts.is_turning()
            && let Some(number) = self.cgroups.get(&cgroup).and_then(|known| known.container)
            && let Some(container) = self.list.get_mut(&number)
        {
            container.renew(texts);
        }
        self.of_cgroup(cgroup)
    }

    /// A generation of texts begins.
    pub fn begin_renewal(&mut self) {
        self.to_renew = self.list.keys().copied().collect();
    }

    /// Carries over the texts of the next `count` containers. Returns whether all are there.
    pub fn go_on_renewing(&mut self, count: usize, texts: &mut Texts) -> bool {
        for _ in 0..count {
            let Some(number) = self.to_renew.pop() else { return true };
            if let Some(container) = self.list.get_mut(&number) {
                container.renew(texts);
            }
        }
        self.to_renew.is_empty()
    }

    /// Bytes of what containers are called.
    pub fn bytes(&self) -> usize {
        self.bytes
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
            cgroups: vec![],
        }
    }

    fn path() -> Vec<u8> {
        format!("/docker/{ID}").into_bytes()
    }

    #[test]
    fn a_container_is_known_from_its_cgroup_until_the_last_of_its_cgroups_is_long_gone() {
        let (mut containers, mut texts) = (Containers::default(), Texts::default());
        containers.made(7, &path(), true, &mut texts);
        containers.made(8, &[&path()[..], b"/init.scope"].concat(), true, &mut texts);
        containers.made(9, b"/system.slice", true, &mut texts);
        assert_eq!(containers.take_new_ids(), [Nameless { id: ID.into(), claimed_in: None }]);
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
        containers.made(7, &path(), true, &mut texts);
        let container = containers.named(&metadata("web", Some("nginx:1")), &mut texts).expect("known");
        let shown = container.texts().map(|text| texts.get(text).to_owned());
        assert_eq!(shown, [ID, "web", "nginx:1", "podman", "confirmed"]);
    }

    #[test]
    fn the_kernel_is_told_of_every_cgroup_and_again_when_the_name_or_the_filter_decides_otherwise() {
        let (mut containers, mut texts) = (Containers::default(), Texts::default());
        containers.set_rule(Rule::new(None, &["web".into()], &[]));
        containers.made(7, &path(), true, &mut texts);
        containers.made(9, b"/", true, &mut texts);
        let verdict = |cgroup, inside, wanted| Verdict { cgroup, inside, wanted, gone: false };
        assert_eq!(containers.take_verdicts(), [verdict(7, true, true), verdict(9, false, false)], "no name yet: kept");
        containers.named(&metadata("db", None), &mut texts);
        assert_eq!(containers.take_verdicts(), [verdict(7, true, false)]);
        assert!(!containers.keeps(7, true) && !containers.keeps(9, false));
        containers.set_rule(Rule::new(Some(false), &[], &[]));
        assert!(!containers.keeps(7, false) && containers.keeps(9, false) && !containers.keeps(9, true));
    }

    fn claimed() -> Vec<u8> {
        format!("/user.slice/user-2001.slice/user@2001.service/docker-{ID}.scope").into_bytes()
    }

    fn evidence(containers: &mut Containers, cgroup: u64) -> Option<Evidence> {
        containers.of_cgroup(cgroup).map(|container| container.evidence)
    }

    #[test]
    fn who_may_make_cgroups_claims_a_container_and_is_none() {
        let (mut containers, mut texts) = (Containers::default(), Texts::default());
        containers.made(7, &path(), true, &mut texts);
        containers.made(8, &claimed(), false, &mut texts);
        containers.made(9, &[&claimed()[..], b"/below"].concat(), false, &mut texts);
        containers.made(10, &path(), false, &mut texts);
        containers.made(11, b"/lxc.payload.shop", false, &mut texts);
        assert_eq!(evidence(&mut containers, 7), Some(Evidence::Cgroup));
        for cgroup in 8..12 {
            assert_eq!(evidence(&mut containers, cgroup), Some(Evidence::Claimed), "{cgroup}");
        }
        containers.named(&metadata("web", None), &mut texts).expect("the one that root made");
        let name = |containers: &mut Containers, cgroup| containers.of_cgroup(cgroup).and_then(|c| c.name.clone());
        assert_eq!((name(&mut containers, 7), name(&mut containers, 8)), (Some("web".into()), None));
        for (rule, host_and_claims, container) in [
            (Rule::new(Some(false), &[], &[]), true, false),
            (Rule::new(None, &[], &["web".into()]), true, false),
            (Rule::new(None, &[], &[ID[..12].into()]), true, false),
            (Rule::new(None, &["web".into()], &[]), false, true),
            (Rule::new(None, &[ID.into()], &[]), false, true),
            (Rule::new(Some(true), &[], &[]), true, true),
        ] {
            containers.set_rule(rule.clone());
            assert_eq!(containers.keeps(7, false), container, "{rule:?}");
            for cgroup in 8..11 {
                assert_eq!(containers.keeps(cgroup, false), host_and_claims, "{cgroup} {rule:?}");
            }
        }
    }

    #[test]
    fn a_claim_is_confirmed_where_the_runtime_has_the_container() {
        let (mut containers, mut texts) = (Containers::default(), Texts::default());
        containers.made(8, &claimed(), false, &mut texts);
        let own = format!("/shop.slice/docker-{ID}.scope");
        containers.made(9, own.as_bytes(), true, &mut texts);
        let places: Vec<Option<String>> = containers.take_new_ids().into_iter().map(|new| new.claimed_in).collect();
        assert_eq!(places, [Some("/user.slice/user-2001.slice".into()), Some("/shop.slice".into())]);
        containers.set_rule(Rule::new(None, &["web".into()], &[]));
        assert!(containers.keeps(8, false) && containers.keeps(9, false), "nobody has answered yet");
        let told = Metadata { cgroups: vec![format!("{own}/init.scope")], ..metadata("web", None) };
        assert_eq!(containers.named(&told, &mut texts).map(|container| container.cgroup), Some(9));
        assert_eq!(evidence(&mut containers, 9), Some(Evidence::Confirmed));
        assert_eq!(evidence(&mut containers, 8), Some(Evidence::Claimed));
        assert!(!containers.keeps(8, false) && containers.keeps(9, false));
        containers.removed(9, 0);
        containers.removed(8, 0);
        containers.removed(99, GRACE_NS + 1);
        assert!(containers.is_empty() && containers.by_id.is_empty() && containers.by_path.is_empty());
        assert!(containers.claims.is_empty() && containers.members.is_empty());
    }

    #[test]
    fn nobody_leaves_a_container_by_a_cgroup_that_claims_another() {
        let (mut containers, mut texts) = (Containers::default(), Texts::default());
        containers.made(7, &path(), true, &mut texts);
        let inside = [&path()[..], b"/docker/", "fe".repeat(32).as_bytes()].concat();
        containers.made(8, &inside, false, &mut texts);
        assert_eq!(containers.of_cgroup(8).map(|container| container.id.as_str()), Some(ID));
        containers.made(9, &inside, true, &mut texts);
        assert_eq!(
            containers.of_cgroup(9).map(|container| container.id.clone()),
            Some("fe".repeat(32)),
            "an engine inside"
        );
    }

    #[test]
    fn root_inside_of_a_container_does_not_become_another_by_its_id() {
        let other = "fe".repeat(32);
        let inside = [&path()[..], b"/docker/", other.as_bytes()].concat();
        let at_home = format!("/docker/{other}");
        let confirmed = Metadata { id: other.clone(), cgroups: vec![at_home.clone()], ..metadata("web", None) };
        for the_false_one_is_first in [false, true] {
            let (mut containers, mut texts) = (Containers::default(), Texts::default());
            containers.set_rule(Rule::new(None, &[], &["web".into(), other.clone()]));
            containers.made(7, &path(), true, &mut texts);
            let order = if the_false_one_is_first { [8, 9] } else { [9, 8] };
            for cgroup in order {
                let path = if cgroup == 8 { &inside[..] } else { at_home.as_bytes() };
                containers.made(cgroup, path, true, &mut texts);
            }
            assert_eq!(containers.named(&confirmed, &mut texts).map(|container| container.cgroup), Some(9));
            let shown = |containers: &mut Containers, cgroup| {
                containers.of_cgroup(cgroup).map(|c| (c.id.clone(), c.name.clone(), c.evidence))
            };
            let (name, sure) = (Some("web".to_owned()), Evidence::Confirmed);
            assert_eq!(shown(&mut containers, 9), Some((other.clone(), name, sure)));
            let id =
                if the_false_one_is_first { (other.clone(), Evidence::Claimed) } else { (ID.into(), Evidence::Cgroup) };
            assert_eq!(shown(&mut containers, 8), Some((id.0, None, id.1)));
            assert!(containers.keeps(8, false) && !containers.keeps(9, false), "first: {the_false_one_is_first}");
            for cgroup in [7, 8, 9] {
                containers.removed(cgroup, 0);
            }
            containers.removed(99, GRACE_NS + 1);
            assert_eq!((containers.len(), containers.bytes, containers.others_bytes, containers.others), (0, 0, 0, 0));
            assert!(containers.by_id.is_empty() && containers.by_path.is_empty() && containers.claims.is_empty());
        }
    }

    #[test]
    fn root_inside_of_a_container_is_not_left_out_for_a_name_that_it_took() {
        let (mut containers, mut texts) = (Containers::default(), Texts::default());
        let other = "fe".repeat(32);
        containers.set_rule(Rule::new(None, &[], &["backup".into(), other.clone()]));
        containers.made(7, &path(), true, &mut texts);
        containers.made(8, &[&path()[..], b"/lxc.payload.backup"].concat(), true, &mut texts);
        let false_one = [&path()[..], b"/docker/", other.as_bytes()].concat();
        containers.made(9, &false_one, true, &mut texts);
        // One that stands still is nowhere.
        let stopped = Metadata { id: other.clone(), ..metadata("backup", None) };
        assert!(containers.named(&stopped, &mut texts).is_none());
        assert!(containers.keeps(8, false) && containers.keeps(9, false));
        assert_eq!(evidence(&mut containers, 9), Some(Evidence::Cgroup));
        // The true one is a claim until the runtime says where it is.
        let own = format!("/shop.slice/docker-{other}.scope");
        containers.made(10, own.as_bytes(), true, &mut texts);
        let inside_of_a_claim = format!("{own}/docker/{ID}");
        containers.made(11, inside_of_a_claim.as_bytes(), true, &mut texts);
        assert_ne!(containers.cgroups[&11].container, containers.cgroups[&7].container);
        let told = Metadata { cgroups: vec![own], ..stopped };
        assert_eq!(containers.named(&told, &mut texts).map(|container| container.cgroup), Some(10));
        assert_eq!([9, 10].map(|c| evidence(&mut containers, c)), [Some(Evidence::Claimed), Some(Evidence::Confirmed)]);
        assert!(containers.keeps(9, false) && !containers.keeps(10, false));
    }

    #[test]
    fn claims_take_no_room_from_what_root_makes() {
        let (mut containers, mut texts) = (Containers::new(1 << 20), Texts::default());
        let long = "x".repeat(250);
        let claim = |n: u64| format!("/user.slice/{long}/{long}/{n:064x}");
        for n in 0..5_000 {
            containers.made(100 + n, claim(n).as_bytes(), false, &mut texts);
            containers.removed(100 + n, 0);
        }
        assert!(containers.bytes() <= 1 << 19 && containers.unknown().1 > 0);
        for cgroup in 10_000..10_000 + CGROUPS_MAX as u64 {
            containers.made(cgroup, b"/user.slice/plain", false, &mut texts);
        }
        assert!(containers.cgroups.len() <= OTHERS_MAX);
        containers.made(7, &path(), true, &mut texts);
        assert_eq!(evidence(&mut containers, 7), Some(Evidence::Cgroup));
    }
}
