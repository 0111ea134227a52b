//! The sinks of the configuration, each in a lane of its own.

use std::io::{self, ErrorKind, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use weir_schema::{CLASSES, ClassId};
use weir_sinks::parquet::{ParquetOptions, ParquetSink};
use weir_sinks::stdout::Closed;
use weir_sinks::{ClassSet, Format, Identity, Lane, LaneOptions, LaneReport, Sink, StdoutSink};

use super::stop::Stop;
use crate::assemble::Limits;
use crate::config::{Config, StdoutFormat};
use crate::host::Host;
use crate::pipeline::{Pace, Pipeline};
use crate::privilege;

/// How long a lane may take to write its last rows.
pub const STOP_MAX: Duration = Duration::from_secs(30);

fn options(config: &Config, classes: ClassSet) -> LaneOptions {
    LaneOptions {
        cuts_max: config.lane_cuts_max,
        bytes_max: usize::try_from(config.lane_bytes_max).unwrap_or(usize::MAX),
        classes,
        ..LaneOptions::default()
    }
}

/// Classes with a selected action.
fn classes(actions: &[u64; 8]) -> ClassSet {
    let selected = |id: ClassId| id == ClassId::Loss || actions[id as usize] != 0;
    ClassSet::of(CLASSES.iter().map(|c| c.id).filter(|id| selected(*id)))
}

fn parquet(config: &Config, host: &Host, identity: &Identity) -> Result<Option<ParquetSink>> {
    let Some(dir) = &config.parquet.dir else { return Ok(None) };
    let options = ParquetOptions {
        dir: dir.clone(),
        rows_max: config.parquet.file_rows_max,
        bytes_max: config.parquet.file_bytes_max,
        age_max: config.parquet.file_age,
        compression: config.parquet.zstd_level as i32,
        owner: host.caller.map(|caller| (caller.uid, caller.gid)),
        dir_bytes_max: config.parquet.dir_bytes_max,
        dir_age_max: config.parquet.dir_age_max,
        free_bytes_min: config.parquet.free_bytes_min,
        ..ParquetOptions::default()
    };
    let sink = ParquetSink::open(options, identity.clone(), env!("CARGO_PKG_VERSION"))
        .with_context(|| format!("open the Parquet directory {}", dir.display()))?;
    Ok(Some(sink))
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
fn lane(options: LaneOptions, sink: Box<dyn Sink>) -> Result<Lane> {
    let name = sink.name().to_owned();
    let lane = privilege::start_reduced(false, || Lane::start(options, sink))?;
    lane.with_context(|| format!("start the lane of {name}"))
}

/// Adds the lanes to the pipeline: those of files at their age, standard output at every drain. `stop` is asked when the
/// only reader leaves.
pub fn add(
    pipeline: &mut Pipeline,
    config: &Config,
    host: &Host,
    identity: &Identity,
    actions: &[u64; 8],
    stop: Option<Stop>,
) -> Result<Closed> {
    let mut closed = Closed::default();
    let limits = Limits {
        rows_max: config.batch_rows_max,
        bytes_max: usize::try_from(config.batch_bytes_max).unwrap_or(usize::MAX),
    };
    let classes = classes(actions);
    if let Some(sink) = parquet(config, host, identity)? {
        let lane = lane(options(config, classes), Box::new(sink))?;
        pipeline.add_lanes(Pace::Age(Duration::from_millis(config.batch_age_ms)), limits, vec![lane]);
    }
    if let Some(format) = config.stdout.format {
        let format = match format {
            StdoutFormat::Json => Format::Json,
            StdoutFormat::Table => Format::Table,
        };
        let stop = stop.filter(|_| config.parquet.dir.is_none());
        let sink = StdoutSink::new(format, Box::new(Watched { stream: io::stdout(), stop }));
        closed = sink.closed();
        let lane = lane(options(config, classes), Box::new(sink))?;
        pipeline.add_lanes(Pace::Drain, limits, vec![lane]);
    }
    Ok(closed)
}

/// Waits until every lane has written its last rows.
pub fn stop(lanes: Vec<Lane>) -> Vec<LaneReport> {
    let deadline = Instant::now() + STOP_MAX;
    lanes.into_iter().map(|lane| lane.stop(deadline)).collect()
}
