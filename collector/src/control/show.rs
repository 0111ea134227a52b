//! Answers of a collector, for people: a few lines each, with everything foreign in them made harmless.

use std::fmt::Write;

use serde_json::Value;

use crate::terminal::escape;

/// Width of the first column.
const LABEL_WIDTH: usize = 12;

/// What a reload did.
pub fn reload_text(pid: Option<u32>, done: &str) -> String {
    let pid = pid.map_or_else(String::new, |pid| format!(" {pid}"));
    format!("weir{pid}: {}\n", escape(done))
}

/// The status.
pub fn status_text(status: &Value) -> String {
    let mut text = head(status);
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "  {label:<LABEL_WIDTH$}{value}");
    };
    line("classes", list(&status["classes"]));
    line("probes", probes(status));
    line("events", events(status));
    line(
        "context",
        format!("{} processes, {} containers", number(&status["processes"]), number(&status["containers"])),
    );
    for sink in items(&status["sinks"]) {
        line("sink", sink_line(sink));
    }
    if status["spool"].is_object() {
        line("spool", spool(&status["spool"]));
    }
    line("memory", memory(&status["memory"]));
    line(
        "reloads",
        format!("{} in force, {} not", number(&status["reloads"]["ok"]), number(&status["reloads"]["failed"])),
    );
    for thread in items(&status["rights"]["threads"]) {
        line("rights", rights(thread));
    }
    for (name, value) in status["rights"].as_object().into_iter().flatten().filter(|(name, _)| *name != "threads") {
        line("", format!("{}: {}", escape(name), string(value)));
    }
    text
}

fn head(status: &Value) -> String {
    let state = match (&status["stalled"], status["ready"].as_bool()) {
        (Value::String(stall), _) => format!("STANDS STILL: {}", escape(stall)),
        (_, Some(true)) => "running".to_owned(),
        _ => "starting or stopping".to_owned(),
    };
    let up = status["uptime_seconds"].as_f64().unwrap_or(0.0);
    format!(
        "weir {} (process {}) on {}: {state} since {} ({})\n",
        string(&status["version"]),
        number(&status["pid"]),
        string(&status["host"]),
        string(&status["since"]),
        span(up),
    )
}

fn probes(status: &Value) -> String {
    let count = |state: &str| items(&status["probes"]).filter(|probe| probe["state"] == state).count();
    let missing: Vec<String> = items(&status["probes"])
        .filter(|probe| probe["state"] == "missing")
        .map(|probe| string(&probe["name"]))
        .collect();
    let mut text = format!("{} run", count("runs") + count("fallback"));
    if count("fallback") > 0 {
        let _ = write!(text, ", {} of them in a lesser form", count("fallback"));
    }
    if !missing.is_empty() {
        let _ = write!(text, ", missing: {}", missing.join(", "));
    }
    text
}

fn events(status: &Value) -> String {
    format!(
        "{} records, {} rows, {} filtered, {}",
        number(&status["records"]),
        number(&status["rows"]),
        number(&status["withheld"]),
        losses(&status["lost"], &status["lost_by_reason"]),
    )
}

/// `7 lost (ring_full 5, queue_full 2)`.
fn losses(total: &Value, by_reason: &Value) -> String {
    let reasons: Vec<String> = by_reason
        .as_object()
        .into_iter()
        .flatten()
        .map(|(reason, count)| format!("{} {}", escape(reason), number(count)))
        .collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
    format!("{} lost{reasons}", number(total))
}

fn sink_line(sink: &Value) -> String {
    let mut text = format!(
        "{}: {}, {} rows delivered, {} pending, {:.1} s behind, {}",
        string(&sink["name"]),
        string(&sink["state"]),
        number(&sink["rows_delivered"]),
        number(&sink["pending_rows"]),
        sink["lag_seconds"].as_f64().unwrap_or(0.0),
        losses(&sink["lost"], &sink["lost_by_reason"]),
    );
    if let Value::String(error) = &sink["error"] {
        let _ = write!(text, ": {}", escape(error));
    }
    text
}

fn spool(spool: &Value) -> String {
    let works = if spool["works"] == true { "" } else { ", CANNOT BE WRITTEN" };
    format!("{}, {} rows given up{works}", size(&spool["bytes"]), number(&spool["rows_dropped"]))
}

fn memory(memory: &Value) -> String {
    format!(
        "{} resident, {} at most so far; rings {}, queues of sinks at most {}",
        size(&memory["resident_bytes"]),
        size(&memory["resident_bytes_max"]),
        size(&memory["rings_bytes"]),
        size(&memory["queues_bytes_max"]),
    )
}

fn rights(thread: &Value) -> String {
    let capabilities = items(&thread["capabilities"]).map(|name| format!("CAP_{}", string(name))).collect::<Vec<_>>();
    let mut parts = vec![if capabilities.is_empty() { "no capability".to_owned() } else { capabilities.join(" ") }];
    for (key, word) in [("no_new_privs", "no_new_privs"), ("seccomp", "seccomp")] {
        if thread[key] == true {
            parts.push(word.to_owned());
        }
    }
    let count =
        thread["count"].as_u64().filter(|count| *count > 1).map_or_else(String::new, |count| format!(" x{count}"));
    format!("{}{count}: {}", string(&thread["thread"]), parts.join(", "))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn list(value: &Value) -> String {
    items(value).map(string).collect::<Vec<_>>().join(", ")
}

/// Any value as text without quotes.
fn string(value: &Value) -> String {
    match value {
        Value::String(text) => escape(text).into_owned(),
        Value::Null => "?".to_owned(),
        other => escape(&other.to_string()).into_owned(),
    }
}

fn number(value: &Value) -> String {
    value.as_i64().map_or_else(|| string(value), |number| number.to_string())
}

fn size(value: &Value) -> String {
    let Some(bytes) = value.as_u64() else { return "?".to_owned() };
    match bytes >> 20 {
        0 => format!("{} KiB", bytes >> 10),
        mib => format!("{mib} MiB"),
    }
}

fn span(seconds: f64) -> String {
    let seconds = seconds as u64;
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, ..) => format!("{d} d {h} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    fn example() -> Value {
        json!({
            "version": "0.1.0", "pid": 42, "host": "web\u{1b}[2J1", "since": "2026-11-26T11:13:06Z", "ready": true,
            "uptime_seconds": 3725.5, "stalled": null, "classes": ["process", "file"],
            "probes": [{"name": "fork", "state": "runs"}, {"name": "uring", "state": "missing", "reason": "x"}],
            "records": 100, "rows": 90, "withheld": 3, "lost": 7, "lost_by_reason": {"ring_full": 7},
            "processes": 12, "containers": 1,
            "sinks": [{"name": "kafka", "state": "failing", "error": "no\nbroker\u{202e}", "rows_delivered": 5,
                       "pending_rows": 85, "lag_seconds": 2.25, "lost": 0, "lost_by_reason": {}}],
            "spool": {"bytes": 3 << 20, "rows_dropped": 0, "works": true},
            "memory": {"resident_bytes": 64 << 20, "resident_bytes_max": 65 << 20, "rings_bytes": 16 << 20,
                       "queues_bytes_max": 32 << 20},
            "reloads": {"ok": 1, "failed": 0},
            "rights": {"threads": [
                {"thread": "weir", "count": 1, "capabilities": ["BPF"], "no_new_privs": true, "seccomp": false},
                {"thread": "http", "count": 2, "capabilities": [], "no_new_privs": true, "seccomp": true},
            ], "landlock": "not in this kernel"},
        })
    }

    #[test]
    fn people_see_what_runs_how_far_it_is_behind_and_what_it_may_do() {
        expect![[r#"
            weir 0.1.0 (process 42) on web\x1b[2J1: running since 2026-11-26T11:13:06Z (1 h 2 min)
              classes     process, file
              probes      1 run, missing: uring
              events      100 records, 90 rows, 3 filtered, 7 lost (ring_full 7)
              context     12 processes, 1 containers
              sink        kafka: failing, 5 rows delivered, 85 pending, 2.2 s behind, 0 lost: no\x0abroker\u{202e}
              spool       3 MiB, 0 rows given up
              memory      64 MiB resident, 65 MiB at most so far; rings 16 MiB, queues of sinks at most 32 MiB
              reloads     1 in force, 0 not
              rights      weir: CAP_BPF, no_new_privs
              rights      http x2: no capability, no_new_privs, seccomp
                          landlock: not in this kernel
        "#]]
        .assert_eq(&status_text(&example()));
    }

    #[test]
    fn an_answer_of_another_version_is_shown_as_far_as_it_is_known() {
        assert!(status_text(&json!({"pid": 7})).starts_with("weir ? (process 7) on ?: starting or stopping"));
    }
}
