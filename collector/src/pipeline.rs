//! What happens to a record between its ring and the lanes: context, selection, rows, cuts.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_schema::loss::{CPU_COLLECTOR, REASONS};
use weir_schema::{CLASSES, ClassId, Reason, action_by_id};
use weir_sinks::{Cut, Identity, Lane, LaneWatch, LossAction, LossRow, Position};

use crate::outlet::{Answer, Boundary, Edit, Outlet};

use crate::assemble::{Assembly, Limits, Row};
use crate::context::{self, CGROUPS_MAX, CMDLINE_BYTES_MAX, Container, Context, Nameless, Verdict};
use crate::errand::Errand;
use crate::host::clock::wall_offset_ns;
use crate::names::{self, Metadata, Names};
use crate::numbers::Gap;
use crate::paths::{self, Ends, FROM_KERNEL, UNREACHABLE};
use crate::texts::{TextId, Texts};
use weir_schema::record::{Record, action_number, at};
use weir_schema::wire::{HEADER_SIZE, offset_of};

/// A jump of the wall clock against CLOCK_BOOTTIME that counts as a step, ns.
const CLOCK_STEP_NS: i64 = 1_000_000;
/// How far the wall clock may be from what rows say before the offset is taken anew, ns: no more often, so that an event has the
/// same `time` in every output although their cuts close at other moments.
const CLOCK_DRIFT_NS: i64 = 100_000;

/// When a group of lanes gets its cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// At every drain of the rings: for eyes.
    Drain,
    /// When the cut is full or this old: for files and brokers.
    Age(Duration),
}

/// Lanes that share their cuts.
struct Group {
    pace: Pace,
    assembly: Assembly,
    opened: Option<Instant>,
    outlet: Outlet,
    /// Number of the last cut that was closed since it was asked for.
    closed: Option<u64>,
}

/// Where the rings stand when a cut closes.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    /// Of every CPU.
    pub positions: Vec<Position>,
    /// For [`Cut::resume`].
    pub resume: String,
}

/// What is shown of the pipeline while it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records read.
    pub records: u64,
    /// Rows handed to the lanes.
    pub rows: u64,
    /// Records that became no row: not selected, context only, void.
    pub withheld: u64,
    /// Numbers inside gaps.
    pub lost: u64,
    /// Records whose bytes fit no definition; inside gaps too.
    pub bad: u64,
    /// Cuts closed.
    pub cuts: u64,
    /// Steps of the wall clock.
    pub clock_steps: u64,
    /// Attempts without a number: probes that were interrupted by themselves, children that could not be followed.
    pub unnumbered: u64,
}

/// Actions of one class, and classes: both are bits and bytes of an action's id.
const ACTIONS: usize = 64;
const ACTION_CLASSES: usize = 8;

/// Rows by action, and losses by reason.
#[derive(Debug, Clone)]
pub struct Tallies {
    rows: Box<[[u64; ACTIONS]; ACTION_CLASSES]>,
    lost: [u64; REASONS.len()],
}

impl Default for Tallies {
    fn default() -> Tallies {
        Tallies { rows: Box::new([[0; ACTIONS]; ACTION_CLASSES]), lost: [0; REASONS.len()] }
    }
}

impl Tallies {
    /// Rows of records with this action (`class << 8 | action`).
    pub fn rows_of(&self, action: u16) -> u64 {
        self.rows[usize::from(action >> 8) % ACTION_CLASSES][usize::from(action) % ACTIONS]
    }

    /// Events that were lost before any lane, for this reason.
    pub fn lost_for(&self, reason: Reason) -> u64 {
        self.lost[reason.index()]
    }

    fn row(&mut self, action: u16) {
        self.rows[usize::from(action >> 8) % ACTION_CLASSES][usize::from(action) % ACTIONS] += 1;
    }
}

/// Selected actions, by class and bit, and the filter that only the collector can decide.
#[derive(Debug, Clone, Default)]
pub struct Selected {
    /// Bits of each class's actions.
    pub actions: [u64; 8],
    /// Path prefixes of the filter, for texts that the kernel could not judge.
    pub only_paths: Vec<String>,
    /// Path prefixes that are left out.
    pub except_paths: Vec<String>,
}

impl Selected {
    fn has(&self, action: u16) -> bool {
        self.actions[usize::from(action >> 8) & 7] & 1 << (action & 63) != 0
    }

    /// The rule of the kernel's filter: one of a row's paths below a prefix is enough to be kept, and only if all are below
    /// one that is left out is the row dropped. A row without a path is below nothing; one whose beginning was cut may be below
    /// anything.
    fn allows<'a>(&self, named: impl Iterator<Item = &'a str> + Clone) -> bool {
        if named.clone().any(|path| path.starts_with(".../")) {
            return true;
        }
        let below = |prefixes: &[String], path: &str| prefixes.iter().any(|p| paths::is_below(path, p));
        let kept = self.only_paths.is_empty() || named.clone().any(|path| below(&self.only_paths, path));
        let dropped = named.clone().next().is_some() && named.clone().all(|path| below(&self.except_paths, path));
        kept && !dropped
    }
}

/// Where names are asked for.
struct Asking {
    /// Makes the look-ups as soon as there is somebody to ask. To look for sockets is to wait for files.
    start: Option<Errand<Option<Names>>>,
    names: Option<Names>,
    /// Ids that wait for room, or for somebody to ask.
    ids: VecDeque<String>,
    /// The same of those that are only claimed, with their places; they wait for somebody to ask.
    claims: VecDeque<(String, String)>,
}

/// Rows of all groups, and everything that they are made with.
pub struct Pipeline {
    identity: Identity,
    selected: Selected,
    texts: Texts,
    context: Context,
    /// Who is asked for the names of containers.
    names: Option<Asking>,
    groups: Vec<Group>,
    own_seq: i64,
    own_ktime_ns: i64,
    /// No record so far is later.
    last_ktime_ns: i64,
    clock_offset_ns: i64,
    counts: Counts,
    tallies: Tallies,
}

/// `open=120,unlink=3`
fn by_action_text(by_action: &[(u16, u64)]) -> String {
    let mut parts: Vec<String> = vec![];
    for (id, count) in by_action {
        let name = action_by_id(*id).map_or("unknown", |(_, action)| action.name);
        parts.push(format!("{name}={count}"));
    }
    parts.join(",")
}

impl Pipeline {
    /// A pipeline without lanes.
    pub fn new(identity: Identity, selected: Selected, context: Context) -> Pipeline {
        Pipeline {
            identity,
            selected,
            texts: context.texts(),
            context,
            names: None,
            groups: vec![],
            own_seq: 0,
            own_ktime_ns: 0,
            last_ktime_ns: 0,
            clock_offset_ns: wall_offset_ns(),
            counts: Counts::default(),
            tallies: Tallies::default(),
        }
    }

    /// Adds lanes that get the same cuts.
    pub fn add_lanes(&mut self, pace: Pace, limits: Limits, lanes: Vec<Lane>) {
        if !lanes.is_empty() {
            self.add_outlet(pace, limits, Outlet::Lanes(lanes, None), 0);
        }
    }

    /// Adds an outlet; its cuts are counted from `first_cut`.
    pub fn add_outlet(&mut self, pace: Pace, limits: Limits, outlet: Outlet, first_cut: u64) {
        let assembly = Assembly::new(limits, first_cut);
        self.groups.push(Group { pace, assembly, opened: None, outlet, closed: None });
    }

    /// Number of the last cut for files and brokers that was closed since the last call.
    pub fn take_closed(&mut self) -> Option<u64> {
        self.groups.iter_mut().filter(|g| g.pace != Pace::Drain).find_map(|g| g.closed.take())
    }

    /// Begins a stream in which nothing is older than this.
    pub fn begin(&mut self, ktime_ns: i64) {
        self.own_ktime_ns = ktime_ns;
    }

    /// Goes on with the collector's own numbers where the run before stopped, which had no record later than `ktime_ns`.
    pub fn go_on(&mut self, own: &Position, ktime_ns: i64) {
        (self.own_seq, self.own_ktime_ns) = (own.next_seq, own.ktime_ns);
        self.last_ktime_ns = ktime_ns;
    }

    /// Counters so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The same by action and by reason.
    pub fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    /// For others to read the lanes' ledgers.
    pub fn watches(&self) -> Vec<LaneWatch> {
        self.groups.iter().flat_map(|group| group.outlet.watches()).collect()
    }

    /// What is known of processes, users and containers.
    pub fn context(&self) -> context::Counts {
        self.context.counts(&self.texts)
    }

    /// Look-ups of names so far.
    pub fn names(&self) -> names::Counts {
        self.names.as_ref().and_then(|asking| asking.names.as_ref()).map(Names::counts).unwrap_or_default()
    }

    /// One record in time order. `marks` are asked for when it fills a cut.
    pub fn record(&mut self, cpu: usize, bytes: &[u8]) {
        self.counts.records += 1;
        self.last_ktime_ns = self.last_ktime_ns.max(weir_schema::record::i64_at(bytes, at::KTIME_NS));
        let cpu = cpu as i32;
        let record = match Record::parse(bytes) {
            Ok(record) => record,
            Err(_) if action_number(bytes) == 0 => {
                return self.withhold(cpu, weir_schema::record::i64_at(bytes, at::SEQ));
            }
            Err(_) => return self.bad(cpu, bytes),
        };
        self.context.learn(&record, &mut self.texts);
        if self.selected.has(record.action.id) && self.passes(&record) {
            self.append(cpu, &record);
        } else {
            self.withhold(cpu, record.seq());
        }
        if record.action.id == EXIT {
            self.context.ended(&record);
        }
    }

    fn append(&mut self, cpu: i32, record: &Record<'_>) {
        let known = self.context.look_up(record, &mut self.texts);
        self.counts.rows += 1;
        self.tallies.row(record.action.id);
        let row = Row { record, known };
        for group in &mut self.groups {
            group.assembly.append(cpu, &row, &mut self.texts);
        }
    }

    fn withhold(&mut self, cpu: i32, seq: i64) {
        self.counts.withheld += 1;
        self.groups.iter_mut().for_each(|g| g.assembly.withhold(cpu, seq));
    }

    fn bad(&mut self, cpu: i32, bytes: &[u8]) {
        let (seq, ktime_ns) =
            (weir_schema::record::i64_at(bytes, at::SEQ), weir_schema::record::i64_at(bytes, at::KTIME_NS));
        self.counts.bad += 1;
        self.counts.lost += 1;
        self.loss(ktime_ns, Some(cpu), Some((seq, seq)), (ktime_ns, ktime_ns), 1, String::new(), Reason::BadRecord);
    }

    /// What the kernel could not judge is judged here.
    fn passes(&mut self, record: &Record<'_>) -> bool {
        if record.is_left_out() {
            return false;
        }
        if record.class.id == ClassId::Container {
            return self.context.containers.has_row(record);
        }
        self.context.containers.keeps(record.container_cgroup(), record.in_inner_namespace())
            && self.passes_path(record)
    }

    /// Paths of files.
    fn passes_path(&mut self, record: &Record<'_>) -> bool {
        if self.selected.only_paths.is_empty() && self.selected.except_paths.is_empty() {
            return true;
        }
        if record.class.id != ClassId::File {
            return true;
        }
        let state = record.fixed[PATH_STATE];
        if state & UNREACHABLE != 0 {
            return true; // the kernel has judged: outside of the mount namespace nothing has the path that it seems to have
        }
        let (texts, ends) = (&mut self.texts, Ends::of(state));
        let [raw, dir, new_raw, new_dir] = [1, 2, 3, 4].map(|tail| record.tail(tail));
        let text = match record.action.id {
            // It says nothing beside the kernel's own path, unless that may be another file's.
            _ if record.fixed[PATH_SOURCE] == FROM_KERNEL => TextId::NONE,
            SYMLINK => paths::link_target(texts, [new_dir, new_raw], raw, ends),
            _ => paths::joined(texts, dir, raw, ends),
        };
        let (file, new) = (paths::walked(texts, record.tail(0)), paths::joined(texts, new_dir, new_raw, ends));
        let named = [file, text, new].into_iter().filter(|path| !path.is_none());
        self.selected.allows(named.map(|path| self.texts.get(path)))
    }

    /// Processes that were alive at the start: records of the task iterator, with their arguments from /proc. All are known
    /// before the first has its row.
    pub fn know_running(&mut self, running: &[(&[u8], Vec<u8>)]) {
        for (bytes, cmdline) in running {
            let Ok(record) = Record::parse(bytes) else { continue };
            let cmdline = paths::command_line(&mut self.texts, cmdline, CMDLINE_BYTES_MAX);
            self.context.started(&record, cmdline, &mut self.texts);
            // There are no rows yet that could hold texts.
            if self.texts.is_full() && self.groups.iter().all(|group| group.assembly.is_empty()) {
                self.context.begin_turn(&mut self.texts);
            }
        }
        self.context.processes.settle();
        self.context.forget_kept();
    }

    /// The row of one of them. All such rows have the time before the attach: they are listed behind it, when later records
    /// may have come already.
    pub fn running(&mut self, record: &[u8], before_attach_ns: i64) {
        let mut bytes = record.to_vec();
        bytes[at::CPU..at::CPU + 4].copy_from_slice(&CPU_COLLECTOR.to_le_bytes());
        let seq = self.own_seq;
        bytes[at::SEQ..at::SEQ + 8].copy_from_slice(&seq.to_le_bytes());
        bytes[at::KTIME_NS..at::KTIME_NS + 8].copy_from_slice(&before_attach_ns.to_le_bytes());
        let Ok(record) = Record::parse(&bytes) else { return };
        // A process that the filters leave out is known, but has no row.
        let has_row = !record.is_left_out() && self.selected.has(record.action.id);
        let has_row = has_row && self.context.containers.keeps(record.container_cgroup(), record.in_inner_namespace());
        if has_row {
            self.own_seq += 1;
            self.own_ktime_ns = self.own_ktime_ns.max(record.ktime_ns());
            self.append(CPU_COLLECTOR, &record);
        }
    }

    /// A cgroup that was there at the start.
    pub fn cgroup(&mut self, id: u64, path: &[u8], by_root: bool) {
        self.context.containers.made(id, path, by_root, &mut self.texts);
    }

    /// A row for each container that was there at the start.
    pub fn running_containers(&mut self, before_attach_ns: i64) {
        let containers: Vec<Container> = self.context.containers.iter().cloned().collect();
        for container in containers {
            self.container_row(RUNNING, &container, None, before_attach_ns);
        }
    }

    /// From here on the names of containers are asked for. `start` is called when the first is needed, until it has somebody
    /// to ask, in a thread of its own.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn ask_names(&mut self, start: Box<dyn Fn() -> Option<Names> + Send>) -> io::Result<()> {
        let start = Some(Errand::start("find-runtimes", start)?);
        self.names = Some(Asking { start, names: None, ids: VecDeque::new(), claims: VecDeque::new() });
        Ok(())
    }

    /// Reads the database of users: the start of a run, which may wait for files.
    pub fn know_users(&mut self) {
        if !self.context.is_plain() {
            self.context.users.load();
        }
    }

    /// From here on a thread looks whether the database of users has changed.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn watch_users(&mut self) -> io::Result<()> {
        self.context.users.watch()
    }

    /// What is not on the way of an event: asks for the names of new containers, takes what has come, and what another thread
    /// read of the database of users. Returns whether answers are still awaited. Nothing here waits.
    pub fn tend(&mut self, now: Instant) -> bool {
        let new = self.context.containers.take_new_ids();
        if self.context.is_plain() {
            return false;
        }
        if self.context.users.refresh(now) {
            self.context.forget_kept();
        }
        let Some(asking) = &mut self.names else { return false };
        if let Some(start) = asking.start.as_mut().filter(|_| asking.names.is_none()) {
            asking.names = start.take().flatten();
            if !new.is_empty() {
                start.ask();
            }
        }
        if asking.names.is_some() {
            asking.start = None;
        }
        for Nameless { id, claimed_in } in new {
            match claimed_in {
                None => asking.ids.push_back(id),
                Some(place) => asking.claims.push_back((id, place)),
            }
        }
        asking.ids.truncate(CGROUPS_MAX);
        asking.claims.truncate(CGROUPS_MAX);
        let Some(names) = &asking.names else { return asking.start.as_ref().is_some_and(Errand::is_asked) };
        let answers = names.take();
        while asking.ids.front().is_some_and(|id| names.ask(id)) {
            asking.ids.pop_front();
        }
        // Beyond the budget of its place a claim is believed no more and no less, and nobody waits for its name.
        for (id, _) in asking.claims.drain(..).filter(|(id, place)| !names.ask_of_claim(id, place)) {
            self.context.containers.unconfirmed(&id);
        }
        let awaited = names.is_busy();
        for answer in answers {
            match answer {
                names::Answer::Found(metadata) => self.named(&metadata),
                names::Answer::Unknown { id, .. } => self.context.containers.nameless(&id),
            }
        }
        awaited
    }

    fn named(&mut self, metadata: &Metadata) {
        let Some(container) = self.context.containers.named(metadata, &mut self.texts) else { return };
        self.context.forget_kept();
        let ktime_ns = self.own_ktime_ns.max(self.last_ktime_ns);
        self.container_row(METADATA, &container, Some(metadata), ktime_ns);
    }

    fn container_row(&mut self, action: u16, container: &Container, metadata: Option<&Metadata>, ktime_ns: i64) {
        if !self.selected.has(action) || !self.context.containers.keeps(container.cgroup, false) {
            return;
        }
        let bytes = context::container_record(action, container, metadata, self.own_seq, ktime_ns);
        let Ok(record) = Record::parse(&bytes) else { return };
        self.own_seq += 1;
        self.own_ktime_ns = self.own_ktime_ns.max(ktime_ns);
        self.append(CPU_COLLECTOR, &record);
    }

    /// What the kernel's filter is to be told of cgroups.
    pub fn take_verdicts(&mut self) -> Vec<Verdict> {
        self.context.containers.take_verdicts()
    }

    /// Numbers that will never come.
    pub fn gap(&mut self, gap: &Gap) {
        let count = (gap.last - gap.first + 1) as i64;
        self.counts.lost += count as u64;
        self.loss(
            gap.after_ns,
            Some(gap.cpu as i32),
            Some((gap.first as i64, gap.last as i64)),
            (gap.before_ns, gap.after_ns),
            count,
            by_action_text(&gap.by_action),
            gap.reason,
        );
    }

    /// Attempts that took no number: only how many is known, and why.
    pub fn unnumbered(&mut self, count: u64, program: &str, reason: Reason, ktime_ns: i64) {
        self.counts.unnumbered += count;
        self.loss(ktime_ns, None, None, (ktime_ns, ktime_ns), count as i64, format!("{program}={count}"), reason);
    }

    #[allow(clippy::too_many_arguments)]
    fn loss(
        &mut self,
        ktime_ns: i64,
        gap_cpu: Option<i32>,
        span: Option<(i64, i64)>,
        times: (i64, i64),
        count: i64,
        by_action: String,
        reason: Reason,
    ) {
        self.tallies.lost[reason.index()] += count as u64;
        // A gap is certain only after later records, which may be in cuts that are closed: a sink has dated rows of its own
        // behind those, and what follows them in its data must not be earlier.
        self.own_ktime_ns = self.own_ktime_ns.max(ktime_ns).max(self.last_ktime_ns);
        let row = LossRow {
            ktime_ns: self.own_ktime_ns,
            cpu: CPU_COLLECTOR,
            seq: self.own_seq,
            action: LossAction::Gap,
            gap_cpu,
            first_seq: span.map(|s| s.0),
            last_seq: span.map(|s| s.1),
            first_ktime_ns: Some(times.0).filter(|t| *t > 0),
            last_ktime_ns: Some(times.1).filter(|t| *t > 0),
            count,
            by_action,
            reason: Some(reason),
        };
        self.own_seq += 1;
        self.counts.rows += 1;
        self.groups.iter_mut().for_each(|g| g.assembly.append_loss(row.clone()));
    }

    /// Whether a cut must close before the next record: for its size, or because there is no room for new texts.
    pub fn is_full(&self) -> bool {
        self.texts.is_full() || self.groups.iter().any(|g| g.assembly.is_full())
    }

    /// Whether there is room for what another round may bring. Otherwise it stays in the rings.
    pub fn has_room(&self) -> bool {
        self.groups.iter().all(|group| group.outlet.has_room())
    }

    /// Closes the cuts that are due: all that are full, those of eyes at a drain, old ones.
    pub fn close_due(&mut self, drained: bool, now: Instant, marks: impl Fn() -> Marks) {
        for i in 0..self.groups.len() {
            let group = &mut self.groups[i];
            if group.assembly.is_empty() {
                continue;
            }
            let opened = *group.opened.get_or_insert(now);
            let due = match group.pace {
                Pace::Drain => drained,
                Pace::Age(age) => now.duration_since(opened) >= age,
            };
            if due || group.assembly.is_full() {
                self.close(i, marks(), false);
            }
        }
        self.context.go_on_turning(&mut self.texts);
        if self.texts.is_full() {
            self.renew_texts(&marks);
        }
    }

    /// How long the reader may sleep before a cut is due; `None` when none is open.
    pub fn due_in(&self, now: Instant) -> Option<Duration> {
        let due = self.groups.iter().filter(|g| !g.assembly.is_empty()).map(|g| match g.pace {
            Pace::Drain => Duration::ZERO,
            Pace::Age(age) => g.opened.map_or(age, |at| age.saturating_sub(now.duration_since(at))),
        });
        due.min()
    }

    fn close(&mut self, group: usize, mut marks: Marks, last: bool) {
        self.look_at_clock();
        marks.positions.push(self.own_position());
        let group = &mut self.groups[group];
        let cut: Arc<Cut> = group.assembly.close(&self.identity, self.clock_offset_ns, marks, &self.texts, last);
        group.opened = None;
        self.counts.cuts += 1;
        group.closed = Some(cut.number);
        group.outlet.send(&cut);
    }

    fn own_position(&self) -> Position {
        Position { cpu: CPU_COLLECTOR, next_seq: self.own_seq, ktime_ns: self.own_ktime_ns }
    }

    fn look_at_clock(&mut self) {
        let offset = wall_offset_ns();
        let off = (offset - self.clock_offset_ns).abs();
        if off > CLOCK_STEP_NS {
            self.counts.clock_steps += 1;
        }
        if off > CLOCK_DRIFT_NS {
            self.clock_offset_ns = offset;
        }
    }

    /// Begins to forget all texts that no known process uses. Open rows hold numbers of texts, so their cuts close first.
    fn renew_texts(&mut self, marks: &impl Fn() -> Marks) {
        for i in 0..self.groups.len() {
            if !self.groups[i].assembly.is_empty() {
                self.close(i, marks(), false);
            }
        }
        self.context.begin_turn(&mut self.texts);
    }

    /// Changes the lanes of a pace, between two cuts: those that stay or go have every row before, a new one has none of them.
    pub fn edit(&mut self, pace: Pace, limits: Limits, edit: Edit, answer: Answer, marks: impl Fn() -> Marks) {
        let at = self.groups.iter().position(|g| (g.pace == Pace::Drain) == (pace == Pace::Drain));
        let at = at.unwrap_or_else(|| {
            self.add_outlet(pace, limits, Outlet::Lanes(vec![], None), 0);
            self.groups.len() - 1
        });
        if !self.groups[at].assembly.is_empty() {
            self.close(at, marks(), false);
        }
        let mut positions = marks().positions;
        positions.push(self.own_position());
        let boundary = Boundary { next: self.groups[at].assembly.next_cut(), positions };
        self.groups[at].outlet.edit(boundary, edit, answer);
        if self.groups[at].outlet.is_idle() {
            self.groups.remove(at);
        }
    }

    /// Records from here on are judged by these paths.
    pub fn select_paths(&mut self, only: &[String], except: &[String]) {
        (self.selected.only_paths, self.selected.except_paths) = (only.to_vec(), except.to_vec());
    }

    /// Records from here on are judged by these containers.
    pub fn select_containers(&mut self, containers: context::Rule) {
        self.context.containers.set_rule(containers);
    }

    /// Closes every cut as the last one and gives the lanes back to be stopped.
    pub fn finish(mut self, marks: impl Fn() -> Marks) -> (Vec<Lane>, Counts) {
        for i in 0..self.groups.len() {
            self.close(i, marks(), true);
        }
        (self.groups.into_iter().flat_map(|g| g.outlet.finish()).collect(), self.counts)
    }
}

const EXIT: u16 = 0x0104;
const RUNNING: u16 = 0x0801;
const METADATA: u16 = 0x0804;
const SYMLINK: u16 = 0x0206;
/// Places in the records of class file.
const PATH_STATE: usize = HEADER_SIZE + offset_of(CLASSES[ClassId::File.index()].fields, "path_state");
const PATH_SOURCE: usize = HEADER_SIZE + offset_of(CLASSES[ClassId::File.index()].fields, "path_source");

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(only: &[&str], except: &[&str]) -> Selected {
        let owned = |list: &[&str]| list.iter().map(|p| (*p).to_owned()).collect();
        Selected { only_paths: owned(only), except_paths: owned(except), ..Selected::default() }
    }

    #[test]
    fn one_path_inside_keeps_a_row_and_both_inside_an_exclusion_drop_it() {
        let allows = |s: &Selected, named: &[&str]| s.allows(named.iter().copied());
        let only = selected(&["/etc"], &[]);
        assert!(allows(&only, &["/tmp/a", "/etc/b"]));
        assert!(!allows(&only, &["/tmp/a", "/tmp/../srv/b"]));
        assert!(!allows(&only, &[]));
        let except = selected(&[], &["/tmp"]);
        assert!(allows(&except, &["/tmp/a", "/etc/b"]));
        assert!(!allows(&except, &["/tmp/a", "/tmp/b"]));
        assert!(allows(&except, &["/tmp/../etc/passwd"]));
        assert!(allows(&except, &[]));
    }
}
