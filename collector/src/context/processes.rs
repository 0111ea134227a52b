//! The table of processes: who created them, their program, their place.
//!
//! A child takes over what its creator is at the fork. The table is bounded: when it is full, those that ended longest ago
//! go first, then those that nothing was seen of for long; an evicted process is counted, and its later rows have null
//! context until its next exec. Its texts are bounded in bytes: see `renewal`.

mod renewal;

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use weir_schema::wire::NO_LOGIN_UID;

use super::{Asked, Known};
use crate::texts::{TextId, Texts};
use renewal::Renewal;

/// Bounds of the table.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Processes, ended ones included.
    pub processes_max: usize,
    /// How long an ended process stays known, ns.
    pub grace_ns: i64,
    /// Names in `ancestors`.
    pub ancestors_max: usize,
    /// Bytes of everything that is remembered.
    pub bytes_max: usize,
}

/// Bytes of a process in the table: itself, its place, its end.
pub const PROCESS_BYTES: usize = 128;

impl Limits {
    /// Bytes of new texts in one generation.
    pub fn new_text_bytes(&self) -> usize {
        self.bytes_max / 8
    }

    /// Bytes of texts that are carried over from one generation to the next: while that lasts, all of them are held twice,
    /// beside the new ones of both.
    pub fn kept_text_bytes(&self) -> usize {
        let texts = self.bytes_max.saturating_sub(self.processes_max * PROCESS_BYTES + self.container_bytes());
        (texts / 2).saturating_sub(self.new_text_bytes())
    }

    /// Bytes of what containers are called.
    pub fn container_bytes(&self) -> usize {
        self.bytes_max / 16
    }
}

/// What is shown of the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Processes that are known, ended ones included.
    pub known: u64,
    /// Live processes that had to go for others.
    pub evicted: u64,
    /// Look-ups of processes that are not known.
    pub unknown: u64,
    /// Processes that lost long texts because all of them together were too long.
    pub shortened: u64,
}

/// How a process looks from its children: the texts of `parent_comm`, `parent_exe`, `parent_cmdline`, `ancestors`.
type Family = [TextId; 4];
const NO_FAMILY: Family = [TextId::NONE; 4];

/// One process. In a large table each one met is cold memory: it is small, and never in more than two cache lines.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
pub struct Process {
    key: i64,
    parent_key: i64,
    /// Path of the executable.
    pub exe: TextId,
    /// Arguments of the last exec.
    pub cmdline: TextId,
    /// Working directory.
    pub cwd: TextId,
    /// Terminal of the session.
    pub tty: TextId,
    /// User who logged in, or all ones.
    pub login_uid: u32,
    /// Session, or 0.
    pub session: u32,
    name_bytes: [u8; 16],
    name: TextId,
    /// What its rows say of its creators, as of `family_of`.
    family: Family,
    family_of: u32,
    /// `ancestors` of its children, as of `lineage_of`.
    lineage: TextId,
    lineage_of: u32,
    has_children: bool,
    /// Seen since the hand came by.
    was_used: bool,
}

const NO_PROCESS: Process = Process {
    key: 0,
    parent_key: 0,
    exe: TextId::NONE,
    cmdline: TextId::NONE,
    cwd: TextId::NONE,
    tty: TextId::NONE,
    login_uid: NO_LOGIN_UID,
    session: 0,
    name_bytes: [0; 16],
    name: TextId::NONE,
    family: NO_FAMILY,
    family_of: 0,
    lineage: TextId::NONE,
    lineage_of: 0,
    has_children: false,
    was_used: false,
};

/// The table.
pub struct Processes {
    /// Places in `slots` by the key that stands there.
    places: HashTable<u32>,
    slots: Vec<Process>,
    free: Vec<u32>,
    /// Keys and times of ends, oldest first.
    ended: VecDeque<(i64, i64)>,
    /// Where the search for one to evict goes on.
    hand: usize,
    limits: Limits,
    /// Moves on when a process with children gets another name or program: families are then made anew.
    generation: u32,
    counts: Counts,
    hasher: FixedState,
    /// While the texts of the generation before are carried over.
    renewal: Option<Renewal>,
}

/// Between the names of an `ancestors` text, and at the end of one that the limit has cut.
const BETWEEN: char = '<';
const CUT: &str = "...";
/// Creators whose families are made anew for one row, at most; beyond it what was known is good enough.
const RENEWED_MAX: usize = 64;

impl Processes {
    /// An empty table.
    pub fn new(limits: Limits) -> Processes {
        Processes {
            places: HashTable::default(),
            slots: vec![],
            free: vec![],
            ended: VecDeque::new(),
            hand: 0,
            limits,
            generation: 1,
            counts: Counts::default(),
            hasher: FixedState::default(),
            renewal: None,
        }
    }

    #[inline]
    fn find(&self, key: i64) -> Option<usize> {
        let is_it = |at: &u32| self.slots[*at as usize].key == key;
        self.places.find(self.hasher.hash_one(key), is_it).map(|at| *at as usize)
    }

    /// Puts what is known of a process into a row's answer; its first thread's name is its own from here on. Returns whether
    /// answers about others have to be made anew.
    pub fn fill(
        &mut self,
        asked: &Asked,
        by_leader: bool,
        known: &mut Known,
        with_family: bool,
        texts: &mut Texts,
    ) -> bool {
        let Some(at) = self.find(asked.process_key) else {
            self.counts.unknown += 1;
            known.texts[0] = comm_text(&asked.comm, texts);
            return false;
        };
        self.renew(at, texts);
        let mut others = false;
        if self.slots[at].name_bytes == asked.comm {
            known.texts[0] = self.slots[at].name;
        } else {
            known.texts[0] = comm_text(&asked.comm, texts);
            if by_leader {
                (self.slots[at].name_bytes, self.slots[at].name) = (asked.comm, known.texts[0]);
                others = self.renamed(at);
            }
        }
        if with_family {
            self.renew_family(at, RENEWED_MAX, texts);
        }
        let process = &mut self.slots[at];
        process.was_used = true;
        (known.parent_key, known.login_uid, known.session) = (process.parent_key, process.login_uid, process.session);
        let own = [process.exe, process.cmdline, process.cwd, process.tty];
        known.texts[1..5].copy_from_slice(&own);
        known.texts[5..9].copy_from_slice(&process.family);
        others
    }

    /// A creator that is gone leaves what was known of it last. Goes up as far as families are old.
    fn renew_family(&mut self, at: usize, steps: usize, texts: &mut Texts) {
        let process = &self.slots[at];
        if process.family_of == self.generation {
            return;
        }
        let creator = self.find(process.parent_key);
        if let Some(creator) = creator.filter(|creator| *creator != at && steps > 0) {
            self.slots[at].family = self.shown(creator, steps - 1, texts);
        }
        self.slots[at].family_of = self.generation;
    }

    fn shown(&mut self, at: usize, steps: usize, texts: &mut Texts) -> Family {
        self.renew(at, texts);
        if self.slots[at].lineage_of != self.generation {
            self.renew_family(at, steps, texts);
            let Process { name, family, .. } = self.slots[at];
            let lineage = self.ancestors(name, family[3], texts);
            (self.slots[at].lineage, self.slots[at].lineage_of) = (lineage, self.generation);
        }
        let Process { name, exe, cmdline, lineage, .. } = self.slots[at];
        [name, exe, cmdline, lineage]
    }

    /// `bash<sshd<systemd`: a name before those of its own creators.
    fn ancestors(&self, name: TextId, above: TextId, texts: &mut Texts) -> TextId {
        let names_max = self.limits.ancestors_max;
        if names_max == 0 {
            return TextId::NONE;
        }
        let mut names = String::new();
        push_name(texts.get(name), &mut names);
        if !above.is_none() {
            names.push(BETWEEN);
            names.push_str(texts.get(above));
        }
        if let Some((at, _)) = names.match_indices(BETWEEN).nth(names_max - 1) {
            names.truncate(at + BETWEEN.len_utf8());
            names.push_str(CUT);
        }
        texts.plain(names.as_bytes())
    }

    /// Only its children's rows name it.
    fn renamed(&mut self, at: usize) -> bool {
        if self.slots[at].has_children {
            self.next_generation();
        } else {
            self.slots[at].lineage_of = 0;
        }
        self.slots[at].has_children
    }

    /// 0 is none.
    fn next_generation(&mut self) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
    }

    fn place(&mut self, key: i64) -> usize {
        self.find(key).unwrap_or_else(|| self.add(key))
    }

    /// A place for a process that is not known yet.
    fn add(&mut self, key: i64) -> usize {
        if self.is_full() {
            self.evict();
        }
        let process = Process { key, ..NO_PROCESS };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = process;
                at
            }
            None => {
                self.slots.push(process);
                self.slots.len() as u32 - 1
            }
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.places.insert_unique(hasher.hash_one(key), at, |at| hasher.hash_one(slots[*at as usize].key));
        at as usize
    }

    /// Returns whether it was known.
    fn remove(&mut self, key: i64) -> bool {
        let is_it = |at: &u32| self.slots[*at as usize].key == key;
        let Ok(found) = self.places.find_entry(self.hasher.hash_one(key), is_it) else { return false };
        let (at, _) = found.remove();
        self.slots[at as usize] = NO_PROCESS;
        self.free.push(at);
        true
    }

    fn evict(&mut self) {
        while let Some((key, _)) = self.ended.pop_front() {
            if self.remove(key) {
                return;
            }
        }
        // Every second round at the latest one is found that was not used since.
        for _ in 0..2 * self.slots.len() {
            self.hand = (self.hand + 1) % self.slots.len();
            let process = &mut self.slots[self.hand];
            if process.key != 0 && !std::mem::take(&mut process.was_used) {
                let key = process.key;
                self.counts.evicted += 1;
                self.remove(key);
                return;
            }
        }
    }

    /// A program was started, or a process was found running; `set` puts in what its record tells. Returns whether answers
    /// about others have to be made anew.
    pub fn exec(
        &mut self,
        key: i64,
        parent_key: i64,
        comm: &[u8; 16],
        texts: &mut Texts,
        set: impl FnOnce(&mut Process),
    ) -> bool {
        let at = self.place(key);
        if let Some(creator) = self.find(parent_key) {
            self.slots[creator].has_children = true;
        }
        let process = &mut self.slots[at];
        set(process);
        if process.parent_key == 0 {
            (process.parent_key, process.family_of) = (parent_key, 0);
        }
        (process.name_bytes, process.name) = (*comm, comm_text(comm, texts));
        self.renamed(at)
    }

    /// All processes of the start are known: creators may have been listed behind their children.
    pub fn settle(&mut self) {
        for at in 0..self.slots.len() {
            let creator = self.find(self.slots[at].parent_key);
            if let Some(creator) = creator.filter(|_| self.slots[at].key != 0) {
                self.slots[creator].has_children = true;
            }
        }
        self.next_generation();
    }

    /// A child was created: it is what its creator is until it starts its own program; `set` puts in what its record tells.
    /// Returns whether answers about others have to be made anew.
    pub fn fork(
        &mut self,
        parent_key: i64,
        child_key: i64,
        with_family: bool,
        texts: &mut Texts,
        set: impl FnOnce(&mut Process),
    ) -> bool {
        let known = self.find(child_key);
        let creator = self.find(parent_key);
        if let Some(creator) = creator {
            self.renew(creator, texts);
        }
        let family = match creator {
            Some(creator) if with_family => self.shown(creator, RENEWED_MAX, texts),
            _ => NO_FAMILY,
        };
        let like = creator.map(|creator| {
            let creator = &mut self.slots[creator];
            (creator.has_children, creator.was_used) = (true, true);
            *creator
        });
        let generation = self.generation;
        let at = known.unwrap_or_else(|| self.add(child_key));
        let child = &mut self.slots[at];
        // A child that was listed at the start, before its fork was read, was looked up, and is newer.
        if let Some(like) = like.filter(|_| known.is_none()) {
            *child = Process { key: child_key, lineage_of: 0, has_children: false, was_used: false, ..like };
        }
        if like.is_some() {
            (child.family, child.family_of) = (family, generation);
        }
        child.parent_key = parent_key;
        set(child);
        known.is_some() && self.renamed(at)
    }

    /// Something about a process is another now; nothing if it is not known.
    pub fn change(&mut self, key: i64, set: impl FnOnce(&mut Process)) {
        if let Some(at) = self.find(key) {
            set(&mut self.slots[at]);
        }
    }

    /// A process ended. It stays known for the grace time.
    pub fn exit(&mut self, key: i64, ktime_ns: i64) {
        if self.find(key).is_some() {
            self.ended.push_back((key, ktime_ns));
        }
        while let Some((gone, at)) = self.ended.front().copied()
            && at.saturating_add(self.limits.grace_ns) < ktime_ns
        {
            self.ended.pop_front();
            self.remove(gone);
        }
    }

    /// Whether the next new process evicts another.
    pub fn is_full(&self) -> bool {
        self.places.len() >= self.limits.processes_max
    }

    /// The name that a process is known by; nothing if it is not.
    #[cfg(test)]
    fn name_bytes(&self, key: i64) -> [u8; 16] {
        self.find(key).map_or([0; 16], |at| self.slots[at].name_bytes)
    }

    /// Counters so far.
    pub fn counts(&self) -> Counts {
        Counts { known: self.places.len() as u64, ..self.counts }
    }

    /// Bytes of the table.
    pub fn bytes(&self) -> usize {
        self.slots.len() * PROCESS_BYTES
    }
}

/// Appends a name to an `ancestors` text so that it stays one name, whatever the program called itself: `<` is `\x3c`, a
/// backslash is doubled, and a name that looks like a cut begins with `\x2e`.
fn push_name(name: &str, out: &mut String) {
    let name = match name {
        CUT => {
            out.push_str("\\x2e");
            &name[1..]
        }
        name => name,
    };
    for c in name.chars() {
        match c {
            BETWEEN => out.push_str("\\x3c"),
            '\\' => out.push_str("\\\\"),
            c => out.push(c),
        }
    }
}

/// The name of a task as a text.
pub fn comm_text(comm: &[u8; 16], texts: &mut Texts) -> TextId {
    let len = comm.iter().position(|b| *b == 0).unwrap_or(comm.len());
    texts.plain(&comm[..len])
}

#[cfg(test)]
mod tests;
