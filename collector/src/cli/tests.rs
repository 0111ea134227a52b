//! Tests over the whole command line.

use clap::error::ErrorKind;
use expect_test::expect;

use super::*;
use crate::config::{Config, Effective, KEYS};

fn parse(arguments: &[&str]) -> Result<Action, clap::Error> {
    let all = ["weir"].iter().chain(arguments);
    let matches = command().try_get_matches_from(all)?;
    <Cli as clap::FromArgMatches>::from_arg_matches(&matches).map(|cli| cli.command)
}

fn run_args(arguments: &[&str]) -> (Effective, Vec<OsString>) {
    let all: Vec<&str> = ["run"].iter().chain(arguments).copied().collect();
    match parse(&all) {
        Ok(Action::Run(args)) => (args.settings.load().expect("valid settings"), args.command),
        other => panic!("not a run: {other:?}"),
    }
}

#[test]
fn the_definition_of_the_command_line_is_sound() {
    command().debug_assert();
}

#[test]
fn every_setting_has_a_working_flag() {
    for (i, key) in KEYS.iter().enumerate() {
        for (flag, value) in key.all_flags() {
            let given = match (value, key.choices.first(), key.placeholder) {
                (Some(_), ..) => None,
                (_, Some(word), _) => Some((*word).to_owned()),
                (_, _, "SIZE") => Some("512MiB".to_owned()),
                (_, _, "TIME") => Some("7s".to_owned()),
                (_, _, "N" | "MS" | "US" | "NS") => Some("100".to_owned()),
                _ => Some("process".to_owned()),
            };
            let flag = format!("--{flag}");
            let arguments: Vec<&str> = [Some("run"), Some(&flag), given.as_deref()].into_iter().flatten().collect();
            let Ok(Action::Run(args)) = parse(&arguments) else { panic!("{arguments:?} is refused") };
            let mut config = Config::default();
            for (name, index, raw) in args.settings.given() {
                assert_eq!((format!("--{name}"), *index), (flag.clone(), i));
                (KEYS[*index].set)(&mut config, raw).expect("the flag's value is of the key's kind");
            }
            assert_eq!(args.settings.given().len(), 1, "{flag}");
        }
    }
}

#[test]
fn lists_take_commas_and_repetition() {
    let (effective, command) = run_args(&[
        "--class",
        "process,file",
        "--class=network.connect",
        "--follow",
        "1,2",
        "--",
        "make",
        "-j2",
        "--",
        "x",
    ]);
    assert_eq!(effective.config.classes, ["process", "file", "network.connect"]);
    assert_eq!(effective.config.filter.follow, [1, 2]);
    assert_eq!(command, ["make", "-j2", "--", "x"]);
}

#[test]
fn flags_that_exclude_each_other_are_refused() {
    for pair in [["--containers", "--no-containers"], ["--failed", "--succeeded"], ["--env", "--no-env"]] {
        let error = parse(&["run", pair[0], pair[1]]).expect_err("both at once");
        assert_eq!(error.kind(), ErrorKind::ArgumentConflict, "{pair:?}");
    }
}

#[test]
fn words_are_checked_and_the_nearest_is_named() {
    let error = parse(&["run", "--stdout", "jsn"]).expect_err("no such format").to_string();
    assert!(error.contains("[possible values: json, table]") && error.contains("'json'"), "{error}");
    let error = parse(&["run", "--parqet", "x"]).expect_err("no such flag").to_string();
    assert!(error.contains("--parquet"), "{error}");
}

#[test]
fn the_short_help_stays_short_enough_to_read() {
    let mut run = command().find_subcommand("run").expect("run").clone().term_width(100);
    let text = run.render_help().to_string();
    expect![[r#"
        Record what the kernel sees: everything, or a command and its children

        Usage: weir run [OPTIONS] [-- COMMAND [ARGUMENT]...]

        Arguments:
          [COMMAND]...  Record this command and its children, and stop when it ends

        Options:
              --config <FILE>  Settings from this TOML file; the environment (WEIR_*) and flags weigh more
          -h, --help           Print help (see more with '--help')

        What is recorded:
              --class <CLASS>          Classes, or single actions as `class.action`
              --syscall <NAME>         System calls by name, recorded in class `syscall`, which this adds to
                                       the classes; `all` for every one
              --except-syscall <NAME>  System calls that class `syscall` leaves out
              --durations              Measure how long system calls of class `syscall` take
              --env                    Record the environment of every exec
              --args-bytes-max <SIZE>  Bytes of arguments, and of environment, that an exec row keeps; a cut
                                       is marked in `args_truncated`
              --host <NAME>            Column `host`

        The run:
              --duration <TIME>      Stop after this time
              --user <NAME>          Run the command as this user
              --capture <DIR>        Keep everything that is recorded in this directory as a capture, which
                                     `weir replay` reads
              --listen <ADDRESS>     Serve `/metrics`, `/livez`, `/readyz` and `/status` by HTTP at this
                                     address and port, such as `127.0.0.1:9464`
              --control <NAME|PATH>  The control socket, which `weir status` and `weir reload` ask at: a
                                     name in the run directory (`/run/weir`; `$XDG_RUNTIME_DIR/weir` of a
                                     user), or a path
              --no-reload            Off: Keep a small process with root's rights for reloads: it reads the
                                     configuration again, and opens the files and makes the directories that
                                     only root can
              --stop-wait <TIME>     How long all sinks together may take for their last rows at the stop
              --report <FILE>        Write the final ledger to this file as JSON
              --status <WHEN>        The live status line on standard error; `auto` shows it on a terminal
                                     [possible values: auto, always, never]

        Context:
              --no-context
                  Off: Add to each row who did it: creators, users, containers
              --processes-max <N>
                  Processes that are remembered, ended ones included; beyond it those that were not seen for
                  long are forgotten
              --context-bytes-max <SIZE>
                  Bytes of everything that is remembered of processes and containers; beyond it those whose
                  names, paths and arguments are longer than the average lose them
              --process-grace <TIME>
                  How long an ended process is remembered, for events that come late
              --ancestors-max <N>
                  Names in column `ancestors`; 0 leaves it empty
              --no-container-names
                  Off: Ask container runtimes for names
              --docker-socket <SOCKET>
                  Sockets of Docker's interface (Docker, podman) to ask at
              --cri-socket <SOCKET>
                  Sockets of the Container Runtime Interface (containerd, CRI-O) to ask at
              --container-lookups-per-second-max <N>
                  Containers whose names are asked for per second, at most

        Filters:
              --follow <PID>                  Only these processes, by id, and their descendants
              --except-tree <PID>             Not these processes, by id, nor their descendants
              --only-user <USER>              Only tasks of these users, by name or id
              --except-user <USER>            Not tasks of these users
              --only-comm <NAME>              Only tasks with these names (column `comm`, at most 15 bytes)
              --except-comm <NAME>            Not tasks with these names
              --only-cgroup <CGROUP>          Only tasks inside these cgroups or below: a path under the
                                              cgroup v2 mount, or an id as in `cgroup_id`
              --except-cgroup <CGROUP>        Not tasks inside these cgroups or below
              --only-path <PREFIX>            Of class `file`, only events with a path that is one of these
                                              or below it: `/etc` is the directory and all in it, and not
                                              `/etcetera`
              --except-path <PREFIX>          Not events of class `file` whose path is one of these or below
                                              it; of two paths both have to be
              --containers                    Only tasks inside containers
              --no-containers                 No tasks inside containers
              --only-container <CONTAINER>    Only these containers: by id, the first 12 characters of it or
                                              more, or name
              --except-container <CONTAINER>  Not these containers
              --failed                        Only attempts that failed
              --succeeded                     Only attempts that succeeded
              --include-self                  Record weir itself too

        Parquet files:
              --parquet <DIR>  Directory of the Parquet files

        Standard output:
              --stdout <FORMAT>  Print rows as JSON lines, or as a table for people [possible values: json,
                                 table]

        Kafka:
              --kafka <HOST:PORT>  Brokers to begin with, as HOST:PORT

        NATS:
              --nats <URL>  Servers, as `nats://HOST:PORT`

        Spool:
              --spool <DIR>        Directory of the spool
              --durability <MODE>  What must be on disk: `none` (the spool is used only for a sink that
                                   lags), or `crash` (a record leaves the kernel's ring only once it is in
                                   the spool, so that a killed weir goes on where it stopped) [possible
                                   values: none, crash]
    "#]]
    .assert_eq(&text);
}

#[test]
fn every_page_of_the_manual_is_rendered() {
    let directory = tempfile::tempdir().expect("a directory");
    man::write_all(directory.path()).expect("written");
    for name in ["weir", "weir-run", "weir-verify", "weir-check", "weir-schema", "weir-config"] {
        let text = std::fs::read_to_string(directory.path().join(format!("{name}.1"))).expect(name);
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{name}");
    }
    assert!(!directory.path().join("weir-gate.1").exists());
    assert!(man::page(Some("run")).expect("a page").contains("Exit status"));
    assert!(man::page(Some("gate")).is_err());
}

#[test]
fn completions_know_the_flags() {
    for shell in clap_complete::Shell::value_variants() {
        let script = commands::completions(*shell);
        assert!(script.contains("ring-bytes") && script.contains("verify"), "{shell}");
    }
}
