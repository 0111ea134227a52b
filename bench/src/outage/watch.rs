//! Samples of a running weir, one a second.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::metrics::Metrics;
use crate::weir;

const EVERY: Duration = Duration::from_secs(1);

/// Which weir, and which of its sinks.
pub struct Watch<'a> {
    /// Where it serves its metrics.
    pub address: &'a str,
    /// Its process.
    pub pid: u32,
    /// Names of its sinks.
    pub sinks: [&'a str; 3],
}

/// What it said at one moment.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Seconds since the watch began.
    pub at_s: f64,
    /// Events that became rows.
    pub events: f64,
    /// Durable rows by sink.
    pub rows: [f64; 3],
    /// By sink, age of the last durable event while others are on their way.
    pub lag_s: [f64; 3],
    /// Resident memory.
    pub rss_mib: f64,
    /// Bytes of the spool.
    pub spool_mib: f64,
}

impl Watch<'_> {
    /// Looks now.
    pub fn sample(&self) -> Result<Sample> {
        self.since(Instant::now())
    }

    fn since(&self, began: Instant) -> Result<Sample> {
        let metrics = Metrics::read(self.address)?;
        let of = |name: &str| self.sinks.map(|sink| metrics.sum(name, &[("sink", sink)]));
        Ok(Sample {
            at_s: metrics.at.duration_since(began).as_secs_f64(),
            events: metrics.sum("weir_events_total", &[]),
            rows: self.sinks.map(|sink| metrics.sum("weir_sink_rows_total", &[("sink", sink), ("class", "file")])),
            lag_s: of("weir_sink_lag_seconds"),
            rss_mib: weir::status_kib(self.pid, "VmRSS:").unwrap_or(0) as f64 / 1024.0,
            spool_mib: metrics.sum("weir_spool_bytes", &[]) / f64::from(1 << 20),
        })
    }

    /// One sample a second.
    pub fn during(&self, duration: Duration) -> Result<Vec<Sample>> {
        self.until(duration, |_| false)
    }

    /// One sample a second until it is as asked, but not longer than `longest`.
    pub fn until(&self, longest: Duration, is_it: impl Fn(&Sample) -> bool) -> Result<Vec<Sample>> {
        let began = Instant::now();
        let mut samples = vec![self.since(began)?];
        while began.elapsed() < longest && !samples.last().is_some_and(&is_it) {
            let next = began + EVERY * samples.len() as u32;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            samples.push(self.since(began)?);
        }
        Ok(samples)
    }
}

/// Growth per second from the first sample to the last.
pub fn rate(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return f64::NAN };
    (of(last) - of(first)) / (last.at_s - first.at_s)
}

/// The largest value.
pub fn most(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    samples.iter().map(of).fold(f64::NEG_INFINITY, f64::max)
}
