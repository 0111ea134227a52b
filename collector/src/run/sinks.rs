//! The sinks of the configuration, each in a lane of its own.

mod kafka;
mod nats;
mod secrets;

use std::io::{self, ErrorKind, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use weir_schema::{CLASSES, ClassId};
use weir_sinks::parquet::{ParquetOptions, ParquetSink};
use weir_sinks::stdout::Closed;
use weir_sinks::{
    BacklogOptions, ClassSet, Discard, Format, Identity, Lane, LaneOptions, LaneReport, Sink, SinkError, StdoutSink,
};

use super::spool::Spool;
use super::stop::Stop;
use crate::assemble::Limits;
use crate::config::{Config, DATA_DIR, Parquet, SinkConfig, SinkKind, SinkSettings, StdoutFormat};
use crate::helper::Given;
use crate::host::{Caller, Host};
use crate::pipeline::{Pace, Pipeline};
use crate::privilege::{self, Role};
use crate::sink_process::{Broker, Opening, Program, RemoteSink};
use crate::spool::Spooled;
use crate::terminal;

/// What the sinks are made for.
pub struct Run<'a> {
    /// Limits of lanes and batches, and the sinks.
    pub config: &'a Config,
    /// The machine.
    pub host: &'a Host,
    /// Whose rows.
    pub identity: &'a Identity,
    /// Bits of each class's selected actions.
    pub actions: &'a [u64; 8],
    /// Asked when the only reader leaves.
    pub stop: Option<Stop>,
    /// Files that were opened already; others are opened by their path.
    pub given: &'a Given,
}

/// A sink that is ready for its lane.
pub struct Made {
    /// The sink.
    pub sink: Box<dyn Sink>,
    /// When it gets its cuts.
    pub pace: Pace,
}

impl Run<'_> {
    /// Of the sink's lane.
    pub fn options(&self, sink: &SinkConfig) -> LaneOptions {
        LaneOptions {
            cuts_max: self.config.lane_cuts_max,
            bytes_max: usize::try_from(self.config.lane_bytes_max).unwrap_or(usize::MAX),
            classes: self.classes(sink),
            policy: sink.policy,
            ..LaneOptions::default()
        }
    }

    /// Classes of the sink with a selected action.
    fn classes(&self, sink: &SinkConfig) -> ClassSet {
        let is_recorded = |id: ClassId| id == ClassId::Loss || self.actions[id as usize & 7] != 0;
        for class in CLASSES.iter().filter(|_| sink.classes != ClassSet::all()) {
            if sink.classes.contains(class.id) && !is_recorded(class.id) {
                tracing::warn!(
                    sink = sink.name,
                    class = class.name,
                    "a class of the sink is not recorded: add it to `classes`"
                );
            }
        }
        ClassSet::of(CLASSES.iter().map(|c| c.id).filter(|id| sink.classes.contains(*id) && is_recorded(*id)))
    }

    fn age(&self) -> Pace {
        Pace::Age(Duration::from_millis(self.config.batch_age_ms))
    }

    /// Files and messages get their cuts by age, eyes at every drain.
    pub fn pace(&self, kind: SinkKind) -> Pace {
        if kind == SinkKind::Stdout { Pace::Drain } else { self.age() }
    }

    /// Opens the sink.
    ///
    /// # Errors
    /// When it can never work as it is configured.
    pub fn make(&self, sink: &SinkConfig) -> Result<Made> {
        self.make_watched(sink, &mut Closed::default())
    }

    fn make_watched(&self, sink: &SinkConfig, closed: &mut Closed) -> Result<Made> {
        let made: Box<dyn Sink> = match &sink.settings {
            SinkSettings::Parquet(section) => Box::new(self.parquet(&sink.name, section)?),
            SinkSettings::Stdout(section) => {
                let made = self.stdout(&sink.name, section.format);
                *closed = made.closed();
                Box::new(made)
            }
            SinkSettings::Kafka(section) => {
                let options =
                    kafka::options(&sink.name, section, &self.config.dead_letters, &self.identity.host, self.given)?;
                self.broker(Broker::Kafka(Box::new(options)))?
            }
            SinkSettings::Nats(section) => {
                let options = nats::options(&sink.name, section, &self.config.dead_letters, self.given)?;
                self.broker(Broker::Nats(Box::new(options)))?
            }
        };
        Ok(Made { sink: made, pace: self.pace(sink.kind()) })
    }

    /// What the network sends is met by a process that can do nothing else.
    fn broker(&self, broker: Broker) -> Result<Box<dyn Sink>> {
        let (name, host) = (broker.name().to_owned(), self.identity.host.to_string());
        if !self.config.sink_process {
            let letters = broker.dead_letters(self.owner());
            return self.opened(&name, || broker.open(&host, letters));
        }
        let level = self.config.log.level.into();
        let opening =
            Opening { broker, host, memory_max: self.config.sink_memory_max, level, parent: std::process::id() };
        self.opened(&name, || -> Result<Box<dyn Sink>, SinkError> {
            Ok(Box::new(RemoteSink::open(&opening, Program::own(), self.owner())?))
        })
    }

    /// A sink that starts threads of its own when it is opened, so that these have no right that only the start needs.
    fn opened<T: Send>(&self, name: &str, open: impl FnOnce() -> Result<T, SinkError> + Send) -> Result<T> {
        privilege::start_as(Role::Files, open)?.with_context(|| format!("open sink {name}"))
    }

    /// Who gets the files.
    fn owner(&self) -> Option<(u32, u32)> {
        self.host.caller.map(Caller::ids)
    }

    fn parquet(&self, name: &str, section: &Parquet) -> Result<ParquetSink> {
        let dir = section.dir.clone().unwrap_or_else(|| DATA_DIR.into());
        let options = ParquetOptions {
            name: name.to_owned(),
            dir: dir.clone(),
            rows_max: section.file_rows_max,
            bytes_max: section.file_bytes_max,
            age_max: section.file_age,
            compression: section.zstd_level as i32,
            owner: self.owner(),
            dir_bytes_max: section.dir_bytes_max,
            dir_age_max: section.dir_age_max,
            free_bytes_min: section.free_bytes_min,
            ..ParquetOptions::default()
        };
        ParquetSink::open(options, self.identity.clone(), env!("CARGO_PKG_VERSION"))
            .with_context(|| format!("open the Parquet directory {}", dir.display()))
    }

    fn stdout(&self, name: &str, format: Option<StdoutFormat>) -> StdoutSink {
        let format = match format {
            Some(StdoutFormat::Table) => Format::Table,
            Some(StdoutFormat::Json) | None => Format::Json,
        };
        let stop = self.stop.clone().filter(|_| self.config.sinks.len() == 1);
        StdoutSink::new(format, Box::new(Watched { stream: terminal::stdout(), stop })).named(name)
    }
}

/// Standard output, whose reader may leave (`| head`): then `stop` is asked, if there is nothing else to run for.
struct Watched {
    stream: io::Stdout,
    stop: Option<Stop>,
}

impl Watched {
    fn look<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let (Err(error), Some(stop)) = (&result, &self.stop)
            && error.kind() == ErrorKind::BrokenPipe
        {
            stop.ask();
        }
        result
    }
}

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.stream.write(bytes);
        self.look(result)
    }
    fn flush(&mut self) -> io::Result<()> {
        let result = self.stream.flush();
        self.look(result)
    }
}

/// A lane, whose worker has no right that only the start needs.
fn lane(role: Role, options: LaneOptions, sink: Box<dyn Sink>, backlog: Option<BacklogOptions>) -> Result<Lane> {
    let name = sink.name().to_owned();
    let lane = privilege::start_as(role, || Lane::start_with(options, sink, backlog))?;
    lane.with_context(|| format!("start the lane of {name}"))
}

/// Adds a lane for every sink of the configuration to the pipeline.
///
/// # Errors
/// A sink that can never work as it is configured.
pub fn add(pipeline: &mut Pipeline, run: &Run<'_>, spool: Option<Spool>) -> Result<(Closed, Option<Spooled>)> {
    let mut closed = Closed::default();
    let limits = Limits::of(run.config);
    // Lanes of one pace share their cuts. Eyes have no use for what is late, so they have no spool.
    let (mut by_age, mut at_drain) = (vec![], vec![]);
    for sink in &run.config.sinks {
        let made = run.make_watched(sink, &mut closed)?;
        let spool = spool.as_ref().filter(|_| made.pace != Pace::Drain);
        let backlog = spool.map(|spool| spool.backlog(&sink.name, sink.start)).transpose();
        let backlog = backlog.with_context(|| format!("find where sink {} stands in the spool", sink.name))?;
        let lane = lane(Role::Files, run.options(sink), made.sink, backlog)?;
        if made.pace == Pace::Drain { at_drain.push(lane) } else { by_age.push(lane) }
    }
    pipeline.add_lanes(Pace::Drain, limits, at_drain);
    let Some(spool) = spool else {
        pipeline.add_lanes(run.age(), limits, by_age);
        return Ok((closed, None));
    };
    let first_cut = spool.first_cut();
    let (outlet, spooled) = spool.outlet(by_age)?;
    pipeline.add_outlet(run.age(), limits, outlet, first_cut);
    Ok((closed, Some(spooled)))
}

/// A lane for every sink of the configuration, each fed from a log alone.
///
/// # Errors
/// A sink that can never work as it is configured.
pub fn from_log(run: &Run<'_>, log_of: impl Fn(&str) -> Result<BacklogOptions>) -> Result<Vec<Lane>> {
    let mut closed = Closed::default();
    let start = |sink: &SinkConfig| {
        let made = run.make_watched(sink, &mut closed)?;
        lane(Role::Replay, run.options(sink), made.sink, Some(log_of(&sink.name)?))
    };
    run.config.sinks.iter().map(start).collect()
}

/// A lane that reads a log to its end and writes nothing.
///
/// # Errors
/// When the system refuses a thread.
pub fn discard(run: &Run<'_>, log: BacklogOptions) -> Result<Lane> {
    let options = LaneOptions { cuts_max: run.config.lane_cuts_max, ..LaneOptions::default() };
    lane(Role::Replay, options, Box::new(Discard), Some(log))
}

/// Waits until every lane has written its last rows, all together not longer than `wait`.
pub fn stop(lanes: Vec<Lane>, wait: Duration) -> Vec<LaneReport> {
    let deadline = Instant::now() + wait;
    lanes.into_iter().map(|lane| lane.stop(deadline)).collect()
}
