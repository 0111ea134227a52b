//! `/status`: who this is, what it was told, what is attached, and the ledger of every sink.

use serde_json::{Value, json};

use super::Board;

/// The answer.
pub fn json(board: &Board) -> Value {
    let facts = board.facts();
    let published = board.published();
    let counts = &published.counts;
    let sinks = board.lanes().into_iter().map(|lane| {
        let mut value = lane.ledger().to_json();
        value["name"] = json!(lane.name());
        value
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "host": &*facts.identity.host,
        "boot_id": &*facts.identity.boot_id,
        "epoch": facts.identity.epoch,
        "uptime_seconds": board.uptime().as_secs_f64(),
        "ready": board.is_ready(),
        "stalled": board.look().err().map(|stall| stall.to_string()),
        "records": counts.records,
        "rows": counts.rows,
        "withheld": counts.withheld,
        "lost": counts.lost,
        "late": published.order.late,
        "clock_steps": counts.clock_steps,
        "reloads": { "ok": board.reloads()[0], "failed": board.reloads()[1] },
        "processes": published.context.processes.known,
        "processes_evicted": published.context.processes.evicted,
        "containers": published.context.containers,
        "sinks": sinks.collect::<Vec<_>>(),
        "probes": facts.probes,
        "config": facts.config,
    })
}
