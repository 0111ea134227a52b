//! Files with several sinks: what they make, and what is wrong with them.

use std::path::PathBuf;

use weir_schema::{CLASSES, ClassId};
use weir_sinks::payload::PayloadFormat;
use weir_sinks::{ClassSet, Policy};

use super::*;
use crate::config::tests::{from_file, index, problem_of};
use crate::config::{Effective, KEYS, Raw, SinkStart, Sources, effective_toml};

fn sinks(text: &str) -> Vec<SinkConfig> {
    from_file(text).unwrap_or_else(|error| panic!("{error}\n{text}")).config.sinks
}

fn names(text: &str) -> Vec<String> {
    sinks(text).into_iter().map(|sink| format!("{}:{}", sink.name, sink.kind().name())).collect()
}

/// The file, and flags over it.
fn with_flags(text: &str, flags: &[(&str, &str)]) -> Effective {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("weir.toml");
    std::fs::write(&file, text).expect("write the file");
    let flags = flags.iter().map(|(key, value)| (String::new(), index(key), Raw::Text((*value).into()))).collect();
    Sources { file: Some(file), flags, ..Sources::default() }.load().expect("valid")
}

fn kafka(sink: &SinkConfig) -> &Kafka {
    match &sink.settings {
        SinkSettings::Kafka(section) => section,
        other => panic!("not Kafka: {other:?}"),
    }
}

#[test]
fn every_section_with_a_destination_makes_a_sink_named_like_itself() {
    for (text, expected) in [
        ("", &["parquet:parquet"][..]),
        ("[kafka]\nbrokers = [\"b:9092\"]", &["kafka:kafka"]),
        ("[kafka]\ntopic = \"t\"", &["parquet:parquet"]),
        ("[nats]\nservers = [\"nats://n\"]\n[stdout]\nformat = \"json\"", &["nats:nats", "stdout:stdout"]),
        (
            "[parquet]\ndir = \"d\"\n[kafka]\nbrokers = \"b\"\n[nats]\nservers = \"n\"\n[stdout]\nformat = \"table\"",
            &["parquet:parquet", "kafka:kafka", "nats:nats", "stdout:stdout"],
        ),
        ("capture = \"c\"", &[]),
    ] {
        assert_eq!(names(text), expected, "{text}");
    }
}

#[test]
fn tables_take_from_their_section_what_they_do_not_say() {
    let found = sinks(
        "[kafka]\nbrokers = [\"b1:9092\", \"b2:9092\"]\nlinger_ms = 7\nsasl_password = \"geheim\"\n\
         [[sink]]\ntype = \"kafka\"\nname = \"events\"\n\
         [[sink]]\ntype = \"kafka\"\nname = \"lake\"\nformat = \"arrow\"\nlinger_ms = \"1s\"\nclasses = [\"process\", \"file\"]\n\
         policy = \"block\"\nstart = \"oldest\"\nsasl_password_file = \"/run/pw\"\n",
    );
    let [events, lake] = &found[..] else { panic!("two sinks: {found:?}") };
    assert_eq!((events.name.as_str(), events.policy, events.start), ("events", Policy::Drop, SinkStart::Now));
    assert_eq!(events.classes, ClassSet::all());
    assert_eq!(kafka(events).brokers, ["b1:9092", "b2:9092"]);
    assert_eq!((kafka(events).linger_ms, kafka(events).format), (7, PayloadFormat::Json));
    assert_eq!(kafka(events).sasl_password.as_ref().map(|s| s.reveal()), Some("geheim"));
    assert_eq!((lake.name.as_str(), lake.policy, lake.start), ("lake", Policy::Block, SinkStart::Oldest));
    assert_eq!(lake.classes, ClassSet::of([ClassId::Process, ClassId::File]));
    assert_eq!(kafka(lake).brokers, ["b1:9092", "b2:9092"]);
    assert_eq!((kafka(lake).linger_ms, kafka(lake).format), (1000, PayloadFormat::Arrow));
    assert_eq!(kafka(lake).sasl_password, None);
    assert_eq!(kafka(lake).sasl_password_file, Some(PathBuf::from("/run/pw")));
}

#[test]
fn a_section_is_a_sink_beside_its_tables_only_if_a_flag_asks_for_it() {
    let text = "[kafka]\nbrokers = \"b\"\n[[sink]]\ntype = \"kafka\"\n[[sink]]\ntype = \"kafka\"\nbrokers = \"own\"\n";
    assert_eq!(names(text), ["kafka:kafka", "kafka-2:kafka"]);
    let effective = with_flags(text, &[("kafka.brokers", "flag")]);
    let found: Vec<_> =
        effective.config.sinks.iter().map(|s| (s.name.as_str(), kafka(s).brokers[0].as_str())).collect();
    assert_eq!(found, [("kafka", "flag"), ("kafka-2", "flag"), ("kafka-3", "own")]);
    let effective = with_flags(text, &[("stdout.format", "json")]);
    assert_eq!(effective.config.sinks.len(), 3);
}

#[test]
fn names_that_are_given_are_not_taken_by_others() {
    let table = |rest: &str| format!("[[sink]]\ntype = \"kafka\"\nbrokers = \"b\"\n{rest}\n");
    let text = [table(""), table("name = \"kafka\""), table(""), table("name = \"kafka-3\"")].concat();
    assert_eq!(names(&text), ["kafka-2:kafka", "kafka:kafka", "kafka-4:kafka", "kafka-3:kafka"]);
}

#[test]
fn a_parquet_table_without_a_directory_has_the_default_one() {
    let found = sinks("[[sink]]\ntype = \"parquet\"\nzstd_level = 3\n");
    let SinkSettings::Parquet(parquet) = &found[0].settings else { panic!("{found:?}") };
    assert_eq!((parquet.dir.as_deref(), parquet.zstd_level), (Some(crate::config::DATA_DIR.as_ref()), 3));
}

#[test]
fn what_is_wrong_with_a_sink_stands_at_its_line() {
    let kafka = |rest: &str| format!("[[sink]]\ntype = \"kafka\"\nbrokers = \"b\"\n{rest}");
    let nats = |rest: &str| format!("[[sink]]\ntype = \"nats\"\nservers = \"n\"\n{rest}");
    for (text, expected) in [
        (
            "[[sink]]\nname = \"x\"\n".to_owned(),
            "weir.toml:1: a sink needs its `type`: one of parquet, kafka, nats, stdout",
        ),
        ("\n[[sink]]\ntype = \"kafak\"\n".into(), "weir.toml:3: unknown type of sink `kafak`; did you mean `kafka`?"),
        ("[sink]\ntype = \"kafka\"\n".into(), "weir.toml:1: sinks are written as `[[sink]]` tables"),
        ("sink = 3\n".into(), "weir.toml:1: sinks are written as `[[sink]]` tables"),
        (kafka("linger = 3"), "weir.toml:4: unknown key `linger` of a sink of type kafka; did you mean `linger_ms`?"),
        (kafka("subject = \"s\""), "weir.toml:4: unknown key `subject` of a sink of type kafka"),
        (kafka("linger_ms = \"x\""), "weir.toml:4: `linger_ms` cannot be `x`: expected a number of milliseconds"),
        (kafka("policy = \"dorp\""), "weir.toml:4: `policy` cannot be `dorp`: expected one of: drop, block"),
        (kafka("linger_ms = 99999"), "weir.toml:4: sink `kafka`: `linger_ms` is 99999: it must be 0 to 60000"),
        (
            kafka("classes = [\"fiel\"]"),
            "weir.toml:4: sink `kafka`: `classes` has the unknown class `fiel`; did you mean `file`?",
        ),
        (kafka("name = \"a/b\""), "weir.toml:4: sink `a/b`: `name` is `a/b`: give at most 64 letters"),
        (kafka("topic = \"weir.{clas}\""), "weir.toml:4: sink `kafka`: `topic` is `weir.{clas}`"),
        (kafka("tls_key = \"k\""), "weir.toml:1: sink `kafka`: `tls_cert` and `tls_key` need each other"),
        (kafka("sasl_mechanism = \"plain\""), "weir.toml:4: sink `kafka`: `sasl_mechanism` needs `sasl_username` and"),
        (kafka("sasl_username = \"u\""), "weir.toml:4: sink `kafka`: `sasl_username` needs `sasl_mechanism` too"),
        (
            kafka("librdkafka = [\"ssl.key.password=x\"]"),
            "weir.toml:4: sink `kafka`: `librdkafka` has `ssl.key.password`, which can be",
        ),
        ("[[sink]]\ntype = \"kafka\"\n".into(), "weir.toml:1: sink `kafka`: `brokers` is not set"),
        (
            "[kafka]\nbrokers = \"http://b\"\n".into(),
            "weir.toml:2: sink `kafka`: `kafka.brokers` has an entry that is not HOST:PORT",
        ),
        (nats("password = \"x\""), "weir.toml:1: sink `nats`: `user` and `password`"),
        (nats("token = \"x\"\nnkey_seed_file = \"y\""), "weir.toml:1: sink `nats`: `user` or `token`"),
        (nats("jetstream = false\nread_back = true"), "weir.toml:5: sink `nats`: `read_back` needs `jetstream`"),
        (nats("token = \"x\"\ntoken_file = \"y\""), "weir.toml:4: `token` and `token_file` are both there: keep one"),
        (
            kafka(
                "[[sink]]\ntype = \"kafka\"\nbrokers = \"c\"\nname = \"kafka\"\n[[sink]]\ntype = \"nats\"\nservers = \"n\"\nname = \"kafka\"\n",
            ),
            "weir.toml:8: sink `kafka`: the sink of ",
        ),
        (
            "[stdout]\nformat = \"json\"\n[[sink]]\ntype = \"stdout\"\nname = \"a\"\n[[sink]]\ntype = \"stdout\"\n"
                .into(),
            "weir.toml:6: sink `stdout`: sink `a` writes to standard output already",
        ),
        (
            "[[sink]]\ntype = \"parquet\"\ndir = \"d\"\n[[sink]]\ntype = \"parquet\"\ndir = \"./d/e\"\n".into(),
            "weir.toml:4: sink `parquet-2`: its directory ./d/e is inside that of sink `parquet`",
        ),
    ] {
        let found = problem_of(&text);
        assert!(found.starts_with(expected), "{found}\n{text}");
    }
}

#[test]
fn what_is_wrong_in_a_section_is_said_once_and_not_for_every_table() {
    let text = "[kafka]\nbrokers = \"b\"\nlinger_ms = 99999\n[[sink]]\ntype = \"kafka\"\n[[sink]]\ntype = \"kafka\"\n";
    let error = from_file(text).expect_err("out of range");
    assert_eq!(error.problems.len(), 1, "{error}");
}

#[test]
fn every_problem_of_every_sink_is_named_at_once() {
    let text = "[[sink]]\ntype = \"kafka\"\n[[sink]]\ntype = \"nats\"\nx = 1\n[[sink]]\ntype = \"?\"\n";
    let error = from_file(text).expect_err("three problems");
    assert_eq!(error.problems.len(), 3, "{error}");
}

#[test]
fn more_sinks_than_fit_are_refused() {
    let table = |i: usize| format!("[[sink]]\ntype = \"parquet\"\ndir = \"d{i}\"\n");
    assert_eq!(sinks(&(0..SINKS_MAX).map(table).collect::<String>()).len(), SINKS_MAX);
    let found = problem_of(&(0..=SINKS_MAX).map(table).collect::<String>());
    assert!(found.contains("more than 32 sinks"), "{found}");
}

#[test]
fn the_printed_sinks_give_the_same_sinks_again() {
    let text = "[kafka]\nbrokers = [\"b\"]\nlinger_ms = 7\ntls_ca = \"ca\"\n\
                [[sink]]\ntype = \"kafka\"\ntls_ca = \"\"\nclasses = [\"process\"]\n\
                [[sink]]\ntype = \"kafka\"\nlinger_ms = 8\npolicy = \"block\"\nstart = \"oldest\"\nlibrdkafka = [\"a=b\"]\n\
                [[sink]]\ntype = \"nats\"\nservers = [\"n\"]\nnkey_seed_file = \"s\"\n\
                [[sink]]\ntype = \"parquet\"\nname = \"files\"\n";
    for effective in
        [from_file(text).expect("valid"), with_flags(text, &[("kafka.brokers", "c"), ("stdout.format", "json")])]
    {
        let printed = effective_toml(&effective);
        let again = from_file(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
        assert_eq!(again.config.sinks, effective.config.sinks, "{printed}");
        assert_eq!(again.config, effective.config);
    }
}

#[test]
fn secrets_have_no_flag_and_are_never_shown() {
    let secrets: Vec<_> = KEYS.iter().filter(|key| key.secret).collect();
    assert!(secrets.len() >= 6);
    for key in &secrets {
        assert!(key.all_flags().is_empty() && key.variable().is_some() && key.twin().is_some(), "{}", key.name);
        let (_, twin) = key.twin().expect("a file");
        assert_eq!(twin.twin().map(|(_, key)| key.name), Some(key.name));
        assert!(!twin.all_flags().is_empty(), "{}", twin.name);
        let section = key.section();
        let effective = from_file(&format!("[{section}]\n{} = \"geheim\"", key.leaf())).expect("valid");
        let printed = effective_toml(&effective);
        assert!(printed.contains(&format!("# {} = \"***\"", key.leaf())), "{printed}");
        assert!(!printed.contains("geheim") && !format!("{:?}", effective.config).contains("geheim"));
        let error = problem_of(&format!("[{section}]\n{} = [\"geheim\"]", key.leaf()));
        assert!(error.contains("***") && !error.contains("geheim"), "{error}");
    }
    let error = problem_of("[nats]\nservers = \"nats://user:geheim@n\"\n");
    assert!(error.contains("`nats.servers` has a user or a token") && !error.contains("geheim"), "{error}");
}

#[test]
fn of_a_secret_and_its_file_the_upper_layer_counts() {
    let text = "[kafka]\nsasl_password_file = \"/f\"\n";
    let effective = with_flags(text, &[("kafka.sasl_password", "p")]);
    assert_eq!(effective.config.kafka.sasl_password_file, None);
    let found = problem_of("[kafka]\nsasl_password_file = \"/f\"\nsasl_password = \"p\"\n");
    assert!(found.contains("are both set: keep one"), "{found}");
}

#[test]
fn a_table_can_say_everything_that_its_section_can() {
    for kind in SinkKind::ALL {
        let (_, destination) = kind.destination().expect("a destination");
        for key in KEYS.iter().filter(|key| key.section() == kind.name() && key.name != destination.name) {
            let clash = KEYS.iter().any(|other| other.only_in_tables() && other.leaf() == key.leaf());
            assert!(!clash && key.leaf() != TYPE, "{} means two things in a table", key.name);
        }
    }
}

#[test]
fn loss_can_be_named_and_is_there_anyway() {
    let found = sinks("[[sink]]\ntype = \"stdout\"\nformat = \"json\"\nclasses = [\"loss\"]\n");
    assert!(found[0].classes.contains(ClassId::Loss));
    assert_eq!(CLASSES.iter().filter(|class| found[0].classes.contains(class.id)).count(), 1);
}
