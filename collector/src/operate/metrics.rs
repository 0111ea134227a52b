//! The counts in Prometheus' text format. One entry of [`METRICS`] per metric; the labels of a sample follow its values.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;
use weir_schema::CLASSES;
use weir_schema::loss::REASONS;
use weir_sinks::Ledger;
use weir_sinks::lane::LaneState;

use super::{Board, Facts, Published, Stalls};
use crate::host::clock::boottime_ns;

/// What is served as the answer's type.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All counts at one moment.
pub struct Snapshot {
    facts: Arc<Facts>,
    published: Arc<Published>,
    lanes: Vec<(String, Ledger)>,
    /// CPU, numbers given out, wake-ups forced.
    cpus: Vec<(usize, u64, u64)>,
    rounds: u64,
    stalls: Stalls,
    reloads: [u64; 2],
    uptime_s: f64,
    /// Kernel time, ns.
    now_ns: i64,
    /// Bytes of the log, syncs, rows given up, whether it can be written.
    spool: Option<[f64; 4]>,
}

impl Snapshot {
    /// What the board says now.
    pub fn of(board: &Board) -> Snapshot {
        Snapshot {
            facts: board.facts(),
            published: board.published(),
            lanes: board.lanes().iter().map(|lane| (lane.name().to_owned(), lane.ledger())).collect(),
            cpus: board.cpus().map(|(cpu, counters)| (cpu, counters.seq, counters.forced_wakeups)).collect(),
            rounds: board.rounds(),
            stalls: board.stalls(),
            reloads: board.reloads(),
            uptime_s: board.uptime().as_secs_f64(),
            now_ns: boottime_ns(),
            spool: board.spool().map(|spool| spool.counts()),
        }
    }
}

type Labels = Vec<(&'static str, String)>;

/// Values with their labels.
type Samples = Vec<(Labels, f64)>;

pub(super) struct Metric {
    /// Without `_total`, which counters get.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: MetricType,
    samples: fn(&Snapshot) -> Samples,
}

const fn counter(name: &'static str, help: &'static str, samples: fn(&Snapshot) -> Samples) -> Metric {
    Metric { name, help, kind: MetricType::Counter, samples }
}

const fn gauge(name: &'static str, help: &'static str, samples: fn(&Snapshot) -> Samples) -> Metric {
    Metric { name, help, kind: MetricType::Gauge, samples }
}

fn one(value: f64) -> Samples {
    vec![(Labels::new(), value)]
}

fn by_sink(snapshot: &Snapshot, value: fn(&Ledger) -> f64) -> Samples {
    snapshot.lanes.iter().map(|(name, ledger)| (vec![("sink", name.clone())], value(ledger))).collect()
}

fn by_sink_at(snapshot: &Snapshot, value: fn(i64, &Ledger) -> f64) -> Samples {
    let sample = |(name, ledger): &(String, Ledger)| (vec![("sink", name.clone())], value(snapshot.now_ns, ledger));
    snapshot.lanes.iter().map(sample).collect()
}

fn spool(snapshot: &Snapshot, at: usize) -> Samples {
    snapshot.spool.map_or_else(Samples::new, |counts| one(counts[at]))
}

fn events(snapshot: &Snapshot) -> Samples {
    let actions = CLASSES.iter().flat_map(|class| class.actions.iter().map(move |action| (class, action)));
    let counted = actions.map(|(class, action)| {
        let labels = vec![("class", class.name.to_owned()), ("action", action.name.to_owned())];
        (labels, snapshot.published.tallies.rows_of(action.id) as f64)
    });
    counted.filter(|(_, count)| *count > 0.0).collect()
}

fn lost(snapshot: &Snapshot) -> Samples {
    let value = |(reason, name): &(weir_schema::Reason, &'static str)| {
        (vec![("reason", (*name).to_owned())], snapshot.published.tallies.lost_for(*reason) as f64)
    };
    REASONS.iter().map(value).filter(|(_, count)| *count > 0.0).collect()
}

fn sink_lost(snapshot: &Snapshot) -> Samples {
    let of_sink = |(sink, ledger): &(String, Ledger)| -> Samples {
        let counts = REASONS.iter().map(|(reason, name)| (name, ledger.lost_for(*reason)));
        let labels = |name: &str| vec![("sink", sink.clone()), ("reason", name.to_owned())];
        counts.filter(|(_, count)| *count > 0).map(|(name, count)| (labels(name), count as f64)).collect()
    };
    snapshot.lanes.iter().flat_map(of_sink).collect()
}

fn sink_rows(snapshot: &Snapshot) -> Samples {
    let of_sink = |(sink, ledger): &(String, Ledger)| -> Samples {
        let counts = CLASSES.iter().zip(&ledger.classes).filter(|(_, count)| count.rows_written > 0);
        let labels = |class: &str| vec![("sink", sink.clone()), ("class", class.to_owned())];
        counts.map(|(class, count)| (labels(class.name), count.rows_delivered as f64)).collect()
    };
    snapshot.lanes.iter().flat_map(of_sink).collect()
}

fn by_cpu(values: impl Iterator<Item = (usize, f64)>) -> Samples {
    values.map(|(cpu, value)| (vec![("cpu", cpu.to_string())], value)).collect()
}

fn by_program(snapshot: &Snapshot, value: fn(&weir_bpf::ProgramCounters) -> f64) -> Samples {
    let programs = snapshot.published.programs.iter();
    programs.map(|program| (vec![("program", program.program.clone())], value(program))).collect()
}

fn reloads(snapshot: &Snapshot) -> Samples {
    let sample = |(result, count): (&str, u64)| (vec![("result", result.to_owned())], count as f64);
    ["ok", "failed"].into_iter().zip(snapshot.reloads).map(sample).collect()
}

fn lookups(s: &Snapshot) -> Samples {
    let counts = s.published.names;
    let results =
        [("found", counts.found), ("unknown", counts.unknown), ("failed", counts.failed), ("dropped", counts.dropped)];
    results.into_iter().map(|(result, n)| (vec![("result", result.to_owned())], n as f64)).collect()
}

fn build_info(_: &Snapshot) -> Samples {
    vec![(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0)]
}

/// In the order of the text.
pub(super) static METRICS: &[Metric] = &[
    gauge("weir_build_info", "Version of weir; the value is always 1", build_info),
    gauge("weir_uptime_seconds", "Time since the probes were loaded", |s| one(s.uptime_s)),
    counter("weir_events", "Events that became rows, by class and action", events),
    counter("weir_reloads", "Times that the configuration was read again, by whether it was put in force", reloads),
    counter("weir_records", "Records read from the rings", |s| one(s.published.counts.records as f64)),
    counter("weir_withheld", "Records that became no row: not selected, context only, void", |s| {
        one(s.published.counts.withheld as f64)
    }),
    counter("weir_lost", "Events that no sink got, by reason", lost),
    counter("weir_late_records", "Records out of kernel-time order; 0 where the order is exact", |s| {
        one(s.published.order.late as f64)
    }),
    counter("weir_clock_steps", "Jumps of the wall clock", |s| one(s.published.counts.clock_steps as f64)),
    gauge("weir_processes", "Processes whose names and parents are known", |s| {
        one(s.published.context.processes.known as f64)
    }),
    counter("weir_processes_evicted", "Live processes that were forgotten because `processes_max` was reached", |s| {
        one(s.published.context.processes.evicted as f64)
    }),
    counter(
        "weir_processes_shortened",
        "Processes whose long names, paths and arguments were forgotten because of `context_bytes_max`",
        |s| one(s.published.context.processes.shortened as f64),
    ),
    gauge("weir_context_bytes", "Bytes of what is remembered of processes and containers", |s| {
        one(s.published.context.bytes as f64)
    }),
    counter("weir_processes_unknown", "Look-ups of processes that were not known: their rows have no context", |s| {
        one(s.published.context.processes.unknown as f64)
    }),
    gauge("weir_containers", "Containers that are known", |s| one(s.published.context.containers as f64)),
    counter("weir_cgroups_unknown", "Look-ups of cgroups that were not known: their rows have no container", |s| {
        one((s.published.context.cgroups_unknown + s.published.context.cgroups_refused) as f64)
    }),
    counter("weir_users_unknown", "User ids that the host's user database does not have", |s| {
        one(s.published.context.users_unknown as f64)
    }),
    counter("weir_container_lookups", "Names asked for at container runtimes, by what came of it", lookups),
    counter("weir_reader_rounds", "Rounds of the reader over all rings", |s| one(s.rounds as f64)),
    gauge(
        "weir_reader_stall_seconds_max",
        "Longest time that records waited for the reader, from one look at the rings to the end of the next round",
        |s| one(s.stalls.longest.as_secs_f64()),
    ),
    counter(
        "weir_reader_runqueue_seconds",
        "Time in which the reader could have run and had no CPU (schedstat of its thread)",
        |s| s.stalls.run_queue.map_or_else(Samples::new, |waited| one(waited.as_secs_f64())),
    ),
    counter(
        "weir_reader_held_seconds",
        "Time in which the reader did not read, because the spool could not take what it had read",
        |s| one(s.stalls.held_up.as_secs_f64()),
    ),
    counter("weir_messages_dropped", "Messages of weir that were dropped because nobody read standard error", |_| {
        one(crate::logging::dropped() as f64)
    }),
    counter("weir_numbers", "Numbers given to events, by CPU, lost ones included", |s| {
        by_cpu(s.cpus.iter().map(|(cpu, seq, _)| (*cpu, *seq as f64)))
    }),
    counter("weir_wakeups", "Wake-ups of the sleeping reader, by the CPU whose event woke it", |s| {
        by_cpu(s.cpus.iter().map(|(cpu, _, wakeups)| (*cpu, *wakeups as f64)))
    }),
    gauge("weir_ring_bytes", "Size of the CPU's ring", |s| {
        by_cpu(s.published.rings.iter().map(|ring| (ring.cpu, s.facts.ring_bytes as f64)))
    }),
    gauge("weir_ring_fill_bytes", "Bytes of the CPU's ring that wait to be read", |s| {
        by_cpu(s.published.rings.iter().map(|ring| (ring.cpu, ring.bytes as f64)))
    }),
    counter("weir_sink_rows", "Rows that are durable at the sink, by class", sink_rows),
    counter("weir_sink_bytes", "Arrow memory of the rows that are durable at the sink", |s| {
        by_sink(s, |ledger| ledger.classes.iter().map(|class| class.bytes_delivered).sum::<u64>() as f64)
    }),
    gauge("weir_sink_pending_rows", "Rows on their way to the sink: queued, or written and not durable yet", |s| {
        by_sink(s, |ledger| ledger.cpus.values().map(|cpu| cpu.pending).sum::<i64>() as f64)
    }),
    counter("weir_sink_flushes", "Flushes that succeeded", |s| by_sink(s, |ledger| ledger.flushes as f64)),
    counter("weir_sink_retries", "Attempts after a failure", |s| by_sink(s, |ledger| ledger.retries as f64)),
    counter("weir_sink_errors", "Writes and flushes that failed", |s| by_sink(s, |ledger| ledger.errors as f64)),
    counter(
        "weir_sink_process_restarts",
        "Times that the process of a sink died, or was ended because it hung, and another took its place",
        |s| by_sink(s, |ledger| ledger.process_restarts as f64),
    ),
    counter(
        "weir_sink_lost",
        "Events that this sink did not get, by reason; those of weir_lost are among them",
        sink_lost,
    ),
    gauge(
        "weir_sink_lag_seconds",
        "Age of the last event that is durable at the sink (of the first event, before one is), while others are on their way",
        |s| by_sink_at(s, |now_ns, ledger| ledger.lag_seconds(now_ns)),
    ),
    gauge("weir_spool_bytes", "Bytes of the spool's segments", |s| spool(s, 0)),
    counter("weir_spool_syncs", "Times that the spool was made durable", |s| spool(s, 1)),
    counter("weir_spool_dropped", "Rows that the full spool gave up", |s| spool(s, 2)),
    gauge("weir_spool_up", "1 while the spool can be written", |s| spool(s, 3)),
    gauge("weir_sink_up", "1 while the sink works, 0 after a failure", |s| {
        by_sink(s, |ledger| f64::from(u8::from(ledger.state == LaneState::Working)))
    }),
    counter(
        "weir_probe_runs",
        "Runs of a probe; counted only while the kernel's sysctl kernel.bpf_stats_enabled is 1",
        |s| by_program(s, |program| program.runs as f64),
    ),
    counter(
        "weir_probe_run_seconds",
        "Time in a probe; counted only while the kernel's sysctl kernel.bpf_stats_enabled is 1",
        |s| by_program(s, |program| program.run_time_ns as f64 / 1e9),
    ),
    counter("weir_probe_skipped", "Runs that the kernel skipped because the probe was interrupted by itself", |s| {
        by_program(s, |program| program.recursion_misses as f64)
    }),
];

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in METRICS {
            let samples = (metric.samples)(self);
            if samples.is_empty() {
                continue;
            }
            let mut family = encoder.encode_descriptor(metric.name, metric.help, None, metric.kind)?;
            for (labels, value) in &samples {
                let mut sample = family.encode_family(labels)?;
                match metric.kind {
                    MetricType::Counter => sample.encode_counter(value, None::<&Exemplar<Labels, f64>>)?,
                    _ => sample.encode_gauge(value)?,
                }
            }
        }
        Ok(())
    }
}

/// The text of all metrics.
///
/// # Errors
/// Never: text can always be written to memory.
pub fn text(snapshot: Snapshot) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(snapshot));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}
