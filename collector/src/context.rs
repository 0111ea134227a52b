//! Who and where: what is known of the process, the user and the container of a record.
//!
//! Records come in time order, so a fork, an exec, a chdir or a new cgroup is known before the first event that depends on
//! it. Everything here is bounded; what is not known is null and counted. A row costs one look at a small cache, and the
//! texts are numbers of [`Texts`].

mod containers;
mod processes;
mod record;
mod shape;
mod users;

use weir_schema::record::{Record, u32_at};
use weir_schema::wire::{HEADER_SIZE, NO_LOGIN_UID, offset_of};
use weir_schema::{CLASSES, ClassId};

use crate::paths;
use crate::texts::{TextId, Texts};

pub use containers::{CGROUPS_MAX, Container, Containers, Evidence, Nameless, Rule, Verdict, is_id as is_container_id};
pub use processes::{Counts as ProcessCounts, Limits, PROCESS_BYTES, Processes};
pub use record::container_record;
pub use shape::container_of;
pub use users::Users;

/// Text of `cmdline` in bytes, at most; `args` of the exec row has them all.
pub const CMDLINE_BYTES_MAX: usize = 4096;

/// Columns that are texts of the context, in the order of [`Known::texts`].
pub const TEXTS: [&str; 16] = [
    "comm",
    "exe",
    "cmdline",
    "cwd",
    "tty",
    "parent_comm",
    "parent_exe",
    "parent_cmdline",
    "ancestors",
    "container_id",
    "container_name",
    "container_image",
    "runtime",
    "container_evidence",
    "user_name",
    "login_user",
];
/// Where the texts of a container begin.
const OF_CONTAINER: usize = 9;
const USER_NAME: usize = 14;
const LOGIN_USER: usize = 15;

/// What a row says beside its record.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Key of the creator, 0 if unknown.
    pub parent_key: i64,
    /// User who logged in, or all ones.
    pub login_uid: u32,
    /// Session, or 0.
    pub session: u32,
    /// By the order of [`TEXTS`].
    pub texts: [TextId; TEXTS.len()],
    /// Another one for every answer.
    pub number: u32,
    /// Some text had bytes that are not UTF-8.
    pub is_escaped: bool,
}

impl Default for Known {
    fn default() -> Known {
        let texts = [TextId::NONE; TEXTS.len()];
        Known { parent_key: 0, login_uid: NO_LOGIN_UID, session: 0, texts, number: 0, is_escaped: false }
    }
}

/// What decides what is known of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// The process.
    pub process_key: i64,
    /// Name of the thread.
    pub comm: [u8; 16],
    uid: u32,
    container_cgroup: u64,
}

/// Answers that are kept: neighbours in time share few processes.
const KEPT: usize = 16;

/// What is shown of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of the table of processes.
    pub processes: ProcessCounts,
    /// Containers that are known.
    pub containers: u64,
    /// Look-ups of cgroups that were not known.
    pub cgroups_unknown: u64,
    /// Cgroups that found no room.
    pub cgroups_refused: u64,
    /// User ids that the database does not have.
    pub users_unknown: u64,
    /// Bytes of all that is remembered, texts included.
    pub bytes: u64,
}

/// Places of the table of processes, and containers, whose texts are carried over in one step at least.
const RENEWED_PER_STEP: usize = 512;
/// Bytes that such a step copies before it ends.
const RENEWED_BYTES_PER_STEP: usize = 256 << 10;
/// Used room for new texts, in thousandths, by which everything has been carried over.
const RENEWED_BY_PER_MILLE: usize = 500;

/// Everything that is known.
pub struct Context {
    /// Processes.
    pub processes: Processes,
    /// Containers.
    pub containers: Containers,
    /// Users.
    pub users: Users,
    /// Of the texts of a generation.
    new_text_bytes: usize,
    kept: [(Asked, Known); KEPT],
    no_task: Known,
    /// Answers so far.
    answers: u32,
    /// Rows alone are enough: no ancestors, users or containers.
    is_plain: bool,
}

impl Context {
    /// Nothing known yet. `is_plain` leaves ancestors, users and containers out.
    pub fn new(limits: Limits, is_plain: bool) -> Context {
        Context {
            processes: Processes::new(limits),
            containers: Containers::new(limits.container_bytes()),
            users: Users::default(),
            new_text_bytes: limits.new_text_bytes(),
            kept: Default::default(),
            no_task: Known::default(),
            answers: 0,
            is_plain,
        }
    }

    /// Whether ancestors, users and containers are left out.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// No texts yet, with room for as many as this context may have.
    pub fn texts(&self) -> Texts {
        Texts::new(self.new_text_bytes)
    }

    /// Counters so far.
    pub fn counts(&self, texts: &Texts) -> Counts {
        let (cgroups_unknown, cgroups_refused) = self.containers.unknown();
        Counts {
            processes: self.processes.counts(),
            containers: self.containers.len() as u64,
            cgroups_unknown,
            cgroups_refused,
            users_unknown: self.users.unknown(),
            bytes: (texts.bytes() + self.processes.bytes() + self.containers.bytes()) as u64,
        }
    }

    /// What is known of a record's process, user and container.
    #[inline]
    pub fn look_up(&mut self, record: &Record<'_>, texts: &mut Texts) -> &Known {
        if !record.in_task() {
            return self.outside_tasks(record.container_cgroup(), texts);
        }
        let asked = Asked {
            process_key: record.process_key(),
            comm: *record.comm(),
            uid: record.uid(),
            container_cgroup: record.container_cgroup(),
        };
        let place = asked.process_key as usize % KEPT;
        if self.kept[place].0 != asked {
            let mut known = self.find(record, &asked, texts);
            known.is_escaped = known.texts.iter().any(|text| text.is_escaped());
            known.number = self.next_number();
            self.kept[place] = (asked, known);
        }
        &self.kept[place].1
    }

    fn next_number(&mut self) -> u32 {
        self.answers = self.answers.wrapping_add(1);
        self.answers
    }

    /// Of a row that no task wrote: nothing, unless it is about a container.
    fn outside_tasks(&mut self, container_cgroup: u64, texts: &mut Texts) -> &Known {
        self.no_task = Known { number: self.next_number(), ..Known::default() };
        if container_cgroup != 0
            && let Some(container) = self.containers.with_texts(container_cgroup, texts)
        {
            self.no_task.texts[OF_CONTAINER..USER_NAME].copy_from_slice(&container.texts());
        }
        &self.no_task
    }

    #[inline(never)]
    fn find(&mut self, record: &Record<'_>, asked: &Asked, texts: &mut Texts) -> Known {
        let mut known = Known::default();
        if self.processes.fill(asked, record.by_leader(), &mut known, !self.is_plain, texts) {
            self.forget_kept();
        }
        if self.is_plain {
            return known;
        }
        let container = self.containers.with_texts(asked.container_cgroup, texts);
        if let Some(container) = container {
            known.texts[OF_CONTAINER..USER_NAME].copy_from_slice(&container.texts());
        }
        // A container has a user database of its own; the kernel's root is root everywhere. A claim hides nobody's name.
        if container.is_none_or(|container| !container.evidence.is_proof()) || asked.uid == 0 {
            known.texts[USER_NAME] = self.users.name(asked.uid, texts);
        }
        if known.login_uid != NO_LOGIN_UID {
            known.texts[LOGIN_USER] = self.users.name(known.login_uid, texts);
        }
        known
    }

    /// What a record tells, before its own row is made.
    #[inline]
    pub fn learn(&mut self, record: &Record<'_>, texts: &mut Texts) {
        match record.class.id {
            ClassId::Process => self.learn_process(record, texts),
            ClassId::Container => self.learn_container(record, texts),
            _ => {}
        }
    }

    fn learn_process(&mut self, record: &Record<'_>, texts: &mut Texts) {
        let key = record.process_key();
        match record.action.id {
            EXEC if ret(record) == 0 => {
                let cmdline = paths::command_line(texts, record.tail(ARGS), CMDLINE_BYTES_MAX);
                self.started(record, cmdline, texts);
            }
            FORK if ret(record) > 0 => {
                let child = weir_schema::record::i64_at(record.fixed, CHILD_KEY);
                // Where a login daemon sets them without an exec, the child has another login or session than is known.
                let (session, login_uid) = (u32_at(record.fixed, SESSION_ID), u32_at(record.fixed, LOGIN));
                let others = self.processes.fork(key, child, !self.is_plain, texts, |process| {
                    (process.session, process.login_uid) = (session, login_uid);
                });
                // In a full table who is seen must be looked up to count as used.
                if others || self.processes.is_full() { self.forget_kept() } else { self.forget(child) }
            }
            CHDIR if ret(record) == 0 => {
                let cwd = paths::walked(texts, record.tail(CWD));
                self.processes.change(key, |process| process.cwd = cwd);
                self.forget(key);
            }
            SETSID if ret(record) >= 0 => {
                let session = u32_at(record.fixed, SESSION_ID);
                self.processes.change(key, |process| (process.session, process.tty) = (session, TextId::NONE));
                self.forget(key);
            }
            _ => {}
        }
    }

    /// A program was started, or a process was found running, with this command line.
    pub fn started(&mut self, record: &Record<'_>, cmdline: TextId, texts: &mut Texts) {
        let exe = paths::walked(texts, record.tail(EXE));
        let (cwd, tty) = (paths::walked(texts, record.tail(CWD)), terminal(record.tail(TTY), texts));
        let (session, login_uid) = (u32_at(record.fixed, SESSION_ID), u32_at(record.fixed, LOGIN));
        let had_children =
            self.processes.exec(record.process_key(), record.parent_key(), record.comm(), texts, |process| {
                (process.exe, process.cmdline, process.cwd, process.tty) = (exe, cmdline, cwd, tty);
                (process.session, process.login_uid) = (session, login_uid);
            });
        if had_children { self.forget_kept() } else { self.forget(record.process_key()) }
    }

    fn learn_container(&mut self, record: &Record<'_>, texts: &mut Texts) {
        let cgroup = record.container_cgroup();
        let path = record.tail(CGROUP_PATH);
        match record.action.id {
            // The user id is the kernel's: of root in a user namespace it is another.
            CONTAINER_START => self.containers.made(cgroup, path, record.in_task() && record.uid() == 0, texts),
            CONTAINER_DIE => self.containers.removed(cgroup, record.ktime_ns()),
            _ => return,
        }
        self.forget_kept();
    }

    /// A process ended; its row is made.
    pub fn ended(&mut self, record: &Record<'_>) {
        self.processes.exit(record.process_key(), record.ktime_ns());
    }

    fn forget(&mut self, process_key: i64) {
        self.kept[process_key as usize % KEPT].0 = Asked::default();
    }

    /// Answers are made anew.
    pub fn forget_kept(&mut self) {
        self.kept.iter_mut().for_each(|kept| kept.0 = Asked::default());
    }

    /// Begins the next generation of texts, when what is left of the one before has been carried over. No open row may hold
    /// a text.
    pub fn begin_turn(&mut self, texts: &mut Texts) {
        if texts.is_turning() {
            self.renew(usize::MAX, usize::MAX, texts);
        }
        self.forget_kept();
        texts.begin_turn();
        self.processes.begin_renewal();
        self.containers.begin_renewal();
        self.users.forget_texts();
    }

    /// Carries over some of the texts that are needed: so many that all have been before there is no room for new ones.
    #[inline]
    pub fn go_on_turning(&mut self, texts: &mut Texts) {
        if texts.is_turning() {
            self.turn_step(texts);
        }
    }

    #[inline(never)]
    fn turn_step(&mut self, texts: &mut Texts) {
        let due = self.processes.places() * texts.used_per_mille() / RENEWED_BY_PER_MILLE;
        let behind = due.saturating_sub(self.processes.renewed());
        let (count, bytes) = match behind {
            0..=RENEWED_PER_STEP => (RENEWED_PER_STEP, RENEWED_BYTES_PER_STEP),
            behind => (behind, usize::MAX),
        };
        self.renew(count, bytes, texts);
    }

    fn renew(&mut self, count: usize, bytes: usize, texts: &mut Texts) {
        let is_done = self.processes.go_on_renewing(count, bytes, texts);
        if is_done && self.containers.go_on_renewing(count, texts) {
            texts.end_turn();
        }
    }
}

/// As ps shows a terminal: `pts/0` where the kernel's name is `pts0`.
fn terminal(name: &[u8], texts: &mut Texts) -> TextId {
    match name.strip_prefix(b"pts") {
        Some(number) if !number.is_empty() => texts.plain(&[b"pts/", number].concat()),
        _ => texts.plain(name),
    }
}

fn ret(record: &Record<'_>) -> i64 {
    weir_schema::record::i64_at(record.fixed, RET)
}

const EXEC: u16 = 0x0102;
const FORK: u16 = 0x0103;
const CHDIR: u16 = 0x010d;
const SETSID: u16 = 0x010e;
const CONTAINER_START: u16 = 0x0802;
const CONTAINER_DIE: u16 = 0x0803;

const PROCESS: &weir_schema::Class = CLASSES[ClassId::Process.index()];
const RET: usize = HEADER_SIZE + offset_of(PROCESS.fields, "ret");
const CHILD_KEY: usize = HEADER_SIZE + offset_of(PROCESS.fields, "child_key");
const SESSION_ID: usize = HEADER_SIZE + offset_of(PROCESS.fields, "session_id");
const LOGIN: usize = HEADER_SIZE + offset_of(PROCESS.fields, "login");
/// Places of tails.
const EXE: usize = 0;
const ARGS: usize = 4;
const CWD: usize = 6;
const TTY: usize = 7;
/// The first of class container.
const CGROUP_PATH: usize = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_of_tails_and_texts_are_those_of_the_definition() {
        let named = |names: &[&str]| names.iter().map(|name| PROCESS.tail(name)).collect::<Vec<_>>();
        assert_eq!(named(&["exe", "args", "cwd", "tty"]), [Some(EXE), Some(ARGS), Some(CWD), Some(TTY)]);
        assert_eq!(CLASSES[ClassId::Container.index()].tail("cgroup_path"), Some(CGROUP_PATH));
        let columns: Vec<&str> = PROCESS.all_columns().map(|c| c.name).collect();
        let of_containers: Vec<&str> = CLASSES[ClassId::Container.index()].all_columns().map(|c| c.name).collect();
        assert!(TEXTS.iter().all(|name| columns.contains(name) || of_containers.contains(name)));
        assert_eq!(TEXTS[OF_CONTAINER], "container_id");
        assert_eq!((TEXTS[USER_NAME], TEXTS[LOGIN_USER]), ("user_name", "login_user"));
    }

    #[test]
    fn a_terminal_is_named_as_ps_names_it() {
        let mut texts = Texts::default();
        let named = |name: &[u8], texts: &mut Texts| {
            let id = terminal(name, texts);
            texts.get(id).to_owned()
        };
        assert_eq!(named(b"pts12", &mut texts), "pts/12");
        assert_eq!(named(b"tty1", &mut texts), "tty1");
        assert_eq!(named(b"", &mut texts), "");
    }

    #[test]
    fn texts_are_carried_over_a_few_processes_at_a_time() {
        const PROCESSES: i64 = 3_000;
        let limits = Limits { processes_max: 65_536, grace_ns: 0, ancestors_max: 16, bytes_max: 64 << 20 };
        let mut context = Context::new(limits, false);
        let mut texts = context.texts();
        let name = |key: i64| format!("/bin/{key}");
        for key in 1..=PROCESSES {
            let exe = texts.plain(name(key).as_bytes());
            context.processes.exec(key, 0, &[b'x'; 16], &mut texts, |process| process.exe = exe);
        }
        context.begin_turn(&mut texts);
        let mut steps = 0;
        while texts.is_turning() {
            let before = context.processes.renewed();
            context.go_on_turning(&mut texts);
            steps += 1;
            assert!(context.processes.renewed() - before <= RENEWED_PER_STEP);
        }
        assert_eq!(steps, PROCESSES as usize / RENEWED_PER_STEP + 1);
        for key in 1..=PROCESSES {
            let asked = Asked { process_key: key, ..Asked::default() };
            let mut known = Known::default();
            context.processes.fill(&asked, false, &mut known, true, &mut texts);
            assert!(texts.is_current(known.texts[1]));
            assert_eq!(texts.get(known.texts[1]), name(key));
        }
    }

    #[test]
    fn texts_are_all_carried_over_before_there_is_no_room() {
        let limits = Limits { processes_max: 65_536, grace_ns: 0, ancestors_max: 16, bytes_max: 64 << 20 };
        let mut context = Context::new(limits, false);
        let mut texts = context.texts();
        for key in 1..=20_000 {
            let exe = texts.plain(key.to_string().as_bytes());
            context.processes.exec(key, 0, &[b'x'; 16], &mut texts, |process| process.exe = exe);
        }
        context.begin_turn(&mut texts);
        while texts.used_per_mille() < RENEWED_BY_PER_MILLE {
            let new = texts.len();
            texts.plain(&[&new.to_le_bytes(), &[b'x'; 200_000][..]].concat());
        }
        context.go_on_turning(&mut texts);
        assert!(!texts.is_turning() && !texts.is_full());
    }
}
