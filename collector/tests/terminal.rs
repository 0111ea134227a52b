//! What weir prints, when everything that it is given wants to steer the terminal or to forge a line.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread::{self, JoinHandle};

use assert_cmd::Command;
use serde_json::{Value, json};
use weir_sinks::text::is_unsafe;

/// Erases the screen, turns text around, hides, ends the line and forges another.
const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;t\u{7}\u{9b}31m\u{202e}\u{200b}\u{e0041}\r\u{7f}\nFORGED";

fn weir(arguments: &[&str], dir: &Path) -> (i32, String) {
    let mut command = Command::cargo_bin("weir").expect("the program is built");
    let output = command.env_remove("WEIR_CONFIG").args(arguments).current_dir(dir).output().expect("weir starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8(text).expect("UTF-8"))
}

/// Nothing came through, and what was hostile is there to be read.
fn expect_harmless(what: &str, text: &str) {
    let through: Vec<char> = text.chars().filter(|c| is_unsafe(*c) && !matches!(c, '\n' | '\t')).collect();
    assert!(through.is_empty(), "{what}: {through:?}: {text:?}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("FORGED")), "{what}: {text}");
    assert!(text.contains("FORGED") && text.contains("[2J"), "{what}: {text}");
}

/// A collector that this user runs, and that answers anything with this.
fn false_collector(path: &Path, reply: Value) -> JoinHandle<()> {
    let listener = UnixListener::bind(path).expect("a socket");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody asks");
        let mut request = String::new();
        BufReader::new(&stream).read_line(&mut request).expect("a request");
        writeln!(stream, "{reply}").expect("the answer");
    })
}

#[test]
fn answers_of_a_collector_are_harmless() {
    let status = json!({
        "version": HOSTILE, "host": HOSTILE, "since": HOSTILE, "pid": HOSTILE, "stalled": HOSTILE, "classes": [HOSTILE],
        "probes": [{"name": HOSTILE, "state": "missing"}], "lost_by_reason": {HOSTILE: HOSTILE}, "records": HOSTILE,
        "sinks": [{"name": HOSTILE, "state": HOSTILE, "error": HOSTILE, "lost_by_reason": {HOSTILE: 1}}],
        "rights": {"threads": [{"thread": HOSTILE, "capabilities": [HOSTILE]}], HOSTILE: HOSTILE},
    });
    let failed = json!({ "reply": "failed", "error": HOSTILE });
    for (command, reply, code) in [
        (&["status"][..], json!({ "reply": "status", "status": status.clone() }), 0),
        (&["status", "--json"], json!({ "reply": "status", "status": status }), 0),
        (&["status"], failed.clone(), 1),
        (&["reload"], json!({ "reply": "reloaded", "done": HOSTILE }), 0),
        (&["reload"], failed, 1),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let serving = false_collector(&dir.path().join("socket"), reply);
        let (found, text) = weir(&[command, &["--socket", "socket"]].concat(), dir.path());
        serving.join().expect("it was asked");
        assert_eq!(found, code, "{text}");
        if command.contains(&"--json") {
            assert!(!text.chars().any(|c| is_unsafe(c) && c != '\n'), "{text:?}");
            let value: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(value["host"], HOSTILE);
        } else if code == 0 || command == ["reload"] || command == ["status"] {
            // An error has lines of its own: each is behind the program's name.
            let text = text.replace("weir: FORGED", "weir:: FORGED");
            expect_harmless(&format!("{command:?}"), &text);
        }
    }
}

#[test]
fn files_and_arguments_with_hostile_names_and_contents_are_shown_harmless() {
    let dir = tempfile::tempdir().expect("a directory");
    let row = json!({
        "class": "file", "host": HOSTILE, "boot_id": HOSTILE, "epoch": 1, "cpu": 0, "seq": 5, "ktime_ns": 1, "action": HOSTILE,
        "time": HOSTILE,
    });
    let loss = json!({
        "class": "loss", "host": HOSTILE, "boot_id": HOSTILE, "epoch": 1, "cpu": 0, "seq": 6, "ktime_ns": 2, "action": "gap",
        "reason": HOSTILE, "gap_cpu": 0, "first_seq": 0, "last_seq": 4, "count": 5, "gap_action": HOSTILE,
    });
    fs::write(dir.path().join("rows.jsonl"), format!("{row}\n{loss}\n{{\"class\":{}}}\n", json!(HOSTILE)))
        .expect("rows");
    // What TOML does not take as it is, it has by number.
    let hostile = json!(HOSTILE).to_string().replace('\u{7f}', "\\u007f");
    fs::write(dir.path().join(HOSTILE), format!("{hostile} = 1\n[{hostile}]\n")).expect("settings");
    fs::write(
        dir.path().join("values.toml"),
        format!("classes = [{hostile}]\nhost = {hostile}\nring_bytes = {hostile}\n"),
    )
    .expect("settings");
    for line in [
        &["verify", "rows.jsonl"][..],
        &["verify", HOSTILE],
        &["config", "--config", HOSTILE],
        &["config", "--config", "values.toml"],
        &["config", "--class", HOSTILE],
        &["config", "--host", HOSTILE],
        &["check", "--config", HOSTILE],
        &["capture", "info", HOSTILE],
        &["spool", "check", HOSTILE],
        &["replay", HOSTILE, "--discard"],
        &["status", "--socket", HOSTILE],
        &["man", HOSTILE],
        &[HOSTILE],
        &["run", HOSTILE],
    ] {
        let (_, text) = weir(line, dir.path());
        // Texts that come as lines of their own stand behind the program's name.
        expect_harmless(&format!("{line:?}"), &text);
    }
    let (_, text) = weir(&["verify", "--json", "rows.jsonl"], dir.path());
    assert!(!text.chars().any(|c| is_unsafe(c) && c != '\n'), "{text:?}");
    serde_json::from_str::<Value>(&text).expect("JSON");
}
