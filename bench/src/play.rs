//! Recorded rows through the real pipeline: process CPU time per row, whatever stands at its end.

use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};
use weir_collector::assemble::Limits;
use weir_collector::context::{self, Context};
use weir_collector::order::Sequencer;
use weir_collector::outlet::Outlet;
use weir_collector::pipeline::{Marks, Pace, Pipeline, Selected};
use weir_sinks::{Identity, Lane, LaneOptions, Policy, Position, Sink};

use crate::record::Recording;
use crate::tape::Tape;

/// Records between two rounds.
const FILL: usize = 4096;
/// Kernel time between two records, ns.
const STEP_NS: i64 = 1500;

/// Who made the rows.
pub fn identity() -> Identity {
    Identity { host: "bench".into(), boot_id: "00000000-0000-0000-0000-000000000000".into(), epoch: 1 }
}

/// A clock of this process or thread, ns.
pub fn cpu_ns(clock: ClockId) -> f64 {
    let t = clock_gettime(clock);
    t.tv_sec as f64 * 1e9 + t.tv_nsec as f64
}

/// What was played.
pub struct Played {
    /// How many rows.
    pub rows: u64,
    /// CPU time of all threads.
    pub ns_per_row: f64,
}

fn marks(sequencer: &Sequencer<Tape>) -> Marks {
    let position = |(cpu, next, ktime_ns)| Position { cpu: cpu as i32, next_seq: next as i64, ktime_ns };
    let positions = sequencer.positions().map(|(cpu, next, time): (usize, u64, i64)| position((cpu, next, time)));
    Marks { positions: positions.collect(), resume: String::new() }
}

/// A lane that the pipeline waits for.
pub fn lane_options() -> LaneOptions {
    LaneOptions { policy: Policy::Block, block_max: Duration::from_secs(600), ..LaneOptions::default() }
}

/// A pipeline's end that is one sink.
pub fn to_sink(sink: Box<dyn Sink>) -> Result<Outlet> {
    Ok(Outlet::Lanes(vec![Lane::start(lane_options(), sink)?], None))
}

/// Nothing known yet, within the limits that are the default.
pub fn context(is_plain: bool) -> Context {
    let limits =
        context::Limits { processes_max: 65_536, grace_ns: 10_000_000_000, ancestors_max: 16, bytes_max: 64 << 20 };
    Context::new(limits, is_plain)
}

/// Plays `rows` rows of one class through the pipeline; CPU time of all threads but for filling the tape.
pub fn play(recording: &Recording, class: u16, rows: u64, outlet: Outlet) -> Result<Played> {
    play_in(context(false), recording, class, rows, outlet)
}

/// The same, with what is known at the start.
pub fn play_in(context: Context, recording: &Recording, class: u16, rows: u64, outlet: Outlet) -> Result<Played> {
    let mut actions = [0u64; 8];
    actions[usize::from(class)] = u64::MAX;
    let selected = Selected { actions, ..Selected::default() };
    let mut pipeline = Pipeline::new(identity(), selected, context);
    let limits = Limits { rows_max: 8192, bytes_max: 8 << 20 };
    pipeline.add_outlet(Pace::Age(Duration::from_millis(25)), limits, outlet, 0);
    let mut sequencer = Sequencer::new(0, true);
    sequencer.add(Tape::new(0));
    let mut played = 0;
    let mut ktime_ns = 1_000_000_000i64;
    let mut source = recording.records.iter().map(Vec::as_slice).cycle();
    let mut filling = 0.0;
    let begin = cpu_ns(ClockId::ProcessCPUTime);
    while played < rows {
        let fill = cpu_ns(ClockId::ThreadCPUTime);
        for tape in sequencer.sources_mut() {
            tape.fill((&mut source).take(FILL).map(|record| {
                ktime_ns += STEP_NS;
                (record, ktime_ns)
            }));
        }
        filling += cpu_ns(ClockId::ThreadCPUTime) - fill;
        let before = pipeline.counts().rows;
        drain(&mut pipeline, &mut sequencer, ktime_ns);
        played += pipeline.counts().rows - before;
    }
    let (lanes, _) = pipeline.finish(|| marks(&sequencer));
    for lane in lanes {
        lane.stop(Instant::now() + Duration::from_secs(60));
    }
    let ns = cpu_ns(ClockId::ProcessCPUTime) - begin - filling;
    Ok(Played { rows: played, ns_per_row: ns / played as f64 })
}

/// Rounds until the tape is empty.
fn drain(pipeline: &mut Pipeline, sequencer: &mut Sequencer<Tape>, ktime_ns: i64) {
    loop {
        let mut gaps = vec![];
        let emit = |cpu: usize, record: &[u8]| {
            pipeline.record(cpu, record);
            !pipeline.is_full()
        };
        let round = sequencer.round(|| ktime_ns + 1, emit, &mut gaps);
        let full = pipeline.is_full();
        pipeline.close_due(!full && !round.more, Instant::now(), || marks(sequencer));
        if !full && !round.more {
            break;
        }
    }
}
