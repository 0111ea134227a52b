//! What makes a sink impossible although every value of it is readable.

use std::path::{Path, PathBuf};

use super::build::Built;
use super::{NAME_BYTES_MAX, SinkKind, SinkSettings};
use crate::config::problem::Problem;
use crate::config::{Config, Kafka, Nats, SaslMechanism};

/// A key, and a sentence that follows its name.
type Found = (&'static str, String);

/// Words of librdkafka's settings that carry secrets: those have keys of their own, which are never shown.
const SECRET_WORDS: &[&str] = &["password", "secret", "sasl.oauthbearer.config", "key.pem"];

/// What one sink says about itself.
pub(super) fn alone(kind: SinkKind, name: &str, config: &Config) -> Vec<Found> {
    let mut found: Vec<Found> = name_problem(name).map(|text| ("sink.name", text)).into_iter().collect();
    if let Some((_, key)) = kind.destination()
        && (key.get)(config).is_none()
    {
        found.push((key.name, "is not set: without it there is nowhere to write to".into()));
    }
    match kind {
        SinkKind::Kafka => kafka(&config.kafka, &mut found),
        SinkKind::Nats => nats(&config.nats, &mut found),
        SinkKind::Parquet | SinkKind::Stdout => {}
    }
    found
}

/// Names stand in paths, metrics and names of threads.
fn name_problem(name: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let good = name.len() <= NAME_BYTES_MAX && name.chars().all(fits) && !name.starts_with('.');
    (!good).then(|| {
        format!("is `{name}`: give at most {NAME_BYTES_MAX} letters, digits, `.`, `_` and `-`, not beginning with `.`")
    })
}

fn kafka(kafka: &Kafka, found: &mut Vec<Found>) {
    found.extend(kafka.brokers.iter().filter_map(|b| broker_problem(b)).map(|text| ("kafka.brokers", text)));
    found.extend(template_problem(&kafka.topic, &["{class}", "{host}"]).map(|text| ("kafka.topic", text)));
    found.extend(pair_problem(&kafka.tls_cert, &kafka.tls_key).map(|text| ("kafka.tls_cert", text)));
    let password = kafka.sasl_password.is_some() || kafka.sasl_password_file.is_some();
    let needs = |what: &str| format!("needs {what}");
    match kafka.sasl_mechanism {
        None if kafka.sasl_username.is_some() => found.push(("kafka.sasl_username", needs("`sasl_mechanism` too"))),
        None => {}
        Some(SaslMechanism::OauthBearer) => {
            let secret = kafka.oidc_client_secret.is_some() || kafka.oidc_client_secret_file.is_some();
            let oidc = kafka.oidc_token_url.is_some() && kafka.oidc_client_id.is_some() && secret;
            if oidc == kafka.sasl_token_file.is_some() {
                let what = "either `oidc_token_url`, `oidc_client_id` and `oidc_client_secret` (or its file), or `sasl_token_file`";
                found.push(("kafka.sasl_mechanism", needs(what)));
            }
        }
        Some(_) if kafka.sasl_username.is_none() || !password => {
            found.push(("kafka.sasl_mechanism", needs("`sasl_username` and `sasl_password` (or its file)")));
        }
        Some(_) => {}
    }
    for text in &kafka.librdkafka {
        let name = text.split_once('=').map(|(name, _)| name.trim().to_lowercase());
        found.extend(
            match name {
                // The text is not shown: whoever forgot the sign may have put a secret here.
                None => Some("has an entry without `=`: give `name=value`".to_owned()),
                Some(name) => SECRET_WORDS
                    .iter()
                    .any(|word| name.contains(word))
                    .then(|| format!("has `{name}`, which can be secret: use the key of weir for it")),
            }
            .map(|text| ("kafka.librdkafka", text)),
        );
    }
}

fn nats(nats: &Nats, found: &mut Vec<Found>) {
    if nats.servers.iter().any(|server| server.contains('@')) {
        let text =
            "has a user or a token in a URL, which would be shown: use `user` and `password_file`, or `token_file`";
        found.push(("nats.servers", text.into()));
    }
    found.extend(template_problem(&nats.subject, &["{class}", "{host}", "{sink}"]).map(|text| ("nats.subject", text)));
    found.extend(pair_problem(&nats.tls_cert, &nats.tls_key).map(|text| ("nats.tls_cert", text)));
    let password = nats.password.is_some() || nats.password_file.is_some();
    if nats.user.is_some() != password {
        found.push(("nats.user", "and `password` (or its file) need each other".into()));
    }
    let ways = [
        nats.user.is_some(),
        nats.token.is_some() || nats.token_file.is_some(),
        nats.nkey_seed.is_some() || nats.nkey_seed_file.is_some(),
        nats.credentials_file.is_some(),
    ];
    if ways.iter().filter(|way| **way).count() > 1 {
        let text = "`token`, `nkey_seed` and `credentials_file` exclude each other: keep one way to log in";
        found.push(("nats.user", format!("or {text}")));
    }
    if nats.read_back && !nats.jetstream {
        found.push(("nats.read_back", "needs `jetstream`: plain NATS keeps nothing".into()));
    }
}

fn broker_problem(broker: &str) -> Option<String> {
    let port = broker.rsplit_once(':').map(|(_, port)| port);
    let good = !broker.contains(['/', '@', ' ']) && port.is_none_or(|port| port.parse::<u16>().is_ok());
    (!good).then(|| "has an entry that is not HOST:PORT".to_owned())
}

/// A name in which these words stand for what the rows have.
fn template_problem(template: &str, words: &[&str]) -> Option<String> {
    let plain = words.iter().fold(template.to_owned(), |text, word| text.replace(word, "x"));
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (plain.is_empty() || !plain.chars().all(fits)).then(|| {
        format!("is `{template}`: letters, digits, `.`, `_`, `-`, and these are possible: {}", words.join(", "))
    })
}

fn pair_problem(cert: &Option<PathBuf>, key: &Option<PathBuf>) -> Option<String> {
    (cert.is_some() != key.is_some()).then(|| "and `tls_key` need each other".to_owned())
}

/// What sinks say about each other.
pub(super) fn between(sinks: &[Built]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (i, (sink, origin)) in sinks.iter().enumerate() {
        let earlier = &sinks[..i];
        let mut refuse = |text: String| problems.push(Problem::new(origin.to_string(), text));
        if let Some((_, other)) = earlier.iter().find(|(other, _)| other.name == sink.name) {
            refuse(format!("sink `{}`: the sink of {other} has this `name` too", sink.name));
        }
        match &sink.settings {
            SinkSettings::Stdout(_) => {
                if let Some((other, _)) = earlier.iter().find(|(other, _)| other.kind() == SinkKind::Stdout) {
                    refuse(format!("sink `{}`: sink `{}` writes to standard output already", sink.name, other.name));
                }
            }
            SinkSettings::Parquet(parquet) => {
                let shares = |other: &SinkSettings| match other {
                    SinkSettings::Parquet(other) => overlap(parquet.dir.as_deref(), other.dir.as_deref()),
                    _ => false,
                };
                if let Some((other, _)) = earlier.iter().find(|(other, _)| shares(&other.settings)) {
                    let dir = parquet.dir.as_deref().unwrap_or(Path::new("")).display();
                    refuse(format!(
                        "sink `{}`: its directory {dir} is inside that of sink `{}`, or around it",
                        sink.name, other.name
                    ));
                }
            }
            SinkSettings::Kafka(_) | SinkSettings::Nats(_) => {}
        }
    }
    problems
}

/// Whether one directory is the other, or inside it: their limits would count each other's files.
fn overlap(one: Option<&Path>, other: Option<&Path>) -> bool {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or(path.to_owned());
    let (Some(one), Some(other)) = (one.map(absolute), other.map(absolute)) else { return false };
    one.starts_with(&other) || other.starts_with(&one)
}
