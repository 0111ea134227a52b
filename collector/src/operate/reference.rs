//! `docs/operating.md`: the endpoints, the metrics, the service.

use std::fmt::Write;

use prometheus_client::metrics::MetricType;

use super::metrics::METRICS;

const INTRODUCTION: &str = "# Operating weir

## Endpoints

Nothing listens unless `listen` is set (`--listen 127.0.0.1:9464`). There is no login and no encryption: give an address
that only those can reach who may know what the machine does. At most 64 connections are served at a time, each for one
answer: its request has 2 seconds to come, and the whole 5. When one more comes, the oldest that has not asked yet is closed, so
that slow clients never shut the endpoints.

| path | answer |
|---|---|
| `/metrics` | counts for Prometheus |
| `/livez` | 200 while the pipeline moves. 503 with a sentence when the reader has not come round for 15 seconds although records wait. A reader that sleeps because nothing happens is alive. |
| `/readyz` | 200 while records are read, 503 while weir starts or stops |
| `/status` | JSON: identity, counts, losses by reason, the ledger and the lag of every sink, memory, the rights of every thread, every probe and whether it runs, the settings in force; secrets are `***` |

A broker that is away makes weir neither dead nor unready: restarting would not help. `weir_sink_up` tells, and the sink's
`state` in `/status`.

## As a service

[`deploy/weir.service`](../deploy/weir.service) is a unit for systemd. weir says when records are read (`READY=1`), when it
stops and how long that may take, and gives a sign of life three times per `WatchdogSec`, but only while `/livez` would be 200.
Messages go to standard error, so to the journal; `--log json` makes them one JSON object a line. While records are read they
wait in memory for a standard error that nobody reads, 1,024 of them; `weir_messages_dropped_total` counts the rest.

## The control socket

Every `weir run` has a Unix socket, which `weir status` and `weir reload` ask at: `/run/weir/PID.sock`, for a user
`$XDG_RUNTIME_DIR/weir/PID.sock`; setting `control` gives it another name there, or another path. Its mode is 0600, the directory is
checked (root's or the user's own, and nobody else can write to it), and both sides ask the kernel who the other is: weir answers
root and the user whom it runs as, and the user who called sudo when they ask for the status; who asks believes only root and
themselves. With one collector on the machine no argument is needed; with several they are listed, and `--pid` or `--socket` chooses.
Sockets of collectors that were killed are removed by the next one.

```console
$ sudo weir status
weir 0.1.0 (process 4242) on web-1: running since 2026-11-26T11:13:06Z (1 h 2 min)
  classes     process, file, network
  probes      96 run
  events      1200345 records, 1200345 rows, 0 filtered, 0 lost
  context     512 processes, 3 containers
  sink        kafka: working, 1200100 rows delivered, 245 pending, 0.1 s behind, 0 lost
  memory      96 MiB resident, 101 MiB at most so far; rings 64 MiB, queues of sinks at most 32 MiB
  reloads     0 in force, 0 not
  rights      weir: CAP_BPF, no_new_privs
```

`weir status --json` is `/status`. The protocol is one JSON line (`{\"command\":\"status\"}`, `{\"command\":\"reload\"}`, at most 4 KiB within 2
seconds) and JSON lines as the answer; those with `\"reply\":\"working\"` only say that it goes on.

## Another configuration without a restart

`weir reload` (or SIGHUP, or `systemctl reload weir`) reads the configuration again: the file, the environment of the running
process, its flags. Filters and sinks change while events come; the probes stay attached, and no event that both the old and the
new filters keep is lost on the way.

- A sink that is new in the file begins with what comes now, or in a spool as its `start` says. One that is gone writes its last
  rows and ends; with `--durability crash` its place in the spool stays, in case it comes back. One with other settings ends and
  begins again where it stood: what comes meanwhile waits in its queue, or in the spool.
- Everything else (classes, rings, spool, limits) needs a restart; the answer names what differs.
- What is wrong leaves everything as it was: the whole configuration is checked, and new sinks are opened, before anything
  changes. `weir_reloads_total` counts both.
- A subtree that is not followed any more loses the processes that can be seen to descend from its root; those whose parents
  have ended stay as long as any subtree is followed.

```console
$ sudo weir reload
weir 4242: the filters have changed; sink archive is new
```

## Where lost events went

Events are lost before any sink only when a CPU's ring is full (`weir_lost_total`, reason in the rows of class `loss`). The thread
that reads the rings makes no call on a file and waits for none that does, so what fills a ring is one of these:

| metric | it says |
|---|---|
| `weir_reader_runqueue_seconds_total` | the reader could have run and got no CPU: give weir CPU time (`CPUWeight=`, `nice`), or larger rings |
| `weir_reader_held_seconds_total` | the spool could not take what was read: its disk is full, or too slow for longer than memory holds |
| `weir_reader_stall_seconds_max` | longest time that records waited for the reader; times the rate, it is the ring that is needed |

With `--durability crash` a ring gives room back once its records are written to the spool, so a disk that takes no writes fills
it as well (`weir_ring_fill_bytes`). A sink with `policy = \"block\"` and no spool makes the reader wait; that is what it asks for.

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
