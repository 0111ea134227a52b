//! Going on where a collector before was killed: its programs are still attached, and its rings have what happened since.
//!
//! What is pinned belongs to one spool, whose directory says what it is. The same version with the same settings takes it over
//! and goes on in the same epoch. Any other reads the rings empty under the old epoch, and then attaches anew.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use weir_bpf::ring::Ring;
use weir_bpf::shared::Shared;
use weir_bpf::{Loaded, Pins, Settings, object_hash};
use weir_files::Dir;
use weir_sinks::{Cut, Identity, Position};

use super::driver::{marks, read_round};
use super::spool::{SPOOL_DIR, Spool};
use crate::assemble::Limits;
use crate::config::{Config, Filter, SpoolMode};
use crate::context::Rule;
use crate::host::{Cpus, Hierarchy};
use crate::order::{RingState, Sequencer, Source};
use crate::pipeline::{Pace, Pipeline, Selected};
use crate::rings::CpuRing;
use crate::spool::log::{STATE_BYTES_MAX, is_log};

/// Where pins stand.
const BPF_FS: &str = "/sys/fs/bpf";
/// What is pinned, in the directory of the spool.
const FILE: &str = "pinned.json";

/// What is pinned for a spool. Where is not said here: that is derived from the spool ([`pins_of`]).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pinned {
    /// Column `host`.
    pub host: String,
    /// Boot of the pins: they do not survive one.
    pub boot_id: String,
    /// Column `epoch`.
    pub epoch: i64,
    /// Of programs and settings; the same ones are taken over.
    pub fingerprint: u64,
    /// Of the definition of records; others cannot be read.
    pub records: u64,
    /// Bits of each class's selected actions.
    pub actions: [u64; 8],
    /// Path prefixes that the collector judges.
    pub only_paths: Vec<String>,
    /// The same for those that are left out.
    pub except_paths: Vec<String>,
    /// Containers, where the kernel was not told of a cgroup.
    #[serde(default)]
    pub containers: Rule,
    /// Records of a ring stand in the order of their times.
    pub exact_order: bool,
    /// Places for CPUs.
    pub cpus: usize,
}

fn hash(value: &impl std::hash::Hash) -> u64 {
    use std::hash::Hasher;
    let mut hasher = std::hash::DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Tells whether programs and settings are the same as before.
pub fn fingerprint(settings: &Settings) -> u64 {
    // CPUs come and go; everything else is the same or another load.
    let settings = Settings { online_cpus: vec![], ..settings.clone() };
    hash(&(object_hash(), format!("{settings:?}"), env!("CARGO_PKG_VERSION")))
}

/// Tells whether records are laid out as this version knows them.
pub fn records() -> u64 {
    hash(&weir_schema::render::c_header())
}

impl Pinned {
    /// What the spool in this directory has pinned, if the pins are there still and of this boot.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn find(spool: &Spool, boot_id: &str) -> Result<Option<Pinned>> {
        let Some(pinned) = Pinned::read(spool.dir())?.filter(|p| p.boot_id == boot_id) else { return Ok(None) };
        if !spool.pins().is_complete() {
            return Ok(None);
        }
        // Of this boot, so it has as many places for CPUs as there are now.
        let cpus = Cpus::read()?.places();
        if pinned.cpus != cpus {
            bail!(
                "{} is damaged: it has places for {} CPUs, and this machine for {cpus}",
                spool.dir().path_of(FILE).display(),
                pinned.cpus
            );
        }
        Ok(Some(pinned))
    }

    /// What the spool in this directory says, whether it is still so or not.
    fn read(spool: &Dir) -> Result<Option<Pinned>> {
        let path = spool.path_of(FILE);
        let bytes = match spool.read(FILE, STATE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .with_context(|| format!("read {}: remove it to attach anew; what is in the rings is lost", path.display()))
    }

    /// Stores it, before anything is pinned.
    ///
    /// # Errors
    /// When the spool cannot be written.
    pub fn store(&self, spool: &Dir) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(self)?;
        spool.replace(FILE, &bytes).context("store what is pinned in the spool")
    }

    /// Whose rows the rings hold.
    pub fn identity(&self) -> Identity {
        Identity { host: self.host.as_str().into(), boot_id: self.boot_id.as_str().into(), epoch: self.epoch }
    }
}

/// A change of what pinned programs were told. Whoever is killed in the middle leaves programs that nobody takes over: the next
/// start reads their rings empty and attaches anew.
pub struct Repin<'a> {
    spool: &'a Dir,
    pinned: Pinned,
}

impl<'a> Repin<'a> {
    /// Says in the spool that the programs are about to change.
    ///
    /// # Errors
    /// When the spool cannot be read or written.
    pub fn begin(spool: &'a Dir) -> Result<Repin<'a>> {
        let pinned =
            Pinned::read(spool)?.with_context(|| format!("{} has no {FILE} any more", spool.path().display()))?;
        Pinned { fingerprint: 0, ..pinned.clone() }.store(spool)?;
        Ok(Repin { spool, pinned })
    }

    /// Says what they are told now.
    ///
    /// # Errors
    /// When the spool cannot be written.
    pub fn end(self, settings: &Settings) -> Result<()> {
        let paths = settings.filters.paths.clone();
        let (fingerprint, only_paths, except_paths) = (fingerprint(settings), paths.only, paths.except);
        let containers = Filter::containers(&settings.filters);
        Pinned { fingerprint, only_paths, except_paths, containers, ..self.pinned }.store(self.spool)
    }
}

/// The pins of a spool. The owner of its directory is part of their name, so that no spool of another user can name those of
/// root's, whatever id it claims: the id has no hyphen here.
pub fn pins_of(log_id: &str, uid: u32) -> Pins {
    let short: String = log_id.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    let owner = if uid == 0 { String::new() } else { format!("{uid}-") };
    Pins::new(Path::new(BPF_FS).join(format!("weir-{owner}{short}")))
}

/// Where the log says that the reader stood; empty if the log has nothing of this epoch yet, and the rings have all of it.
pub struct Stood {
    /// By ring.
    pub rings: Vec<RingState>,
    /// The collector's own numbers.
    pub own: Option<Position>,
    /// No record before was later, ns.
    pub ktime_ns: i64,
}

impl Stood {
    /// From the last cut of the log.
    pub fn at(last: Option<&Cut>, identity: &Identity) -> Stood {
        let last = last.filter(|cut| cut.identity == *identity);
        let rings = last.and_then(|cut| serde_json::from_str::<Vec<RingState>>(&cut.resume).ok());
        let rings = rings.filter(|rings| rings.iter().all(|ring| ring.numbers.are_possible())).unwrap_or_default();
        let own =
            last.and_then(|cut| cut.positions.iter().find(|p| p.cpu == weir_schema::loss::CPU_COLLECTOR).copied());
        let ktime_ns = last.and_then(|cut| cut.positions.iter().map(|p| p.ktime_ns).max()).unwrap_or(0);
        Stood { rings, own, ktime_ns }
    }
}

/// The rings of a load before and its counters, without its programs.
pub struct OldRings {
    /// By CPU.
    pub rings: Vec<(usize, Option<Ring>)>,
    /// Counters of the CPUs.
    pub shared: Shared,
}

impl OldRings {
    /// Detaches a load that is not taken over; its rings stay.
    ///
    /// # Errors
    /// When pins cannot be opened or removed.
    pub fn detach(pinned: &Pinned, pins: &Pins) -> Result<OldRings> {
        let _lock = pins.lock()?;
        let old = OldRings::open(pinned, pins).context("open the rings of the load before")?;
        pins.remove().context("remove the pins of the load before")?;
        Ok(old)
    }

    /// Opens what is pinned.
    ///
    /// # Errors
    /// When a pin cannot be opened.
    pub fn open(pinned: &Pinned, pins: &Pins) -> Result<OldRings> {
        use std::os::fd::AsFd;
        let fd = |name: &str| pins.map_fd(name);
        let (cpus, reader, lost_log) = (fd(".data.cpus")?, fd(".data.reader")?, fd("lost_log")?);
        let shared = Shared::map(cpus.as_fd(), reader.as_fd(), lost_log.as_fd(), pinned.cpus)?;
        let ring = |cpu| -> Result<_> {
            let found = pins.ring_fd(cpu)?;
            Ok((cpu, found.map(|(fd, bytes)| Ring::map(fd, bytes as usize)).transpose()?))
        };
        Ok(OldRings { rings: (0..pinned.cpus).map(ring).collect::<Result<_>>()?, shared })
    }
}

/// A load before that is taken over.
pub struct Before {
    /// Whose rows come.
    pub identity: Identity,
    /// Where its reader stood.
    pub stood: Stood,
}

impl Before {
    /// From the log.
    ///
    /// # Errors
    /// When its last cut cannot be read.
    pub fn of(spool: &Spool, pinned: &Pinned) -> Result<Before> {
        let identity = pinned.identity();
        let last = spool.log().last_cut().context("read the last cut of the spool")?;
        let stood = Stood::at(last.as_deref(), &identity);
        Ok(Before { identity, stood })
    }

    /// Sets reader and rows to where they stood.
    pub fn go_on<S: Source>(self, sequencer: &mut Sequencer<S>, pipeline: &mut Pipeline) {
        sequencer.go_on(self.stood.rings);
        if let Some(own) = &self.stood.own {
            pipeline.go_on(own, self.stood.ktime_ns);
        }
    }
}

/// Pins what was just attached, and says so in the spool.
///
/// # Errors
/// When there is no BPF file system, or the kernel or the disk refuses.
pub fn pin(
    loaded: &mut Loaded,
    sequencer: &Sequencer<CpuRing>,
    pins: Pins,
    spool: &Dir,
    settings: &Settings,
    identity: &Identity,
) -> Result<()> {
    let mut actions = [0; 8];
    for id in &settings.selection.actions {
        actions[usize::from(id >> 8) & 7] |= 1 << (id & 63);
    }
    let pinned = Pinned {
        host: identity.host.to_string(),
        boot_id: identity.boot_id.to_string(),
        epoch: identity.epoch,
        fingerprint: fingerprint(settings),
        records: records(),
        actions,
        only_paths: settings.filters.paths.only.clone(),
        except_paths: settings.filters.paths.except.clone(),
        containers: Filter::containers(&settings.filters),
        exact_order: loaded.plan.exact_order,
        cpus: settings.possible_cpus,
    };
    let lock = pins.prepare().context("keep the programs across a restart (`--durability crash`)")?;
    pinned.store(spool)?;
    let rings = sequencer.sources().filter_map(|source| Some((source.number(), source.ring()?)));
    loaded.pin(pins, lock, rings).context("pin programs, maps and rings")
}

/// `weir detach`: what the spool has pinned goes; what its rings hold comes into the spool first. `None`: nothing is pinned.
///
/// # Errors
/// When the spool or the pins cannot be opened.
pub fn detach(config: &Config, boot_id: &str) -> Result<Option<u64>> {
    // Only this mode leaves anything attached, whether it is named here or not.
    let mut config = config.clone();
    config.spool.mode = SpoolMode::Crash;
    let dir = config.spool.dir.clone().unwrap_or_else(|| SPOOL_DIR.into());
    if !is_log(&dir) {
        bail!("{} is no spool: name the one that the collector had, by `--spool DIR`", dir.display());
    }
    let config = &config;
    let spool = Spool::open(config)?.context("name the spool: `--spool DIR`")?;
    match Pinned::find(&spool, boot_id)? {
        Some(pinned) => {
            let old = OldRings::detach(&pinned, &spool.pins())?;
            drain(config, &pinned, old, spool).map(Some)
        }
        None => Ok(None),
    }
}

/// Brings what the rings of a detached load hold into the log, to the end of its stream. Returns how many records.
///
/// # Errors
/// When the log cannot be written.
pub fn drain(config: &Config, pinned: &Pinned, old: OldRings, spool: Spool) -> Result<u64> {
    if pinned.records != records() {
        tracing::warn!("what the load before left in its rings is lost: another version wrote it");
        return Ok(0);
    }
    let before = Before::of(&spool, pinned)?;
    let shared = Arc::new(old.shared);
    let mut sequencer = Sequencer::new(config.clock_slack_ns as i64, pinned.exact_order);
    for (cpu, ring) in old.rings {
        sequencer.add(CpuRing::new(cpu, ring, Arc::clone(&shared)));
    }
    let selected = Selected {
        actions: pinned.actions,
        only_paths: pinned.only_paths.clone(),
        except_paths: pinned.except_paths.clone(),
    };
    let mut pipeline = Pipeline::new(before.identity.clone(), selected, super::context::of(config));
    pipeline.select_containers(pinned.containers.clone());
    super::context::list(&mut pipeline, &Hierarchy::find().unwrap_or_default());
    before.go_on(&mut sequencer, &mut pipeline);
    let first_cut = spool.first_cut();
    let (outlet, _) = spool.outlet(vec![])?;
    pipeline.add_outlet(Pace::Age(Duration::ZERO), Limits::of(config), outlet, first_cut);
    while read_round(&mut sequencer, &mut pipeline) {}
    let records = pipeline.counts().records;
    pipeline.finish(|| marks(&sequencer, false));
    tracing::info!(records, "what the load before left in its rings is in the spool");
    Ok(records)
}
