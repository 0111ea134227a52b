//! The program as a user meets it: exit statuses, messages, what goes to which stream.

use assert_cmd::Command;

fn weir() -> Command {
    let mut command = Command::cargo_bin("weir").expect("the program is built");
    command.env_remove("WEIR_CONFIG");
    command
}

/// Arguments, exit status, a part of standard output, a part of standard error.
type Case = (&'static [&'static str], i32, &'static str, &'static str);

const CASES: &[Case] = &[
    (&[], 2, "", "Usage: weir"),
    (&["--version"], 0, "weir ", ""),
    (&["--help"], 0, "Exit status:", ""),
    (&["run", "--help"], 0, "Exit status:", ""),
    (&["run", "--help"], 0, "WEIR_RING_BYTES", ""),
    (&["verify", "--help"], 0, "open end", ""),
    (&["veify"], 2, "", "'verify'"),
    (&["run", "--no-such-flag"], 125, "", "--no-such-flag"),
    (
        &["run", "--class", "proces"],
        125,
        "",
        "weir: --class: `classes` has the unknown class `proces`; did you mean `process`?",
    ),
    (&["run", "--config", "/nonexistent.toml"], 125, "", "weir: /nonexistent.toml: cannot be read"),
    (&["verify"], 2, "", "PATH"),
    (&["verify", "/nonexistent"], 2, "", ""),
    (
        &["config", "--ring-bytes", "3MiB"],
        1,
        "",
        "weir: --ring-bytes: `ring_bytes` is 3145728: it must be a power of two",
    ),
    (&["config", "--ring-bytes", "4MiB"], 0, "ring_bytes = \"4MiB\"  # --ring-bytes", ""),
    (&["config"], 0, "dir = \"weir-data\"  # default", ""),
    (&["config", "--stdout", "json"], 0, "# dir is not set  # default", ""),
    (&["check", "--config", "/nonexistent.toml"], 1, "", "cannot be read"),
    (&["schema"], 0, "process_key", ""),
    (&["schema", "--format", "json"], 0, "\"$schema\"", ""),
    (&["schema", "--format", "sql", "--dir", "/data/here"], 0, "/data/here", ""),
    (&["schema", "--format", "c"], 0, "struct weir_header", ""),
    (&["schema", "--format", "xml"], 2, "", "possible values"),
    (&["completions", "bash"], 0, "_weir", ""),
    (&["man"], 0, ".TH weir 1", ""),
    (&["man", "run"], 0, ".TH weir-run 1", ""),
    (&["man", "no-such-page"], 1, "", "weir: no command `no-such-page`"),
    (&["man", "--dir", "/proc/nonexistent"], 1, "", "weir: "),
];

#[test]
fn commands_give_their_documented_status_and_say_why() {
    for (arguments, status, out, err) in CASES {
        let output = weir().args(*arguments).output().expect("weir starts");
        let (found_out, found_err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(*status), "{arguments:?}: {found_err}");
        assert!(found_out.contains(out), "{arguments:?}: {found_out}");
        assert!(found_err.contains(err), "{arguments:?}: {found_err}");
    }
}

#[test]
fn unknown_environment_variables_are_refused() {
    let output = weir().arg("config").env("WEIR_PARQUET_DRI", "x").output().expect("weir starts");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("WEIR_PARQUET_DRI: unknown environment variable; did you mean `WEIR_PARQUET_DIR`?"),
        "{text}"
    );
}

#[test]
fn the_check_says_the_same_as_text_and_as_json() {
    let text = weir().arg("check").output().expect("weir starts");
    let json = weir().args(["check", "--json"]).output().expect("weir starts");
    assert_eq!(text.status.code(), json.status.code());
    let answer: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(answer["can_run"] == true, json.status.success());
    let text = String::from_utf8_lossy(&text.stdout);
    for finding in answer["machine"].as_array().expect("findings") {
        assert!(text.contains(finding["name"].as_str().expect("a name")), "{finding}");
    }
}

#[test]
fn a_user_without_rights_gets_one_line_that_names_them_and_how_to_grant_them() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("could not run: only root can become a user without rights");
        return;
    }
    // A copy where that user can reach it: the build's directory may be closed to others.
    let directory = tempfile::tempdir().expect("a directory");
    open_to_all(directory.path());
    let program = directory.path().join("weir");
    std::fs::copy(assert_cmd::cargo::cargo_bin("weir"), &program).expect("copy the program");
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["run", "--duration", "1s"])
        .current_dir(directory.path())
        .output()
        .expect("setpriv starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    for part in ["CAP_BPF and CAP_PERFMON", "sudo", "setcap cap_bpf", "--cap-add BPF"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!directory.path().join("weir-data").exists());
}

#[test]
fn a_run_passes_the_status_of_its_command_on_and_keeps_rows_and_output_apart() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("could not run: only root can load probes");
        return;
    }
    let run = |command: &[&str]| {
        let flags = ["run", "--class", "process", "--stdout", "json", "--status", "never", "--"];
        weir().args(flags).args(command).env_remove("SUDO_UID").output().expect("weir starts")
    };
    let output = run(&["sh", "-c", "echo from the command; exit 7"]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(7), "{err}");
    assert!(err.contains("from the command") && !out.contains("\nfrom the command"), "{err}");
    for line in out.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    // What the gate did before it became the command is not the command's: its first exec is one row.
    let execs = out.lines().filter(|line| line.contains("\"exec\"")).count();
    assert_eq!((execs, out.matches("setuid").count()), (1, 0), "{out}");
    assert_eq!(run(&["sh", "-c", "kill -TERM $$"]).status.code(), Some(128 + 15));
    assert_eq!(run(&["no-such-command"]).status.code(), Some(127));
    assert_eq!(run(&["/etc/passwd"]).status.code(), Some(126));
}

fn open_to_all(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("set permissions");
}
