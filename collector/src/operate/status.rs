//! The status: what runs since when, what is attached, the ledger of every sink, losses, memory, rights. One definition for
//! `/status` and for `weir status`.

use std::fs;

use serde_json::{Map, Value, json};
use weir_schema::loss::REASONS;
use weir_sinks::LaneWatch;

use super::{Board, Facts, Published};
use crate::host::clock::boottime_ns;
use crate::privilege;

/// The answer.
pub fn status_json(board: &Board) -> Value {
    let facts = board.facts();
    let published = board.published();
    let counts = &published.counts;
    let now_ns = boottime_ns();
    let sinks = board.lanes();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "since": board.since(),
        "uptime_seconds": board.uptime().as_secs_f64(),
        "host": &*facts.identity.host,
        "boot_id": &*facts.identity.boot_id,
        "epoch": facts.identity.epoch,
        "ready": board.is_ready(),
        "stalled": board.look().err().map(|stall| stall.to_string()),
        "classes": facts.classes,
        "records": counts.records,
        "rows": counts.rows,
        "withheld": counts.withheld,
        "lost": counts.lost,
        "lost_by_reason": lost(&published),
        "late": published.order.late,
        "clock_steps": counts.clock_steps,
        "reloads": { "ok": board.reloads()[0], "failed": board.reloads()[1] },
        "processes": published.context.processes.known,
        "processes_evicted": published.context.processes.evicted,
        "containers": published.context.containers,
        "sinks": sinks.iter().map(|lane| sink(lane, now_ns)).collect::<Vec<_>>(),
        "spool": spool(board),
        "memory": memory(&facts, &published, sinks.len()),
        "rights": rights(),
        "probes": facts.probes,
        "config": facts.config,
    })
}

fn lost(published: &Published) -> Map<String, Value> {
    let counts = REASONS.iter().map(|(reason, name)| (*name, published.tallies.lost_for(*reason)));
    counts.filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), json!(count))).collect()
}

fn sink(lane: &LaneWatch, now_ns: i64) -> Value {
    let ledger = lane.ledger();
    let lost = REASONS.iter().map(|(reason, name)| (*name, ledger.lost_for(*reason)));
    let lost: Map<String, Value> =
        lost.filter(|(_, count)| *count != 0).map(|(name, count)| (name.to_owned(), json!(count))).collect();
    let mut value = ledger.to_json();
    value["name"] = json!(lane.name());
    value["rows_delivered"] = json!(ledger.rows_delivered());
    value["pending_rows"] = json!(ledger.pending_total());
    value["lag_seconds"] = json!(ledger.lag_seconds(now_ns));
    value["lost"] = json!(ledger.lost_total());
    value["lost_by_reason"] = Value::from(lost);
    value
}

fn spool(board: &Board) -> Value {
    let Some(spool) = board.spool() else { return Value::Null };
    let [bytes, syncs, dropped, up] = spool.counts();
    json!({ "bytes": bytes as u64, "syncs": syncs as u64, "rows_dropped": dropped as u64, "works": up > 0.0 })
}

/// Bytes that are taken, and the largest that may be.
fn memory(facts: &Facts, published: &Published, sinks: usize) -> Value {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map(|kib| kib << 10)
    };
    json!({
        "resident_bytes": kib("VmRSS"),
        "resident_bytes_max": kib("VmHWM"),
        "rings_bytes": facts.ring_bytes * published.rings.len() as u64,
        "queues_bytes_max": facts.queue_bytes_max * sinks as u64,
    })
}

fn rights() -> Value {
    json!({ "threads": privilege::threads_json(), "landlock": privilege::confinement_json() })
}
