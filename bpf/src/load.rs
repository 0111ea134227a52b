//! Opens the object, loads what the plan says, attaches it, and keeps it alive.

use std::collections::BTreeSet;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex};

use libbpf_rs::{
    Iter, Link, Map, MapCore, MapFlags, Object, ObjectBuilder, OpenObject, PrintLevel, Program, ProgramMut, set_print,
};

use crate::filter::{self, Filters};
use crate::own;
use crate::pin::Pins;
use crate::plan::{Plan, Selection};
use crate::ring::{self, Ring};
use crate::shared::{LOST_LOG_ENTRIES, Mapping, Shared};
use crate::skel::types::{config, data_config, data_own};
use crate::{Error, btf};

/// The compiled programs.
static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/weir.bpf.o"));

/// Programs that weir cannot do without.
const NEEDED: &[&str] = &["weir_exec", "weir_fork", "weir_process_exit"];

/// Lines of the verifier's log that are kept of a refused program.
const LOG_LINES_MAX: usize = 20;

/// Everything that is decided before the load.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What to see.
    pub selection: Selection,
    /// What to leave out.
    pub filters: Filters,
    /// Bytes of each ring, a power of two.
    pub ring_bytes: u32,
    /// Bytes of each ring that only process records may use.
    pub lifecycle_bytes: u32,
    /// Bytes of argv, and of the environment, that an exec record keeps; at most 32767.
    pub args_bytes_max: u32,
    /// Record the environment of exec.
    pub env: bool,
    /// Processes that can be followed at once.
    pub followed_max: u32,
    /// CPUs of the machine, online or not.
    pub possible_cpus: usize,
    /// CPUs that are online.
    pub online_cpus: Vec<usize>,
    /// Where containers have their cgroups.
    pub containers: ContainerHierarchy,
    /// Root of the cgroup v2 hierarchy, for closes of sockets that are not TCP.
    pub cgroup_root: Option<std::path::PathBuf>,
}

/// The hierarchy in which containers have their cgroups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ContainerHierarchy {
    /// cgroup v2.
    #[default]
    V2,
    /// Of the pids controller of v1, with its number.
    Pids(u32),
    /// Of the memory controller of v1, with its number.
    Memory(u32),
}

impl ContainerHierarchy {
    /// As the programs have it: `enum container_hierarchy`, and the number of the hierarchy.
    fn numbers(self) -> (u32, u32) {
        match self {
            ContainerHierarchy::V2 => (0, 0),
            ContainerHierarchy::Pids(number) => (1, number),
            ContainerHierarchy::Memory(number) => (2, number),
        }
    }
}

/// Loaded and attached programs, with their shared memory.
pub struct Loaded {
    object: Object,
    links: Vec<(String, Link)>,
    /// What runs and what does not.
    pub plan: Plan,
    /// Programs that the verifier refused, with the last lines of its log.
    pub refused: Vec<(String, String)>,
    /// Counters and flags.
    pub shared: Arc<Shared>,
    config: Mapping,
    /// The collector's own processes.
    pub(crate) own: Mapping,
    ring_bytes: u32,
    /// What survives the collector.
    pins: Option<Pins>,
    /// Held as long as the pins are ours ([`Pins::lock`]).
    lock: Option<OwnedFd>,
    /// Attached programs of a load before, which this one goes on with.
    attached_before: Vec<(String, OwnedFd)>,
}

/// Maps that the collector reads or writes, and the jump table, which the kernel would empty without an owner.
const PINNED_MAPS: &[&str] = &[
    ".data.cpus",
    ".data.reader",
    own::MAP,
    ".data.config",
    "lost_log",
    "rings",
    "handlers",
    "followed",
    "not_followed",
    "users",
    "not_users",
    "comms",
    "not_comms",
    "prefixes",
    "not_prefixes",
    "cgroup_list",
    "not_cgroup_list",
    "container_cgroups",
];

/// The map of the followed subtrees, or of those that are left out.
fn tree(except: bool) -> &'static str {
    if except { "not_followed" } else { "followed" }
}

/// Tells one version of the compiled programs from another.
pub fn object_hash() -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    OBJECT.hash(&mut hasher);
    hasher.finish()
}

static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn keep_log(_: PrintLevel, line: String) {
    if let Ok(mut log) = LOG.lock() {
        log.push(line);
    }
}

fn take_log() -> String {
    LOG.lock().map(|mut log| log.drain(..).collect()).unwrap_or_default()
}

/// The program that libbpf names in its log as not loaded, with the verifier's last lines.
fn refused_program(log: &str) -> Option<(String, String)> {
    let line =
        log.lines().rev().find(|l| l.contains("': BPF program load failed") || l.contains("': failed to load"))?;
    let name = line.split("prog '").nth(1)?.split('\'').next()?.to_owned();
    let verifier: Vec<&str> = log.lines().filter(|l| !l.starts_with("libbpf: ")).collect();
    let tail = verifier[verifier.len().saturating_sub(LOG_LINES_MAX)..].join("\n");
    Some((name, tail))
}

fn open() -> Result<OpenObject, Error> {
    set_print(Some((PrintLevel::Debug, keep_log)));
    let mut builder = ObjectBuilder::default();
    builder.name("weir").map_err(Error::libbpf("name the object"))?;
    builder.open_memory(OBJECT).map_err(Error::libbpf("open the compiled programs"))
}

fn program_names(object: &OpenObject) -> BTreeSet<String> {
    object.progs().map(|p| p.name().to_string_lossy().into_owned()).collect()
}

fn prepare(object: &mut OpenObject, settings: &Settings, plan: &Plan, before: Option<&Pins>) -> Result<(), Error> {
    let wanted = plan.programs();
    for mut program in object.progs_mut() {
        let name = program.name().to_string_lossy().into_owned();
        program.set_autoload(wanted.contains(name.as_str()));
    }
    let cpus = settings.possible_cpus as u32;
    for mut map in object.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let entries = match name.as_str() {
            "rings" | "drafts" => Some(cpus),
            "lost_log" => Some(cpus * LOST_LOG_ENTRIES as u32),
            "followed" | "not_followed" => Some(settings.followed_max),
            _ => None,
        };
        if let Some(entries) = entries {
            map.set_max_entries(entries).map_err(Error::libbpf("size a map"))?;
        }
        if let Some(pins) = before.filter(|_| PINNED_MAPS.contains(&name.as_str())) {
            map.reuse_pinned_map(pins.map(&name)).map_err(Error::libbpf(format!("take over pinned map {name}")))?;
        }
    }
    Ok(())
}

impl Loaded {
    /// Loads and configures the programs, one ring per online CPU; nothing is attached yet.
    ///
    /// A program that the verifier refuses is left out, unless weir cannot do without it.
    ///
    /// # Errors
    /// No BTF, a refused program that is needed, missing capabilities, no memory.
    pub fn load(settings: &Settings) -> Result<Loaded, Error> {
        Loaded::load_over(settings, None)
    }

    /// Takes over what a collector before has pinned: its programs stay attached, and write into its rings. Settings and
    /// programs must be the same.
    ///
    /// # Errors
    /// As [`Loaded::load`], and when a pin is missing.
    pub fn take_over(settings: &Settings, pins: Pins) -> Result<Loaded, Error> {
        let lock = pins.lock()?;
        let mut loaded = Loaded::load_over(settings, Some(&pins))?;
        loaded.lock = Some(lock);
        for name in pins.links()? {
            let link =
                Link::open(pins.link(&name)).map_err(Error::libbpf(format!("open the pinned link of {name}")))?;
            let program = Program::fd_from_pinned_path(pins.program(&name));
            loaded.attached_before.push((name.clone(), program.map_err(Error::libbpf(format!("open pinned {name}")))?));
            loaded.links.push((name, link));
        }
        loaded.pins = Some(pins);
        Ok(loaded)
    }

    fn load_over(settings: &Settings, before: Option<&Pins>) -> Result<Loaded, Error> {
        let kernel = btf::Kernel::load()?;
        let mut refused: Vec<(String, String)> = vec![];
        loop {
            let mut object = open()?;
            let names = program_names(&object);
            let refused_names: Vec<String> = refused.iter().map(|(name, _)| name.clone()).collect();
            let plan = Plan::new(&settings.selection, &kernel, &names, &refused_names);
            prepare(&mut object, settings, &plan, before)?;
            take_log();
            match object.load() {
                Ok(object) => return Loaded::configure(object, plan, refused, settings, before.is_none()),
                Err(e) => {
                    let Some((program, log)) = refused_program(&take_log()) else {
                        return Err(Error::libbpf("load the programs")(e));
                    };
                    if NEEDED.contains(&program.as_str()) || refused_names.contains(&program) {
                        return Err(Error::Refused { program, log });
                    }
                    refused.push((program, log));
                }
            }
        }
    }

    fn configure(
        object: Object,
        plan: Plan,
        refused: Vec<(String, String)>,
        settings: &Settings,
        is_new: bool,
    ) -> Result<Loaded, Error> {
        let fd = |name: &str| map_fd(&object, name);
        let shared = Arc::new(Shared::map(
            fd(".data.cpus")?.as_fd(),
            fd(".data.reader")?.as_fd(),
            fd("lost_log")?.as_fd(),
            settings.possible_cpus,
        )?);
        let map = |name: &str, bytes: usize| {
            let len = bytes.next_multiple_of(rustix::param::page_size());
            Mapping::new(fd(name)?.as_fd(), 0, len, true).map_err(Error::io(format!("map {name}")))
        };
        let config = map(".data.config", size_of::<data_config>())?;
        let own = map(own::MAP, size_of::<data_own>())?;
        let mut loaded = Loaded {
            object,
            links: vec![],
            plan,
            refused,
            shared,
            config,
            own,
            ring_bytes: settings.ring_bytes,
            pins: None,
            lock: None,
            attached_before: vec![],
        };
        loaded.know_own()?;
        if !is_new {
            // The programs of the load before go on with their own configuration and jump table.
            return Ok(loaded);
        }
        for (slot, program) in &loaded.plan.handlers {
            let fd = loaded.program_fd(program)?;
            loaded.update("handlers", &slot.to_ne_bytes(), &fd.to_ne_bytes())?;
        }
        loaded.write_config(settings)?;
        Ok(loaded)
    }

    pub(crate) fn program(&self, name: &str) -> Option<ProgramMut<'_>> {
        self.object.progs_mut().find(|p| p.name() == name)
    }

    fn program_fd(&self, name: &str) -> Result<i32, Error> {
        let program = self.object.progs().find(|p| p.name() == name);
        let program =
            program.ok_or_else(|| Error::Libbpf { what: format!("find program {name}"), why: "not there".into() })?;
        Ok(program.as_fd().as_raw_fd())
    }

    fn map(&self, name: &str) -> Result<Map<'_>, Error> {
        let found = self.object.maps().find(|m| m.name() == name);
        found.ok_or_else(|| Error::Libbpf { what: format!("find map {name}"), why: "not there".into() })
    }

    pub(crate) fn update(&self, map: &str, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.map(map)?.update(key, value, MapFlags::ANY).map_err(Error::libbpf(format!("update map {map}")))
    }

    /// Removes a key; one that is not there is no error.
    pub(crate) fn delete(&self, map: &str, key: &[u8]) -> Result<(), Error> {
        match self.map(map)?.delete(key) {
            Err(error) if error.kind() != libbpf_rs::ErrorKind::NotFound => {
                Err(Error::libbpf(format!("change map {map}"))(error))
            }
            _ => Ok(()),
        }
    }

    /// What the programs are told.
    pub(crate) fn config(&self) -> config {
        // SAFETY: `.data.config` holds exactly one `struct config`, mapped for our lifetime; only this process writes it.
        unsafe { self.config.pointer().cast::<config>().read_volatile() }
    }

    /// Sets what the programs ask of a task, while they run: `filters` last, so that they never ask with the wrong lists.
    pub(crate) fn set_filters(&mut self, filters: u32, cgroups: u32, not_cgroups: u32) {
        let config = self.config.pointer().cast::<config>();
        // SAFETY: `.data.config` holds exactly one `struct config`, mapped writable; each field is an aligned word, which
        // programs read whole.
        unsafe {
            (&raw mut (*config).cgroups).write_volatile(cgroups);
            (&raw mut (*config).not_cgroups).write_volatile(not_cgroups);
            (&raw mut (*config).filters).write_volatile(filters);
        }
    }

    fn write_config(&mut self, settings: &Settings) -> Result<(), Error> {
        let mut next = config {
            filters: filter::bits(&settings.filters),
            args_bytes_max: settings.args_bytes_max,
            env: u32::from(settings.env),
            lifecycle_bytes: settings.lifecycle_bytes,
            ring_bytes: settings.ring_bytes,
            ..config::default()
        };
        (next.container_hierarchy, next.container_hierarchy_id) = settings.containers.numbers();
        self.plan.fill(&mut next);
        filter::fill(self, &settings.filters, &mut next)?;
        // SAFETY: `.data.config` holds exactly one `struct config`, mapped writable; programs read it word by word.
        unsafe { self.config.pointer().cast::<config>().write_volatile(next) };
        Ok(())
    }

    /// The memory that the programs share, for readers of their own.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Takes one more process into the followed subtrees, or into those that are left out.
    ///
    /// # Errors
    /// When the table is full.
    pub fn follow(&self, pid: u32, except: bool) -> Result<(), Error> {
        self.update(tree(except), &pid.to_ne_bytes(), &[1])
    }

    /// Takes a process out again; its children stay.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn unfollow(&self, pid: u32, except: bool) -> Result<(), Error> {
        self.delete(tree(except), &pid.to_ne_bytes())
    }

    /// Takes all processes out.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn unfollow_all(&self, except: bool) -> Result<(), Error> {
        let set = tree(except);
        let pids: Vec<Vec<u8>> = self.map(set)?.keys().collect();
        pids.iter().try_for_each(|pid| self.delete(set, pid))
    }

    /// Creates the ring of a CPU. The caller reads it from now on; [`Loaded::install_ring`] lets the programs write.
    ///
    /// # Errors
    /// No memory, no capability.
    pub fn create_ring(&self, cpu: usize) -> Result<Ring, Error> {
        if let Some(pins) = &self.pins
            && let Some((fd, bytes)) = pins.ring_fd(cpu)?
        {
            return Ring::map(fd, bytes as usize);
        }
        let fd = ring::create(&format!("weir_{cpu}"), self.ring_bytes)?;
        Ring::map(fd, self.ring_bytes as usize)
    }

    /// Lets the programs of a CPU write into its ring.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn install_ring(&self, cpu: usize, ring: &Ring) -> Result<(), Error> {
        if let Some(pins) = &self.pins
            && pins.ring_fd(cpu)?.is_none()
        {
            pins.pin_ring(cpu, ring)?;
        }
        self.update("rings", &(cpu as u32).to_ne_bytes(), &ring.raw_fd().to_ne_bytes())
    }

    /// Attaches everything that the plan runs, lifecycle first.
    ///
    /// # Errors
    /// When a needed program cannot be attached; others become missing in the plan.
    pub fn attach(&mut self, cgroup_root: Option<&std::path::Path>) -> Result<(), Error> {
        let names: Vec<String> = self.plan.programs().into_iter().map(String::from).collect();
        let attachable = |name: &str| !name.starts_with("call_") && ![own::PROGRAM, "weir_tasks"].contains(&name);
        let (needed, others): (Vec<_>, Vec<_>) =
            names.iter().filter(|n| attachable(n)).partition(|n| NEEDED.contains(&n.as_str()));
        for name in needed.into_iter().chain(others) {
            if let Err(e) = self.attach_one(name, cgroup_root) {
                if NEEDED.contains(&name.as_str()) {
                    return Err(e);
                }
                let probe = self.plan.probes.iter_mut().filter(|p| &p.program == name);
                probe.for_each(|p| p.state = crate::plan::State::Missing(e.to_string()));
            }
        }
        Ok(())
    }

    fn attach_one(&mut self, name: &str, cgroup_root: Option<&std::path::Path>) -> Result<(), Error> {
        let Some(program) = self.object.progs_mut().find(|p| p.name() == name) else { return Ok(()) };
        let link = if name == "weir_socket_release" {
            let root = cgroup_root.ok_or_else(|| Error::Libbpf {
                what: format!("attach {name}"),
                why: "no cgroup v2 hierarchy is mounted".into(),
            })?;
            let dir = File::open(root).map_err(Error::io(format!("open {}", root.display())))?;
            program.attach_cgroup(dir.as_raw_fd())
        } else {
            program.attach()
        };
        let link = link.map_err(Error::libbpf(format!("attach {name}")))?;
        self.links.push((name.to_owned(), link));
        Ok(())
    }

    /// Detaches everything: no record is begun after this returns.
    pub fn detach(&mut self) {
        if let Some(pins) = self.pins.take()
            && pins.remove().is_err()
        {
            // What stays pinned would keep the programs attached.
            self.links.iter().for_each(|(_, link)| drop(link.detach()));
        }
        self.links.clear();
    }

    /// Pins everything that is attached, with maps and rings: it all survives this process. `lock` is that of [`Pins::prepare`].
    ///
    /// # Errors
    /// When the kernel refuses, or there is no BPF file system.
    pub fn pin<'a>(
        &mut self,
        pins: Pins,
        lock: OwnedFd,
        rings: impl Iterator<Item = (usize, &'a Ring)>,
    ) -> Result<(), Error> {
        for mut map in self.object.maps_mut() {
            let name = map.name().to_string_lossy().into_owned();
            if PINNED_MAPS.contains(&name.as_str()) {
                map.pin(pins.map(&name)).map_err(Error::libbpf(format!("pin map {name}")))?;
            }
        }
        for (cpu, ring) in rings {
            pins.pin_ring(cpu, ring)?;
        }
        for (name, link) in &mut self.links {
            link.pin(pins.link(name)).map_err(Error::libbpf(format!("pin the link of {name}")))?;
        }
        for mut program in self.object.progs_mut() {
            let name = program.name().to_string_lossy().into_owned();
            if self.links.iter().any(|(n, _)| *n == name) {
                program.pin(pins.program(&name)).map_err(Error::libbpf(format!("pin program {name}")))?;
            }
        }
        pins.complete()?;
        self.lock = Some(lock);
        self.pins = Some(pins);
        Ok(())
    }

    /// Runs the task iterator and returns what it wrote: records of `process.running` one behind the other.
    ///
    /// # Errors
    /// When the kernel refuses the iterator.
    pub fn tasks(&self) -> Result<Vec<u8>, Error> {
        let Some(program) = self.program("weir_tasks") else { return Ok(vec![]) };
        let link = program.attach().map_err(Error::libbpf("attach the task iterator"))?;
        let mut iterator = Iter::new(&link).map_err(Error::libbpf("open the task iterator"))?;
        let mut bytes = vec![];
        iterator.read_to_end(&mut bytes).map_err(Error::io("read the task iterator"))?;
        Ok(bytes)
    }
}

fn map_fd(object: &Object, name: &str) -> Result<OwnedFd, Error> {
    let map = object.maps().find(|m| m.name() == name);
    let map = map.ok_or_else(|| Error::Libbpf { what: format!("find map {name}"), why: "not there".into() })?;
    map.as_fd().try_clone_to_owned().map_err(Error::io("keep a map's descriptor"))
}

/// What the kernel counted for one program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgramCounters {
    /// Name of the program.
    pub program: String,
    /// Runs that the kernel skipped because the program was interrupted by itself; they took no number.
    pub recursion_misses: u64,
    /// Runs, counted only while `kernel.bpf_stats_enabled` is set.
    pub runs: u64,
    /// Time of these runs, ns.
    pub run_time_ns: u64,
}

impl Loaded {
    /// What the kernel counted for every attached program.
    pub fn counters(&self) -> Vec<ProgramCounters> {
        if !self.attached_before.is_empty() {
            return self.attached_before.iter().filter_map(|(name, fd)| counters_of(name, fd.as_raw_fd())).collect();
        }
        let attached = |name: &str| self.links.iter().any(|(n, _)| n == name);
        let programs = self.object.progs().map(|p| (p.name().to_string_lossy().into_owned(), p.as_fd().as_raw_fd()));
        programs.filter(|(name, _)| attached(name)).filter_map(|(name, fd)| counters_of(&name, fd)).collect()
    }
}

fn counters_of(program: &str, fd: i32) -> Option<ProgramCounters> {
    use libbpf_rs::libbpf_sys::{bpf_prog_get_info_by_fd, bpf_prog_info};
    let mut info = bpf_prog_info::default();
    let mut len = size_of::<bpf_prog_info>() as u32;
    // SAFETY: `info` is a valid struct of `len` bytes that the kernel fills; all its pointers are null, so nothing else is
    // written.
    let failed = unsafe { bpf_prog_get_info_by_fd(fd, &raw mut info, &raw mut len) };
    (failed == 0).then(|| ProgramCounters {
        program: program.to_owned(),
        recursion_misses: info.recursion_misses,
        runs: info.run_cnt,
        run_time_ns: info.run_time_ns,
    })
}
