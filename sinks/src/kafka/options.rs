//! What the Kafka sink can be told, with its defaults.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Secret;
use crate::payload::{Compression, PayloadFormat, PayloadOptions};
use crate::secret::{revealed, revealed_or_none};

const MIB: usize = 1024 * 1024;
/// Bytes of one message: what brokers take by default is a little more than a million, everything included.
const PAYLOAD_BYTES_MAX: usize = 900_000;
/// JSON lines in one message.
const LINES_MAX: usize = 1_000;

/// Settings of [`super::KafkaSink`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KafkaOptions {
    /// Name of the sink: in logs, in the ledger, and as directory of its dead letters.
    pub name: String,
    /// Bootstrap brokers, `host:port` with commas.
    pub brokers: String,
    /// Topic of a batch: `{class}` and `{host}` are filled in.
    pub topic: String,
    /// Form and limits of the messages.
    pub payload: PayloadOptions,
    /// What librdkafka does with what it sends.
    pub compression: KafkaCompression,
    /// Who must have a message before it counts as written; with less than all there is no idempotence.
    pub acks: Acks,
    /// How long librdkafka collects messages before it sends them.
    pub linger: Duration,
    /// Bytes of messages and keys that wait for their acknowledgement.
    pub queue_bytes: usize,
    /// Makes topics that are missing.
    pub create_topics: Option<TopicCreation>,
    /// TLS; without it the connection is in the clear.
    pub tls: Option<KafkaTls>,
    /// Who weir is for the brokers.
    pub sasl: Option<Sasl>,
    /// One transaction per flush, with the progress inside.
    pub transactions: Option<Transactions>,
    /// Stream time from flush to flush.
    pub flush_period: Duration,
    /// How long a write waits for room in the queue.
    pub write_wait: Duration,
    /// How long a flush waits for acknowledgements.
    pub flush_wait: Duration,
    /// Further settings of librdkafka, by its own names; they win over what follows from the above.
    pub extra: Vec<(String, String)>,
    /// Directory for messages that the brokers refuse for ever.
    pub dead_letters: PathBuf,
    /// Bytes that the dead letters of this sink may take.
    pub dead_letter_bytes_max: u64,
}

impl Default for KafkaOptions {
    fn default() -> KafkaOptions {
        KafkaOptions {
            name: "kafka".to_owned(),
            brokers: "localhost:9092".to_owned(),
            topic: "weir.{class}".to_owned(),
            payload: PayloadOptions {
                format: PayloadFormat::Json,
                compression: Compression::Lz4,
                bytes_max: PAYLOAD_BYTES_MAX,
                lines_max: LINES_MAX,
            },
            compression: KafkaCompression::Auto,
            acks: Acks::All,
            linger: Duration::from_millis(20),
            queue_bytes: 64 * MIB,
            create_topics: None,
            tls: None,
            sasl: None,
            transactions: None,
            flush_period: Duration::from_secs(1),
            write_wait: Duration::from_millis(500),
            flush_wait: Duration::from_secs(5),
            extra: Vec::new(),
            dead_letters: PathBuf::from("weir-dead-letters"),
            dead_letter_bytes_max: 256 * MIB as u64,
        }
    }
}

/// Compression of what goes over the wire and onto the brokers' disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KafkaCompression {
    /// Lz4; none for Arrow messages that are compressed inside.
    Auto,
    /// None.
    None,
    /// Fast.
    Lz4,
    /// Small.
    Zstd,
    /// Known everywhere.
    Gzip,
    /// Known everywhere.
    Snappy,
}

impl KafkaCompression {
    /// librdkafka's name of what becomes of messages of this form.
    pub fn name(self, payload: &PayloadOptions) -> &'static str {
        let is_compressed = payload.format == PayloadFormat::Arrow && payload.compression != Compression::None;
        match self {
            KafkaCompression::Auto if is_compressed => "none",
            KafkaCompression::None => "none",
            KafkaCompression::Auto | KafkaCompression::Lz4 => "lz4",
            KafkaCompression::Zstd => "zstd",
            KafkaCompression::Gzip => "gzip",
            KafkaCompression::Snappy => "snappy",
        }
    }
}

/// Who must have a message before it counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acks {
    /// All replicas in sync; retries make no duplicates.
    All,
    /// The leader alone: what it had not passed on when it fails is gone.
    Leader,
    /// Nobody: at most once.
    None,
}

/// How a missing topic is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicCreation {
    /// Partitions; the brokers' own default if none.
    pub partitions: Option<i32>,
    /// Replicas of each partition; the brokers' own default if none.
    pub replication: Option<i32>,
    /// How long messages are kept; the brokers' own default if none.
    pub retention: Option<Duration>,
}

/// TLS with PEM files.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KafkaTls {
    /// Certificates of those who may sign the brokers'; the system's if none.
    pub ca: Option<PathBuf>,
    /// Certificate of the client.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// What the key is locked with.
    #[serde(with = "revealed_or_none")]
    pub key_password: Option<Secret>,
    /// Whether the brokers' certificates and names are checked.
    pub verify: bool,
}

/// Credentials.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Sasl {
    /// User and password.
    Password {
        /// How they are shown to the broker.
        mechanism: PasswordMechanism,
        /// The user.
        username: String,
        /// The password.
        #[serde(with = "revealed")]
        password: Secret,
    },
    /// OAUTHBEARER with tokens that someone else renews in a file, as Kubernetes does.
    TokenFile(PathBuf),
    /// OAUTHBEARER with tokens from an OpenID Connect provider.
    Oidc {
        /// Where tokens are asked for.
        token_endpoint: String,
        /// Who asks.
        client_id: String,
        /// With what.
        #[serde(with = "revealed")]
        client_secret: Secret,
        /// What for.
        scope: Option<String>,
        /// Further claims, `name=value` with commas.
        extensions: Option<String>,
    },
}

/// SASL mechanisms with a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PasswordMechanism {
    /// In the clear: for TLS only.
    Plain,
    /// SCRAM-SHA-256.
    ScramSha256,
    /// SCRAM-SHA-512.
    ScramSha512,
}

impl PasswordMechanism {
    /// The name in the protocol.
    pub(super) fn name(self) -> &'static str {
        match self {
            PasswordMechanism::Plain => "PLAIN",
            PasswordMechanism::ScramSha256 => "SCRAM-SHA-256",
            PasswordMechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Exactly once, for consumers that read committed messages only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Transactions {
    /// `transactional.id`: the same from start to start, and of nobody else.
    pub id: String,
    /// Compacted topic of the progress records.
    pub progress_topic: String,
}

impl Transactions {
    /// With the usual topic, `weir.progress`.
    pub fn new(id: impl Into<String>) -> Transactions {
        Transactions { id: id.into(), progress_topic: "weir.progress".to_owned() }
    }
}
