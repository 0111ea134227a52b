//! Tables over all keys: whatever is added to the list is tested by these too.

use std::fs;
use std::path::PathBuf;

use super::*;

pub(super) fn index(name: &str) -> usize {
    Config::key(name).unwrap_or_else(|| panic!("no key {name}")).0
}

pub(super) fn from_file(text: &str) -> Result<Effective, ConfigError> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("weir.toml");
    fs::write(&path, text).expect("write the file");
    Sources { file: Some(path), ..Sources::default() }.load()
}

/// What is wrong with a file, without the directory in front.
pub(super) fn problem_of(text: &str) -> String {
    let error = from_file(text).expect_err("the file is wrong").to_string();
    error.split_once("weir.toml").map_or(error.clone(), |(_, rest)| format!("weir.toml{rest}"))
}

#[test]
fn a_file_of_any_size_is_refused_by_its_first_problems() {
    let tables: String = (0..100_000).map(|n| format!("[table{n}]\n")).collect();
    let error = from_file(&tables).expect_err("no such tables");
    assert_eq!((error.problems.len(), error.more), (100, 99_900));
    assert!(error.to_string().ends_with("and 99900 more problems"));
    let names: Vec<String> = (0..300_000).map(|n| format!("\"proces{n}\"")).collect();
    for key in ["classes", "syscalls"] {
        let found = problem_of(&format!("{key} = [{}]", names.join(",")));
        assert_eq!(found.lines().count(), 21, "{found}");
        assert!(found.contains("has 299980 more names, which are not looked at"), "{found}");
    }
    let sink = "[[sink]]\ntype = \"parquet\"\n";
    let found = problem_of(&format!("{sink}classes = [{}]", names.join(",")));
    assert!(found.contains("`proces0`") && found.lines().count() == 1, "{found}");
    let found = problem_of(&sink.repeat(100_000));
    assert!(found.ends_with("more than 32 sinks"), "{found}");
}

/// A text for each key that differs from its default and is valid by itself.
fn other_value(key: &Key) -> String {
    let special = match key.name {
        "classes" => "process",
        "syscalls" => "openat",
        "except_syscalls" => "getpid",
        "ring_bytes" => "1MiB",
        "ring_lifecycle_percent" => "20",
        "batch_bytes_max" => "1MiB",
        "args_bytes_max" => "1KiB",
        "filter.only_path" | "filter.except_path" => "/etc/",
        "parquet.zstd_level" => "3",
        "ancestors_max" => "8",
        "filter.only_container" | "filter.except_container" => "0123456789ab",
        "user" => "root",
        "listen" => "127.0.0.1:9464",
        "kafka.topic" | "nats.subject" => "other",
        "nats.stream_replicas" => "3",
        "kafka.message_bytes_max" | "nats.message_bytes_max" => "512KiB",
        _ => "",
    };
    if !special.is_empty() {
        return special.to_owned();
    }
    if key.switch {
        let is_on = (key.get)(&Config::default()).as_deref() == Some("true");
        return (!is_on).to_string();
    }
    if !key.choices.is_empty() {
        let default = (key.get)(&Config::default()).unwrap_or_default();
        return key.choices.iter().find(|word| !default.contains(*word)).expect("another word").to_string();
    }
    match key.placeholder {
        "SIZE" => "512MiB",
        "TIME" => "7s",
        "N" | "MS" | "US" | "NS" => "100",
        _ => "word",
    }
    .to_owned()
}

fn assert_set(key: &Key, layer: &str, effective: &Effective) {
    let value = (key.get)(&effective.config);
    assert_ne!(value, (key.get)(&Config::default()), "{} set by {layer}", key.name);
    let mut expected = Config::default();
    (key.set)(&mut expected, &Raw::Text(other_value(key))).expect("a valid value");
    assert_eq!(value, (key.get)(&expected), "{} set by {layer}", key.name);
}

/// What a key cannot be without, as a variable.
fn companion(key: &Key) -> Vec<(String, String)> {
    let needed: &[(&str, &str)] = match key.name {
        "spool.mode" => &[("WEIR_SPOOL_DIR", "spool")],
        "spool.segment_bytes" => &[("WEIR_SPOOL_BYTES_MAX", "4GiB")],
        _ => &[],
    };
    needed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn every_key_can_be_set_by_file_environment_and_flag() {
    for (i, key) in KEYS.iter().enumerate().filter(|(_, key)| !key.only_in_tables()) {
        let text = other_value(key);
        let section = if key.section().is_empty() { String::new() } else { format!("[{}]\n", key.section()) };
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("weir.toml");
        fs::write(&file, format!("{section}{} = \"{text}\"\n", key.leaf())).expect("write the file");
        let sources = Sources { file: Some(file), environment: companion(key), ..Sources::default() };
        let by_file = sources.load().expect(key.name);
        assert_set(key, "file", &by_file);
        assert!(matches!(&by_file.origins[i], Origin::File(..)), "{}", key.name);

        let mut environment = companion(key);
        environment.extend(key.variable().map(|name| (name, text.clone())));
        let by_environment = Sources { environment, ..Sources::default() }.load().expect(key.name);
        assert_set(key, "environment", &by_environment);

        let flags = vec![("flag".to_owned(), i, Raw::Text(text))];
        let sources = Sources { flags, environment: companion(key), ..Sources::default() };
        assert_set(key, "flag", &sources.load().expect(key.name));
    }
}

#[test]
fn flags_weigh_more_than_the_environment_and_that_more_than_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("weir.toml");
    fs::write(&file, "nap_us = 100\nbatch_age_ms = 100\nnaps_before_sleep = 100\n").expect("write the file");
    let environment = vec![("WEIR_NAP_US".into(), "200".into()), ("WEIR_BATCH_AGE_MS".into(), "200ms".into())];
    let flags = vec![("nap-us".into(), index("nap_us"), Raw::Text("300".into()))];
    let effective = Sources { file: Some(file.clone()), text: None, environment, flags }.load().expect("valid");
    let config = &effective.config;
    assert_eq!(
        (config.naps_before_sleep, config.batch_age_ms, config.nap_us, config.clock_slack_ns),
        (100, 200, 300, 2000)
    );
    let origins: Vec<String> = ["naps_before_sleep", "batch_age_ms", "nap_us", "clock_slack_ns"]
        .map(|name| effective.origins[index(name)].to_string())
        .to_vec();
    assert_eq!(origins, [&format!("{}:3", file.display()), "WEIR_BATCH_AGE_MS", "--nap-us", "default"]);
}

#[test]
fn the_file_can_be_named_by_the_environment() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("w.toml");
    fs::write(&file, "host = \"here\"\n").expect("write the file");
    let environment = vec![("WEIR_CONFIG".to_owned(), file.display().to_string())];
    let effective = Sources { environment, ..Sources::default() }.load().expect("valid");
    assert_eq!(effective.config.host.as_deref(), Some("here"));
}

#[test]
fn unknown_keys_name_the_line_and_the_nearest_known_one() {
    for (text, expected) in [
        ("\n\nring_byte = 1\n", "weir.toml:3: unknown key `ring_byte`; did you mean `ring_bytes`?"),
        ("[parquet]\ndri = \"x\"\n", "weir.toml:2: unknown key `parquet.dri`; did you mean `parquet.dir`?"),
        ("[parqet]\ndir = \"x\"\n", "weir.toml:1: unknown key `parqet`; did you mean `parquet`?"),
        ("zstd_level = 3\n", "weir.toml:1: unknown key `zstd_level`; did you mean `parquet.zstd_level`?"),
        ("q = 3\n", "weir.toml:1: unknown key `q`"),
        ("parquet = 3\n", "weir.toml:1: unknown key `parquet`"),
    ] {
        let found = problem_of(text);
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn unknown_variables_are_errors_but_for_those_of_the_repository() {
    let load =
        |name: &str| Sources { environment: vec![(name.to_owned(), "1".to_owned())], ..Sources::default() }.load();
    let error = load("WEIR_RING_BYTE").expect_err("unknown").to_string();
    assert_eq!(error, "WEIR_RING_BYTE: unknown environment variable; did you mean `WEIR_RING_BYTES`?");
    for name in ["WEIR_UPDATE", "WEIR_VM_KERNELS", "WEIR_TEST_PYTHON", "PATH"] {
        load(name).expect(name);
    }
}

#[test]
fn values_that_do_not_fit_say_where_and_what_was_expected() {
    for (text, expected) in [
        ("ring_bytes = \"8 apples\"", "weir.toml:1: `ring_bytes` cannot be `8 apples`: expected a size"),
        ("nap_us = -5", "weir.toml:1: `nap_us` cannot be `-5`: expected a number of microseconds"),
        ("[log]\nformat = \"xml\"", "weir.toml:2: `log.format` cannot be `xml`: expected one of: text, json"),
        ("env = \"maybe\"", "weir.toml:1: `env` cannot be `maybe`: expected true or false"),
        ("[filter]\nfollow = [1, \"x\"]", "weir.toml:2: `filter.follow` cannot be `1,x`: expected a whole number"),
        ("[filter]\nfollow = [99999999999]", "weir.toml:2: `filter.follow` cannot be"),
        ("duration = 1979-05-27", "weir.toml:1: `duration` cannot be `1979-05-27`: expected a duration"),
        ("host = ", "weir.toml:1: "),
        ("host = \"a\"\nhost = \"b\"", "weir.toml:2: "),
    ] {
        let found = problem_of(text);
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn impossible_values_are_refused_at_their_place() {
    for (text, expected) in [
        ("ring_bytes = 100000", "weir.toml:1: `ring_bytes` is 100000: it must be a power of two, such as 64KiB"),
        ("ring_bytes = \"32KiB\"", "weir.toml:1: `ring_bytes` is 32KiB: it must be 64KiB to 1GiB"),
        ("batch_age_ms = 0", "weir.toml:1: `batch_age_ms` is 0: it must be 1 to 60000"),
        ("duration = \"0s\"", "weir.toml:1: `duration` is zero"),
        ("lane_bytes_max = \"1MiB\"", "weir.toml:1: `lane_bytes_max` is less than `batch_bytes_max`"),
        ("[parquet]\nzstd_level = 23", "weir.toml:2: `parquet.zstd_level` is 23: it must be 1 to 22"),
        ("classes = [\"proces\"]", "weir.toml:1: `classes` has the unknown class `proces`; did you mean `process`?"),
        (
            "classes = [\"file.opne\"]",
            "weir.toml:1: `classes` has the unknown action `file.opne`; did you mean `file.open`?",
        ),
        (
            "syscalls = [\"opennat\"]",
            "weir.toml:1: `syscalls` has the unknown system call `opennat`; did you mean `openat`?",
        ),
        ("[filter]\nonly_path = [\"etc\"]", "weir.toml:2: `filter.only_path` has `etc`: it must begin with `/`"),
        (
            "[filter]\nonly_comm = [\"a-name-that-is-too-long\"]",
            "weir.toml:2: `filter.only_comm` has `a-name-that-is-too-long`: the kernel",
        ),
    ] {
        let found = problem_of(text);
        assert!(found.starts_with(expected), "{found}");
    }
    let pids: Vec<String> = (0..=FILTER_VALUES_MAX).map(|pid| pid.to_string()).collect();
    let found = problem_of(&format!("[filter]\nfollow = [{}]", pids.join(",")));
    assert!(found.starts_with("weir.toml:2: `filter.follow` has 65 values: at most 64 fit"), "{found}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let file = Some(PathBuf::from("/nonexistent/weir.toml"));
    let error = Sources { file, ..Sources::default() }.load().expect_err("no file").to_string();
    assert!(error.starts_with("/nonexistent/weir.toml: cannot be read: "), "{error}");
}

#[test]
fn rows_go_to_parquet_unless_only_standard_output_is_asked_for() {
    let load = |flags: &[(&str, &str)]| {
        let flags = flags.iter().map(|(key, value)| (String::new(), index(key), Raw::Text((*value).into()))).collect();
        Sources { flags, ..Sources::default() }.load().expect("valid").config
    };
    assert_eq!(load(&[]).parquet.dir, Some(PathBuf::from(DATA_DIR)));
    assert_eq!(load(&[("stdout.format", "json")]).parquet.dir, None);
    assert_eq!(load(&[("stdout.format", "json"), ("parquet.dir", "d")]).parquet.dir, Some(PathBuf::from("d")));
    assert_eq!(load(&[("stdout.format", "")]).parquet.dir, Some(PathBuf::from(DATA_DIR)));
}

#[test]
fn the_printed_configuration_is_a_file_that_gives_the_same_again() {
    // Secrets are not printed, the ways to log in exclude each other, and some values need others.
    let is_left_out = |key: &Key| {
        let others = ["kafka.sasl_mechanism", "kafka.sasl_username", "nats.user", "nats.credentials_file"];
        let needing = ["kafka.librdkafka", "nats.read_back"];
        key.only_in_tables() || key.twin().is_some() || others.contains(&key.name) || needing.contains(&key.name)
    };
    let keys = KEYS.iter().enumerate().filter(|(_, key)| !is_left_out(key));
    let flags = keys.map(|(i, key)| ("f".to_owned(), i, Raw::Text(other_value(key)))).collect();
    for sources in [Sources::default(), Sources { flags, ..Sources::default() }] {
        let effective = sources.load().expect("valid");
        let text = effective_toml(&effective);
        let again = from_file(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(again.config, effective.config);
    }
}

#[test]
fn names_flags_and_variables_are_unique() {
    let mut names: Vec<String> = KEYS.iter().map(|key| key.name.to_owned()).collect();
    names.extend(KEYS.iter().filter_map(Key::variable));
    names.extend(KEYS.iter().flat_map(Key::all_flags).map(|(flag, _)| format!("--{flag}")));
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn classes_and_calls_select_what_they_name() {
    let select = |classes: &[&str], syscalls: &[&str], except: &[&str]| {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let config = Config {
            classes: own(classes),
            syscalls: own(syscalls),
            except_syscalls: own(except),
            ..Config::default()
        };
        config.selection().expect("known names")
    };
    let sendto = 0x0308;
    let by_default = select(&[], &[], &[]);
    for class in weir_schema::CLASSES {
        for action in class.actions {
            let expected = (class.default || class.name == "loss") && !action.on_request;
            assert_eq!(by_default.actions.contains(&action.id), expected, "{}.{}", class.name, action.name);
        }
    }
    assert!(by_default.calls.is_empty());
    assert!(!select(&["network"], &[], &[]).actions.contains(&sendto));
    assert!(select(&["default", "network.sendto"], &[], &[]).actions.is_superset(&by_default.actions));
    assert!(select(&["default", "network.sendto"], &[], &[]).actions.contains(&sendto));
    let calls = select(&["process.exec"], &["openat", "newfstat"], &[]);
    assert_eq!(calls.calls.iter().copied().collect::<Vec<_>>(), ["fstat", "openat"]);
    let actions: Vec<u16> = calls.actions.iter().copied().filter(|id| id >> 8 != 7).collect();
    assert_eq!(actions, [0x0102, 0x0601]);
    let all = select(&["syscall"], &[], &["getpid"]);
    assert!(all.calls_without_name && all.calls.contains("openat") && !all.calls.contains("getpid"));
    assert_eq!(all, select(&["syscall"], &["all"], &["getpid"]));
    assert!(!select(&["syscall"], &["openat"], &[]).calls_without_name);
}

#[test]
fn the_reference_of_the_settings_is_rendered_from_the_table() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    if std::env::var_os("WEIR_UPDATE").is_some() {
        fs::write(&path, markdown()).expect("write the reference");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == markdown(), "docs/configuration.md is stale: run `WEIR_UPDATE=1 cargo test -p weir-collector`");
}
