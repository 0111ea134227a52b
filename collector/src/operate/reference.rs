//! `docs/operating.md`: the endpoints, the metrics, the service.

use std::fmt::Write;

use prometheus_client::metrics::MetricType;

use super::metrics::METRICS;

const INTRODUCTION: &str = "# Operating weir

## Endpoints

Nothing listens unless `listen` is set (`--listen 127.0.0.1:9464`). There is no login and no encryption: give an address
that only those can reach who may know what the machine does. At most 16 connections are served at a time, each for one
answer and at most 10 seconds.

| path | answer |
|---|---|
| `/metrics` | counts for Prometheus |
| `/livez` | 200 while the pipeline moves. 503 with a sentence when the reader has not come round for 15 seconds although records wait. A reader that sleeps because nothing happens is alive. |
| `/readyz` | 200 while records are read, 503 while weir starts or stops |
| `/status` | JSON: identity, counts, the ledger of every sink, every probe and whether it runs, the settings in force; secrets are `***` |

A broker that is away makes weir neither dead nor unready: restarting would not help. `weir_sink_up` tells, and the sink's
`state` in `/status`.

## As a service

[`deploy/weir.service`](../deploy/weir.service) is a unit for systemd. weir says when records are read (`READY=1`), when it
stops and how long that may take, and gives a sign of life three times per `WatchdogSec`, but only while `/livez` would be 200.
Messages go to standard error, so to the journal; `--log json` makes them one JSON object a line.

## Metrics

Counts of the reader are at most a second old while records come. Those of probes are counted by the kernel and cost it some
nanoseconds a run: `sysctl kernel.bpf_stats_enabled=1` turns them on. A series appears with its first event.

| metric | type | meaning |
|---|---|---|
";

/// The page.
pub fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    for metric in METRICS {
        let (suffix, kind) = match metric.kind {
            MetricType::Counter => ("_total", "counter"),
            _ => ("", "gauge"),
        };
        let _ = writeln!(text, "| `{}{suffix}` | {kind} | {} |", metric.name, metric.help);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    #[test]
    fn the_page_for_operators_is_rendered_from_the_table_of_metrics() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
        if std::env::var_os("WEIR_UPDATE").is_some() {
            fs::write(&path, super::markdown()).expect("write the page");
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == super::markdown(),
            "docs/operating.md is stale: run `WEIR_UPDATE=1 cargo test -p weir-collector`"
        );
    }
}
