//! What the bytes that a program passes cost: execs whose arguments are of one kind each, replayed and for real.

mod storm;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::time::ClockId;
use weir_bpf::Selection;
use weir_collector::assemble;
use weir_collector::pipeline::{Marks, Pace, Pipeline, Selected};
use weir_schema::record::{Record, action_number, at};
use weir_schema::{CLASSES, ClassId};
use weir_sinks::Discard;

use crate::figures::Figures;
use crate::median::median;
use crate::play::{context, cpu_ns, identity, to_sink};
use crate::record::record;

/// Bytes of the argument.
const BYTES: usize = 32_000;
/// How much more than letters any other kind may cost.
const RATIO_MAX: f64 = 1.5;
/// Execs of one kind, and how often all kinds take turns.
const EXECS: usize = 2_000;
const ROUNDS: usize = 7;
const EXEC: u16 = 0x0102;

/// What the argument is made of; the first is what the others are compared with.
const KINDS: &[(&str, &[u8])] =
    &[("letters", b"a"), ("0xff", b"\xff"), ("newlines", b"\n"), ("characters of 3 bytes", "漢".as_bytes())];
/// Figures without a limit: the dearest mixtures.
const MIXTURES: &[(&str, &[u8])] =
    &[("0xff and backslashes", b"\xff\\\\\\\\\\\\\\"), ("0xff and letters", b"\xffa"), ("arguments of 1 byte", b"a\0")];

fn argument(piece: &[u8]) -> Vec<u8> {
    piece.repeat(BYTES / piece.len())
}

/// A recorded exec whose arguments are a mark and these bytes.
fn exec(template: &[u8], mark: usize, argument: &[u8], ktime_ns: i64) -> Result<Vec<u8>> {
    let class = CLASSES[ClassId::Process.index()];
    let layout = class.layout();
    let args = class.tail("args").context("the arguments are a tail")?;
    let recorded = Record::parse(template).ok().context("a whole record")?;
    let marked = [format!("{mark:08}\0").as_bytes(), argument, b"\0"].concat();
    let tails = (0..class.tails.len()).map(|i| if i == args { &marked[..] } else { recorded.tail(i) });
    let mut bytes = [recorded.fixed, &tails.collect::<Vec<_>>().concat()].concat();
    let size = bytes.len() as u32;
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(at::SIZE, &size.to_le_bytes());
    put(at::SEQ, &(mark as i64).to_le_bytes());
    put(at::KTIME_NS, &ktime_ns.to_le_bytes());
    put(layout.tail_lengths + 2 * args, &(marked.len() as u16).to_le_bytes());
    Ok(bytes)
}

/// CPU time of the reader per exec, ns: context, rows, batches.
fn replay(template: &[u8], piece: &[u8]) -> Result<f64> {
    let selected = Selected { actions: [0, u64::MAX, 0, 0, 0, 0, 0, 0], ..Selected::default() };
    let mut pipeline = Pipeline::new(identity(), selected, context(false));
    let batches = assemble::Limits { rows_max: 8192, bytes_max: 8 << 20 };
    pipeline.add_outlet(Pace::Age(Duration::from_secs(3600)), batches, to_sink(Box::new(Discard))?, 0);
    let (argument, mut ns) = (argument(piece), 0.0);
    for n in 0..EXECS {
        let bytes = exec(template, n, &argument, 1_000 * n as i64)?;
        let begin = cpu_ns(ClockId::ThreadCPUTime);
        pipeline.record(0, &bytes);
        if pipeline.is_full() {
            pipeline.close_due(false, Instant::now(), Marks::default);
        }
        ns += cpu_ns(ClockId::ThreadCPUTime) - begin;
    }
    let (lanes, _) = pipeline.finish(Marks::default);
    lanes.into_iter().for_each(|lane| drop(lane.stop(Instant::now() + Duration::from_secs(60))));
    Ok(ns / EXECS as f64)
}

/// All figures.
pub fn measure(figures: &mut Figures) -> Result<()> {
    let actions = CLASSES[ClassId::Process.index()].actions.iter().map(|action| action.id).collect();
    let selection = Selection { actions, ..Selection::default() };
    let recording = record(selection, "/bin/true one two", 1, |record| action_number(record) == EXEC)?;
    let found = recording.records.iter().find(|record| action_number(record) == EXEC);
    let template = found.context("an exec was recorded")?;
    let kinds: Vec<_> = KINDS.iter().chain(MIXTURES).collect();
    let mut rounds = vec![];
    for _ in 0..ROUNDS {
        rounds.push(kinds.iter().map(|(_, piece)| replay(template, piece)).collect::<Result<Vec<f64>>>()?);
    }
    for (i, (name, _)) in kinds.iter().enumerate() {
        let ns = median(rounds.iter().map(|round| round[i]).collect());
        let ratio = median(rounds.iter().map(|round| round[i] / round[0]).collect());
        let name = format!("texts: an exec with {BYTES} bytes, {name}");
        let note = format!("{ratio:.2} of letters; reader thread, an argument of its own in each");
        if (1..KINDS.len()).contains(&i) {
            figures.at_most(&name, ratio, RATIO_MAX, "", format!("{ns:.0} ns; {note}"));
        } else {
            figures.say(&name, ns, "ns", note);
        }
    }
    storm::measure(figures)
}
