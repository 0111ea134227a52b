//! The start of a run: everything that can fail fails here, before the first record.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use weir_bpf::plan::State;
use weir_bpf::{Filters, Loaded, Settings};
use weir_schema::CLASSES;
use weir_sinks::Identity;

use super::context;
use super::driver::{Counted, Driver, Held, Naps};
use super::hotplug::Hotplug;
use super::in_force::{InForce, tell_cgroups};
use super::orders::orders;
use super::reload::{self, Reload, Reread, Retired};
use super::report::{Place, Report, ReportFile};
use super::resume::{self, Before, OldRings, Pinned};
use super::signals::Listener;
use super::sinks;
use super::spool::Spool;
use super::status::{self, Watch};
use super::stop::Stop;
use super::trees::{cgroup_id, follow_all, pid, tasks};
use crate::assemble::Limits;
use crate::check::Probe;
use crate::command::{Gate, RunAs};
use crate::config::filter::CgroupIds;
use crate::config::{Config, Filter, effective_json};
use crate::context::CMDLINE_BYTES_MAX;
use crate::control;
use crate::helper::{Given, Helper};
use crate::host::{Caller, Host, clock::boottime_ns};
use crate::logging;
use crate::operate::{Board, Facts, Server, Service, status_json};
use crate::order::Sequencer;
use crate::pipeline::{Pipeline, Selected};
use crate::privilege::{self, Role};
use crate::rings::{CpuRing, Waiter};

/// Largest text of arguments that a record can carry.
const ARGS_BYTES_MAX: u64 = 32_767;

/// A run that is under way.
pub struct Started {
    driver: Driver,
    stop: Stop,
    signals: Listener,
    gate: Option<Gate>,
    identity: Identity,
    reader_left: weir_sinks::stdout::Closed,
    board: Arc<Board>,
    /// Goes when the run has ended.
    _control: Option<control::Name>,
    retired: Retired,
    report: Option<ReportFile>,
    duration: Option<Duration>,
    stop_wait: Duration,
    began: Instant,
    /// From the first record to the last, nobody waits for standard error.
    messages: logging::Detached,
}

/// What the kernel side is told.
///
/// # Errors
/// Names in the filters that this machine does not have.
pub fn settings(config: &Config, host: &Host, filters: Filters) -> Result<Settings> {
    let selection = config.selection().map_err(|problems| {
        let lines: Vec<String> = problems.into_iter().map(|(key, text)| format!("{key}: {text}")).collect();
        anyhow::anyhow!(lines.join("; "))
    })?;
    let ring_bytes = u32::try_from(config.ring_bytes).context("ring_bytes is too large")?;
    Ok(Settings {
        selection: weir_bpf::Selection {
            actions: selection.actions,
            calls: selection.calls,
            calls_without_name: selection.calls_without_name,
            timed: config.durations,
            places: config.context,
        },
        filters,
        ring_bytes,
        lifecycle_bytes: (u64::from(ring_bytes) * config.ring_lifecycle_percent / 100) as u32,
        args_bytes_max: config.args_bytes_max.min(ARGS_BYTES_MAX) as u32,
        env: config.env,
        followed_max: config.followed_max,
        possible_cpus: host.cpus.places(),
        online_cpus: host.cpus.online.clone(),
        cgroup_root: host.mounts.cgroup2.clone(),
        containers: host.containers.kind,
    })
}

fn gate(config: &Config, host: &Host, command: Option<Vec<OsString>>) -> Result<Option<Gate>> {
    let Some(command) = command else { return Ok(None) };
    if !host.pid_namespace_is_initial {
        bail!("a command can only be followed from the initial pid namespace: run the container with `--pid host`");
    }
    let user = RunAs::choose(config.user.as_deref(), host.caller)?;
    let to_stderr = config.writes_to_stdout();
    Ok(Some(Gate::spawn(&command, user.as_ref(), to_stderr)?))
}

fn say_plan(loaded: &Loaded) {
    for (program, log) in &loaded.refused {
        tracing::warn!(program, "the kernel's verifier refused a program; its actions are missing:\n{log}");
    }
    for probe in &loaded.plan.probes {
        match &probe.state {
            State::Runs => tracing::debug!(program = probe.program, hook = probe.hook, "runs"),
            State::Fallback(why) => tracing::info!(program = probe.program, "runs in a lesser form: {why}"),
            State::Missing(why) => tracing::warn!(program = probe.program, serves = ?probe.serves, "missing: {why}"),
        }
    }
}

fn rings(
    loaded: &Loaded,
    shared: &Arc<weir_bpf::shared::Shared>,
    host: &Host,
    slack_ns: u64,
    waiter: &Waiter,
) -> Result<Sequencer<CpuRing>> {
    let mut sequencer = Sequencer::new(slack_ns as i64, loaded.plan.exact_order);
    for cpu in 0..host.cpus.places() {
        let ring = if host.cpus.online.contains(&cpu) { Some(loaded.create_ring(cpu)?) } else { None };
        if let Some(ring) = &ring {
            waiter.add(ring.fd())?;
        }
        sequencer.add(CpuRing::new(cpu, ring, Arc::clone(shared)));
    }
    for source in sequencer.sources() {
        if let Some(ring) = source.ring() {
            loaded.install_ring(source.number(), ring)?;
        }
    }
    Ok(sequencer)
}

fn cmdline_of(pid: u32) -> Vec<u8> {
    let mut cmdline = vec![];
    let read = fs::File::open(format!("/proc/{pid}/cmdline"));
    // A process that has ended meanwhile has none. What is not shown is not read, but for a byte that tells of the cut.
    let _ = read.and_then(|file| file.take(CMDLINE_BYTES_MAX as u64 + 1).read_to_end(&mut cmdline));
    cmdline
}

/// What there is of a load before.
enum Begin {
    /// Nothing.
    Anew,
    /// It is taken over.
    Over(Before),
    /// It is read to its end, under its own epoch.
    Behind(Pinned),
}

/// Programs and spool.
fn load(
    config: &Config,
    host: &Host,
    settings: &Settings,
    may_take_over: bool,
) -> Result<(Loaded, Option<Spool>, Begin)> {
    let Some(spool) = Spool::open(config)? else { return Ok((Loaded::load(settings)?, None, Begin::Anew)) };
    let found = if spool.is_durable() { Pinned::find(&spool, &host.boot_id)? } else { None };
    let Some(pinned) = found else { return Ok((Loaded::load(settings)?, Some(spool), Begin::Anew)) };
    if may_take_over && pinned.fingerprint == resume::fingerprint(settings) {
        match Loaded::take_over(settings, spool.pins()) {
            Ok(loaded) => {
                let before = Before::of(&spool, &pinned)?;
                tracing::info!(epoch = pinned.epoch, "going on where the collector before stopped");
                return Ok((loaded, Some(spool), Begin::Over(before)));
            }
            Err(error) => tracing::warn!("the load before cannot be taken over: {error}"),
        }
    }
    Ok((Loaded::load(settings)?, Some(spool), Begin::Behind(pinned)))
}

/// Puts new programs, whose rings are there, in the place of the old ones: these go when the new ones are ready, so that little
/// happens unseen in between. What the old rings hold is in the log before anything of the new ones.
fn hand_over(
    config: &Config,
    settings: &Settings,
    loaded: &mut Loaded,
    pinned: &Pinned,
    spool: Option<Spool>,
) -> Result<Option<Spool>> {
    let Some(spool) = spool else {
        attach(loaded, settings)?;
        return Spool::open(config);
    };
    let old = OldRings::detach(pinned, &spool.pins())?;
    attach(loaded, settings)?;
    resume::drain(config, pinned, old, spool)?;
    Spool::open(config)
}

/// Attaches, and follows what is there already; nothing of it happens before the programs let children join.
fn attach(loaded: &mut Loaded, settings: &Settings) -> Result<()> {
    follow_all(loaded, &settings.filters)?;
    loaded.attach(settings.cgroup_root.as_deref())?;
    // Who was forked in between.
    follow_all(loaded, &settings.filters)
}

/// Starts everything; the command still waits behind its gate.
///
/// # Errors
/// Whatever keeps weir from starting, with what to do.
pub fn start(config: &Config, reread: Reread, command: Option<Vec<OsString>>) -> Result<Started> {
    let host = Host::read()?;
    crate::requirements::check(&host)?;
    let stop = Stop::new().context("make the descriptor that ends a run")?;
    let signals = privilege::start_as(Role::Signals { command: command.is_some() }, || Listener::listen(&stop))?;
    let signals = signals.context("listen for signals")?;
    let helper = config.reload.then(Helper::start_if_needed).transpose()?.flatten();
    let gate = gate(config, &host, command)?;
    let control = control_socket(config, host.caller)?;
    let server = config.listen.as_deref().map(Server::bind).transpose()?;
    let mut filters = config.filter.resolve(host.mounts.cgroup2.as_deref())?;
    filters.trees.only.extend(gate.as_ref().map(Gate::pid));
    let settings = settings(config, &host, filters)?;
    let report = config.report.as_deref().map(Place::find).transpose()?;

    let (mut loaded, mut spool, begin) = load(config, &host, &settings, gate.is_none())?;
    let identity = match &begin {
        Begin::Over(before) => before.identity.clone(),
        _ => Identity {
            host: config.host.clone().unwrap_or(host.node.name.clone()).into(),
            boot_id: host.boot_id.as_str().into(),
            epoch: boottime_ns(),
        },
    };
    let waiter = Waiter::new().context("make the reader's wait")?;
    waiter.add(stop.fd())?;
    let shared = loaded.shared();
    let mut sequencer = rings(&loaded, &shared, &host, config.clock_slack_ns, &waiter)?;
    let mut before_attach_ns = boottime_ns();
    if let Begin::Behind(pinned) = &begin {
        spool = hand_over(config, &settings, &mut loaded, pinned, spool)?;
    }
    let selected = Selected {
        actions: selected_bits(&settings),
        only_paths: settings.filters.paths.only.clone(),
        except_paths: settings.filters.paths.except.clone(),
    };
    let actions = selected.actions;
    let mut pipeline = Pipeline::new(identity.clone(), selected, context::of(config));
    pipeline.select_containers(Filter::containers(&settings.filters));
    // A command goes on without a reader, and its exit status is still wanted.
    let until_reader_leaves = gate.is_none().then(|| stop.clone());
    let stop_reading = until_reader_leaves.clone();
    let given = Given::default();
    let stop_at_end = until_reader_leaves;
    let sinks =
        sinks::Run { config, host: &host, identity: &identity, actions: &actions, stop: stop_at_end, given: &given };
    let pins = spool.as_ref().filter(|s| s.is_durable() && gate.is_none()).map(Spool::pin_place);
    let holds = spool.as_ref().is_some_and(Spool::is_durable);
    let (reader_left, spooled) = sinks::add(&mut pipeline, &sinks, spool)?;

    if holds {
        sequencer.hold();
    }
    let pinned = pins.as_ref().map(|(_, spool)| spool.clone());
    let (orders, inbox) = orders(pinned).context("make the descriptor that changes a run")?;
    waiter.add(inbox.fd())?;
    let mut have_rows = true;
    if let Begin::Over(before) = begin {
        have_rows = before.stood.own.is_none();
        before.go_on(&mut sequencer, &mut pipeline);
    } else {
        if matches!(begin, Begin::Anew) {
            before_attach_ns = boottime_ns();
            attach(&mut loaded, &settings)?;
        }
        if let Some((pins, spool)) = pins {
            resume::pin(&mut loaded, &sequencer, pins, &spool, &settings, &identity)?;
        }
    }
    say_plan(&loaded);
    if config.context && config.container_names {
        let asked = privilege::start_as(Role::Confined, || pipeline.ask_names(context::names(config)))?;
        asked.context("start the thread that looks for container runtimes")?;
    }
    context::list(&mut pipeline, &host.containers);
    tell_cgroups(&loaded, &mut pipeline);
    let cgroups = CgroupIds::of(&settings.filters.cgroups);
    let listed = loaded.tasks()?;
    let running: Vec<(&[u8], Vec<u8>)> = tasks(&listed).into_iter().map(|t| (t, cmdline_of(pid(t)))).collect();
    pipeline.know_running(&running);
    if have_rows {
        pipeline.begin(before_attach_ns);
        for (record, _) in running.iter().filter(|(record, _)| cgroups.let_through(cgroup_id(record))) {
            pipeline.running(record, before_attach_ns);
        }
        pipeline.running_containers(before_attach_ns);
    }
    let messages = privilege::start_as(Role::Confined, logging::detach)?;
    let watches = privilege::start_as(Role::Confined, || pipeline.watch_users())?;
    watches.context("start the thread that looks at the database of users")?;
    let hotplug =
        Hotplug::listen(&waiter).inspect_err(|e| tracing::warn!("CPUs that come online are not followed: {e:#}"));
    let watch = Arc::new(Watch::default());
    if status::is_wanted(config.status) {
        status::show(&watch);
    }
    let facts = facts(config, &identity, &actions, &loaded, &host);
    let board = Arc::new(Board::new(shared, facts, pipeline.watches(), spooled.clone()));
    operate(server, &board)?;
    let control = control.map(|control| answer(control, &board, &signals)).transpose()?;
    let naps = Naps { nap: Duration::from_micros(config.nap_us), before_sleep: config.naps_before_sleep };
    let held = spooled.as_ref().filter(|_| holds).and_then(|s| s.commits.clone()).map(Held::new);
    let reload = Reload {
        reread,
        config: config.clone(),
        host,
        identity: identity.clone(),
        actions,
        stop: stop_reading,
        command: gate.as_ref().map(Gate::pid),
        filters: settings.filters.clone(),
        orders,
        board: Arc::clone(&board),
        spooled,
        helper,
    };
    let reloads = signals.reloads();
    let (retired, report) = privilege::start_as(Role::Files, || {
        (reload::start(reload, reloads), report.map(ReportFile::start).transpose())
    })?;
    let retired = retired.context("start the thread that reloads")?;
    let report = report.context("start the thread that writes the report")?;
    privilege::drop_rights(Role::Reader).context("drop rights that only the start needs")?;
    let driver = Driver {
        counted: Counted::new(&loaded),
        loaded,
        sequencer,
        pipeline,
        waiter,
        hotplug: hotplug.ok(),
        naps,
        ring_bytes: config.ring_bytes,
        watch,
        held,
        board: Arc::clone(&board),
        inbox,
        in_force: InForce::new(settings),
        limits: Limits::of(config),
        awaits_names: true,
        looked: Instant::now(),
    };
    let (duration, stop_wait) = (config.duration, config.stop_wait);
    Ok(Started {
        driver,
        stop,
        signals,
        gate,
        identity,
        reader_left,
        board,
        _control: control,
        retired,
        report,
        duration,
        stop_wait,
        began: Instant::now(),
        messages,
    })
}

/// A place that is asked for has to be had; without one, weir runs too.
fn control_socket(config: &Config, caller: Option<Caller>) -> Result<Option<control::Server>> {
    match control::Server::bind(config.control.as_deref(), caller.map(Caller::ids)) {
        Ok(server) => {
            tracing::debug!(socket = %server.path().display(), "listening for `weir status` and `weir reload`");
            Ok(Some(server))
        }
        Err(error) if config.control.is_some() => Err(error),
        Err(error) => {
            tracing::warn!("`weir status` and `weir reload` will not find this weir: {error:#}");
            Ok(None)
        }
    }
}

fn answer(control: control::Server, board: &Arc<Board>, signals: &Listener) -> Result<control::Name> {
    let board = Arc::clone(board);
    control.start(move || status_json(&board), signals.wishes(), || privilege::confine("control", privilege::ANSWERS))
}

fn facts(config: &Config, identity: &Identity, actions: &[u64; 8], loaded: &Loaded, host: &Host) -> Facts {
    Facts {
        identity: identity.clone(),
        config: effective_json(config),
        classes: CLASSES.iter().filter(|class| actions[class.id as usize & 7] != 0).map(|class| class.name).collect(),
        probes: loaded.plan.probes.iter().map(Probe::from).collect(),
        queue_bytes_max: config.lane_bytes_max,
        ring_bytes: config.ring_bytes,
        cpus: host.cpus.places(),
    }
}

/// The endpoints and the signs of life, in threads that have fewer rights already.
fn operate(server: Option<Server>, board: &Arc<Board>) -> Result<()> {
    if let Some(server) = server {
        server.start(Arc::clone(board), || privilege::confine("http", privilege::ANSWERS))?;
    }
    Service::watch(board).context("start the thread of the watchdog")
}

/// Bits of the selected actions alone, without those that are recorded for context.
fn selected_bits(settings: &Settings) -> [u64; 8] {
    let mut bits = [0; 8];
    for id in &settings.selection.actions {
        bits[usize::from(id >> 8) & 7] |= 1 << (id & 63);
    }
    bits
}

impl Started {
    /// Reads until told to stop, then stops in order.
    ///
    /// # Errors
    /// When the command cannot be started, or the reader cannot go on.
    pub fn run(mut self) -> Result<Report> {
        let until = self.duration.map(|d| self.began + d);
        let waiting = match self.gate.take() {
            Some(gate) => self.wait_for(gate)?,
            None => None,
        };
        self.board.set_ready();
        Service::ready();
        self.board.reads_here();
        self.driver.run(&self.stop, until)?;
        self.board.set_stopping();
        Service::stopping(self.stop_wait);
        let seconds = self.began.elapsed().as_secs_f64();
        let (lanes, totals) = self.driver.finish();
        let lanes = sinks::stop(lanes, self.stop_wait);
        let retired = std::mem::take(&mut *self.retired.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = waiting.and_then(|w| w.is_finished().then(|| w.join().ok()).flatten());
        let status = ended.or_else(|| self.signals.status_without_end());
        let reader_left = self.reader_left.is_set();
        drop(self.messages);
        let file = self.report;
        Ok(Report { identity: self.identity, totals, lanes, retired, reader_left, status, seconds, file })
    }

    /// Opens the gate and asks to stop when the command has ended. After a signal it stays shut.
    fn wait_for(&self, mut gate: Gate) -> Result<Option<thread::JoinHandle<u8>>> {
        self.signals.pass_on_to(gate.pidfd().context("get a descriptor of the command")?);
        if self.stop.is_asked() {
            return Ok(None);
        }
        gate.open()?;
        let stop = self.stop.clone();
        let wait = move || {
            privilege::give_up_all();
            let status = gate.wait().unwrap_or_else(|e| {
                tracing::error!("{e}");
                super::EXIT_OWN
            });
            stop.ask();
            status
        };
        let thread = thread::Builder::new().name("command".into()).spawn(wait);
        thread.map(Some).context("start the thread that waits for the command")
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::paths::command_line;
    use crate::texts::Texts;

    #[test]
    fn a_long_command_line_of_a_process_that_runs_is_cut_between_characters() {
        for prefix in ["", "a", "ab"] {
            let long = format!("{prefix}{}", "漢".repeat(2_000));
            let mut sh = Command::new("sh");
            sh.args(["-c", "echo; read line", &long]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = sh.spawn().expect("sh");
            // Its arguments are there when it runs.
            child.stdout.take().expect("a pipe").read_exact(&mut [0]).expect("it runs");
            let mut texts = Texts::default();
            let line = command_line(&mut texts, &cmdline_of(child.id()), CMDLINE_BYTES_MAX);
            drop(child.stdin.take());
            child.wait().expect("its end");
            assert!(!line.is_escaped() && texts.get(line).ends_with('漢'), "{prefix}: {}", texts.get(line));
            assert!((CMDLINE_BYTES_MAX - 3..=CMDLINE_BYTES_MAX).contains(&texts.get(line).len()), "{prefix}");
        }
    }
}
