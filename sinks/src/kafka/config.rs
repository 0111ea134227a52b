//! From weir's settings to librdkafka's.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::options::{Acks, KafkaOptions, KafkaTls, Sasl};
use super::topics::Template;

/// Librdkafka's name for stopping at the first message that is refused.
pub(super) const GAPLESS: &str = "enable.gapless.guarantee";

/// What a queued message is counted with at least: librdkafka's own bookkeeping is not in `queue_bytes`, so the number of
/// messages is bounded too.
const MESSAGE_BYTES_MIN: usize = 128;
/// Largest request that librdkafka allows by default; more only where payloads may be larger.
const MESSAGE_BYTES_MAX: usize = 1_000_000;
/// Room for key, headers and framing beside a payload.
const AROUND_PAYLOAD_BYTES: usize = 16 * 1024;
/// Pause between attempts to reach a broker, at most.
const RECONNECT_MAX_MS: u64 = 2_000;
/// How long a client whose brokers were all taken out of the cluster waits before it asks those in its settings again;
/// the library's five minutes would be an outage of their own.
const REBOOTSTRAP_MS: u64 = 10_000;
/// How often leaders are asked for. A broker that stood still for a while leaves its partitions without one, and librdkafka
/// asks again only at the next turn (by its own default after 5 minutes): 83 s to the first row were measured.
const METADATA_MS: u64 = 5_000;
/// Settings that the sink's own work hangs on, and what to use instead.
const RESERVED: &[(&str, &str)] = &[
    ("delivery.report.only.error", "nothing: weir counts what is acknowledged by it"),
    ("log.queue", "nothing: weir reads the log by it"),
    ("transactional.id", "weir's own setting for transactions"),
    ("bootstrap.servers", "weir's own setting for brokers"),
    ("metadata.broker.list", "weir's own setting for brokers"),
];

/// How the next producer differs from the usual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tuning {
    /// Every message travels alone, so that what is refused is known.
    pub alone: bool,
    /// Bytes that travel together at most.
    pub batch_bytes: usize,
    /// One request at a time is on its way: a broker that has seen nothing of a producer yet takes whatever comes first, also
    /// what came behind a batch that it refused. Needed where a refusal is to be expected.
    pub one_by_one: bool,
}

impl Tuning {
    /// Whether a producer that was made so does for this, too.
    pub fn does_for(&self, wanted: Tuning) -> bool {
        self.batch_bytes <= wanted.batch_bytes && self.one_by_one >= wanted.one_by_one
    }
}

/// What is wrong with the settings before any broker is asked.
pub(super) fn check(options: &KafkaOptions) -> Result<(), String> {
    Template::parse(&options.topic)?;
    let KafkaOptions { queue_bytes, payload, .. } = options;
    if options.brokers.trim().is_empty() {
        return Err("no broker is named; give host:port".to_owned());
    }
    if *queue_bytes < payload.bytes_max * 2 {
        let bytes_max = payload.bytes_max;
        return Err(format!(
            "a queue of {queue_bytes} bytes is too small for messages of {bytes_max}; give it twice that"
        ));
    }
    if options.transactions.is_some() && options.acks != Acks::All {
        return Err("transactions need acknowledgements of all replicas; leave acks as it is".to_owned());
    }
    if options.create_topics.is_some() && matches!(options.sasl, Some(Sasl::TokenFile(_))) {
        // The library's administration client has nobody who hands it a token.
        return Err("topics cannot be created with tokens from a file; create them by hand".to_owned());
    }
    match RESERVED.iter().find(|(name, _)| options.extra.iter().any(|(extra, _)| extra == name)) {
        Some((name, instead)) => Err(format!("{name} is not a setting to change; use {instead}")),
        None => Ok(()),
    }
}

/// What producers, consumers and the administration share.
pub(super) fn client(options: &KafkaOptions) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Info);
    config.set("bootstrap.servers", &options.brokers);
    config.set("client.id", format!("weir-{}", options.name));
    config.set("socket.keepalive.enable", "true");
    config.set("log.connection.close", "false");
    config.set("reconnect.backoff.max.ms", RECONNECT_MAX_MS.to_string());
    config.set("metadata.recovery.rebootstrap.trigger.ms", REBOOTSTRAP_MS.to_string());
    let protocol = match (&options.tls, &options.sasl) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    config.set("security.protocol", protocol);
    if let Some(tls) = &options.tls {
        set_tls(&mut config, tls);
    }
    if let Some(sasl) = &options.sasl {
        set_sasl(&mut config, sasl);
    }
    for (name, value) in &options.extra {
        config.set(name, value);
    }
    config
}

fn set_tls(config: &mut ClientConfig, tls: &KafkaTls) {
    let files = [("ssl.ca.location", &tls.ca), ("ssl.certificate.location", &tls.cert), ("ssl.key.location", &tls.key)];
    for (name, path) in files {
        if let Some(path) = path {
            config.set(name, path.to_string_lossy());
        }
    }
    if let Some(password) = &tls.key_password {
        config.set("ssl.key.password", password.reveal());
    }
    if !tls.verify {
        config.set("enable.ssl.certificate.verification", "false");
        config.set("ssl.endpoint.identification.algorithm", "none");
    }
}

fn set_sasl(config: &mut ClientConfig, sasl: &Sasl) {
    match sasl {
        Sasl::Password { mechanism, username, password } => {
            config.set("sasl.mechanism", mechanism.name());
            config.set("sasl.username", username);
            config.set("sasl.password", password.reveal());
        }
        Sasl::TokenFile(_) => {
            config.set("sasl.mechanism", "OAUTHBEARER");
        }
        Sasl::Oidc { token_endpoint, client_id, client_secret, scope, extensions } => {
            config.set("sasl.mechanism", "OAUTHBEARER");
            config.set("sasl.oauthbearer.method", "oidc");
            config.set("sasl.oauthbearer.token.endpoint.url", token_endpoint);
            config.set("sasl.oauthbearer.client.id", client_id);
            config.set("sasl.oauthbearer.client.secret", client_secret.reveal());
            for (name, value) in [("scope", scope), ("extensions", extensions)] {
                if let Some(value) = value {
                    config.set(format!("sasl.oauthbearer.{name}"), value);
                }
            }
        }
    }
}

/// Of the producer.
pub(super) fn producer(options: &KafkaOptions, tuning: Tuning) -> ClientConfig {
    let mut config = client(options);
    let idempotent = options.acks == Acks::All;
    let acks = match options.acks {
        Acks::All => "all",
        Acks::Leader => "1",
        Acks::None => "0",
    };
    let mut usual = |name: &str, value: String| {
        if !options.extra.iter().any(|(extra, _)| extra == name) {
            config.set(name, value);
        }
    };
    usual("enable.idempotence", idempotent.to_string());
    usual("acks", acks.to_owned());
    usual("linger.ms", options.linger.as_millis().to_string());
    usual("compression.type", options.compression.name(&options.payload).to_owned());
    usual("queue.buffering.max.kbytes", (options.queue_bytes / 1024).to_string());
    usual("queue.buffering.max.messages", queue_messages(options).to_string());
    usual("message.max.bytes", message_bytes(options).to_string());
    // The same as that of producers in Java, so that other tables by the same key fall into the same partitions.
    usual("partitioner", "murmur2_random".to_owned());
    usual("delivery.report.only.error", true.to_string());
    usual("topic.metadata.refresh.interval.ms", METADATA_MS.to_string());
    let chosen = config.get("batch.size").and_then(|bytes| bytes.parse().ok()).unwrap_or(usize::MAX);
    config.set("batch.size", tuning.batch_bytes.min(chosen).to_string());
    if config.get("enable.idempotence") == Some("true") && options.transactions.is_none() {
        // What follows a message that is refused would overtake what is sent again for it: the producer stops instead. A
        // transaction is given up as a whole.
        config.set(GAPLESS, "true");
    }
    if tuning.one_by_one && options.acks == Acks::All {
        config.set("max.in.flight.requests.per.connection", "1");
    }
    if tuning.alone {
        config.set("batch.num.messages", "1");
    }
    match &options.transactions {
        Some(transactions) => config.set("transactional.id", &transactions.id),
        // How long to wait is the lane's to decide: librdkafka drops nothing by itself.
        None => config.set("message.timeout.ms", "0"),
    };
    config
}

/// The largest message that librdkafka takes.
pub(super) fn message_bytes(options: &KafkaOptions) -> usize {
    let chosen = options.extra.iter().rev().find(|(name, _)| name == "message.max.bytes");
    let usual = MESSAGE_BYTES_MAX.max(options.payload.bytes_max + AROUND_PAYLOAD_BYTES);
    chosen.and_then(|(_, bytes)| bytes.parse().ok()).unwrap_or(usual)
}

/// Whether what is sent may be smaller than it looks.
pub(super) fn compresses(options: &KafkaOptions) -> bool {
    let is_codec = |name: &str| ["compression.type", "compression.codec"].contains(&name);
    let chosen = options.extra.iter().rev().find(|(name, _)| is_codec(name)).map(|(_, codec)| codec.as_str());
    chosen.unwrap_or(options.compression.name(&options.payload)) != "none"
}

/// How many messages the queue takes.
pub(super) fn queue_messages(options: &KafkaOptions) -> usize {
    (options.queue_bytes / MESSAGE_BYTES_MIN).max(1)
}

/// Of the consumer that reads the progress back.
pub(super) fn progress_consumer(options: &KafkaOptions, fetch_wait: Duration) -> ClientConfig {
    let mut config = client(options);
    config.set("group.id", "weir-progress");
    config.set("enable.auto.commit", "false");
    config.set("isolation.level", "read_committed");
    config.set("enable.partition.eof", "true");
    config.set("auto.offset.reset", "earliest");
    config.set("fetch.wait.max.ms", fetch_wait.as_millis().to_string());
    config
}

#[cfg(test)]
mod tests {
    use rdkafka::config::FromClientConfig;
    use rdkafka::producer::BaseProducer;

    use super::super::options::{PasswordMechanism, Transactions};
    use super::*;
    use crate::Secret;

    const USUAL: Tuning = Tuning { alone: false, batch_bytes: 1_000_000, one_by_one: false };

    fn accepted(options: &KafkaOptions) {
        let config = producer(options, Tuning { alone: true, batch_bytes: 100_000, one_by_one: true });
        let made = BaseProducer::from_config(&config);
        assert!(made.is_ok(), "{:?}: {:?}", options, made.err());
    }

    #[test]
    fn librdkafka_accepts_what_every_setting_becomes() {
        let usual = KafkaOptions::default;
        accepted(&usual());
        accepted(&KafkaOptions { transactions: Some(Transactions::new("t")), ..usual() });
        accepted(&KafkaOptions { acks: Acks::Leader, linger: Duration::ZERO, ..usual() });
        accepted(&KafkaOptions { extra: vec![("linger.ms".into(), "7".into())], ..usual() });
        for mechanism in [PasswordMechanism::Plain, PasswordMechanism::ScramSha256, PasswordMechanism::ScramSha512] {
            let sasl = Some(Sasl::Password { mechanism, username: "u".into(), password: Secret::new("p") });
            let tls = Some(KafkaTls { ca: None, cert: None, key: None, key_password: None, verify: false });
            accepted(&KafkaOptions { sasl, tls, ..usual() });
        }
        accepted(&KafkaOptions { sasl: Some(Sasl::TokenFile("/run/token".into())), ..usual() });
    }

    #[test]
    fn messages_that_are_compressed_inside_are_not_compressed_again() {
        use super::super::options::KafkaCompression;
        use crate::payload::{Compression, PayloadFormat, PayloadOptions};
        let compression = |format, inside, compression| {
            let payload = PayloadOptions { format, compression: inside, ..KafkaOptions::default().payload };
            let options = KafkaOptions { payload, compression, ..KafkaOptions::default() };
            producer(&options, USUAL).get("compression.type").map(str::to_owned)
        };
        let auto = KafkaCompression::Auto;
        assert_eq!(compression(PayloadFormat::Arrow, Compression::Lz4, auto).as_deref(), Some("none"));
        assert_eq!(compression(PayloadFormat::Arrow, Compression::None, auto).as_deref(), Some("lz4"));
        assert_eq!(compression(PayloadFormat::Json, Compression::Lz4, auto).as_deref(), Some("lz4"));
        let zstd = compression(PayloadFormat::Arrow, Compression::Lz4, KafkaCompression::Zstd);
        assert_eq!(zstd.as_deref(), Some("zstd"));
    }

    #[test]
    fn further_settings_win_except_those_that_the_sink_hangs_on() {
        let extra = |name: &str, value: &str| KafkaOptions {
            extra: vec![(name.to_owned(), value.to_owned())],
            ..KafkaOptions::default()
        };
        let options = extra("linger.ms", "7");
        assert_eq!(check(&options), Ok(()));
        assert_eq!(producer(&options, USUAL).get("linger.ms"), Some("7"));
        for (name, _) in RESERVED {
            assert!(check(&extra(name, "x")).unwrap_err().contains(name));
        }
    }

    #[test]
    fn impossible_settings_are_named_before_any_broker_is_asked() {
        let usual = KafkaOptions::default;
        for (options, word) in [
            (KafkaOptions { brokers: " ".into(), ..usual() }, "broker"),
            (KafkaOptions { topic: "weir.{clas}".into(), ..usual() }, "{clas}"),
            (KafkaOptions { queue_bytes: 100_000, ..usual() }, "100000"),
            (
                KafkaOptions {
                    sasl: Some(Sasl::TokenFile("/run/token".into())),
                    create_topics: Some(Default::default()),
                    ..usual()
                },
                "tokens",
            ),
            (KafkaOptions { transactions: Some(Transactions::new("t")), acks: Acks::Leader, ..usual() }, "acks"),
        ] {
            let error = check(&options).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn no_secret_is_in_what_options_print() {
        let sasl = Sasl::Password {
            mechanism: PasswordMechanism::Plain,
            username: "u".into(),
            password: Secret::new("hunter2"),
        };
        let tls =
            KafkaTls { ca: None, cert: None, key: None, key_password: Some(Secret::new("hunter2")), verify: true };
        let options = KafkaOptions { sasl: Some(sasl), tls: Some(tls), ..KafkaOptions::default() };
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
