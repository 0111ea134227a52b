//! What it costs that a sink which talks to a broker has a process of its own: a capture is replayed into Kafka with and without,
//! in turn, to the last acknowledgement.

use anyhow::Result;
use weir_tests::brokers::kafka::{Broker, Options};

use crate::brokers;
use crate::figures::Figures;
use crate::median::median;
use crate::replay::{record, replay, rows_of};

/// Runs of each kind, in turn.
const ROUNDS: usize = 5;
/// The longest that a replay over the boundary may take, as a part of one without.
const RATIO_MAX: f64 = 1.1;

/// JSON and Arrow messages.
pub fn measure(figures: &mut Figures) -> Result<()> {
    let Some(jars) = brokers::kafka() else {
        figures.skip("sink process", brokers::MISSING);
        return Ok(());
    };
    let broker = Broker::start(&jars, &Options::default());
    let dir = tempfile::tempdir()?;
    let capture = dir.path().join("capture");
    record(&capture)?;
    let rows = rows_of(&capture)?;
    for format in ["json", "arrow"] {
        let once = |process: &str| {
            let address = broker.address();
            let to = ["--kafka", &address, "--kafka-create-topics", "--kafka-format", format, "--new-epoch", process];
            replay(&capture, &to)
        };
        let (mut apart, mut within) = (vec![], vec![]);
        once("--sink-process")?; // makes the topics
        for _ in 0..ROUNDS {
            apart.push(once("--sink-process")?);
            within.push(once("--no-sink-process")?);
        }
        let of = |runs: &[[f64; 2]], which: usize| median(runs.iter().map(|run| run[which]).collect());
        let [[cpu, wall], [cpu_within, wall_within]] = [&apart, &within].map(|runs| [of(runs, 0), of(runs, 1)]);
        let note = format!(
            "{:.0} and {:.0} k rows/s; {:.2} of the CPU time; {rows} rows",
            rows / wall / 1e3,
            rows / wall_within / 1e3,
            cpu / cpu_within
        );
        let name = format!("time of a replay to Kafka ({format}), sink in a process of its own / not");
        figures.at_most(&name, wall / wall_within, RATIO_MAX, "", note);
    }
    Ok(())
}
