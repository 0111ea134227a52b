//! What can be chosen about a NATS sink.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::payload::{Compression, PayloadFormat, PayloadOptions};
use crate::secret::{Secret, revealed};

/// Default of [`NatsOptions::subject`].
pub const SUBJECT: &str = "weir.{class}.{host}";
/// Default of [`NatsOptions::progress_subject`].
pub const PROGRESS_SUBJECT: &str = "weir.progress.{host}";
/// Default of [`NatsOptions::stream`].
pub const STREAM: &str = "WEIR";
/// Default of [`NatsOptions::inbox`].
pub const INBOX: &str = "_INBOX";
/// Default of [`Window::messages`]; the server itself queues up to 10,000 messages of a stream.
pub const WINDOW_MESSAGES: usize = 4_096;
/// Default of [`Window::bytes`].
pub const WINDOW_BYTES: usize = 16 << 20;
/// Default of [`NatsOptions::ack_wait`].
pub const ACK_WAIT: Duration = Duration::from_secs(10);
/// Default of [`NatsOptions::write_wait`].
pub const WRITE_WAIT: Duration = Duration::from_secs(1);
/// Default of [`NatsOptions::flush_wait`].
pub const FLUSH_WAIT: Duration = Duration::from_secs(5);
/// Default of [`NatsOptions::connect_wait`].
pub const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Default of [`NatsOptions::flush_period`].
pub const FLUSH_PERIOD: Duration = Duration::from_secs(1);
/// Default of [`NatsOptions::dead_letter_bytes_max`].
pub const DEAD_LETTER_BYTES_MAX: u64 = 256 << 20;
/// Largest message by default: what servers take by default, 1 MiB.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Lines in a message by default.
pub const LINES_MAX: usize = 1_000;

/// Everything about one NATS sink.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NatsOptions {
    /// Name of the sink, for logs, dead letters and the server's list of connections.
    pub name: String,
    /// `HOST[:PORT]`, `nats://..` or `tls://..` without user or password, tried in random order.
    pub servers: Vec<String>,
    /// Where the rows go. `{class}`, `{host}` and `{sink}` stand for themselves, with `.`, `*`, `>` and white space as `_`.
    pub subject: String,
    /// Where the progress goes, with `read_back`.
    pub progress_subject: String,
    /// The stream that has these subjects; no use without `jetstream`. One stream takes one sink's messages: the server
    /// compares message ids within a stream, whatever the subject.
    pub stream: String,
    /// Acknowledged by a stream, else plain NATS.
    pub jetstream: bool,
    /// Makes the stream if it is missing.
    pub create_stream: Option<StreamOptions>,
    /// Stores the progress of each flush in the stream, and asks for it at the start.
    pub read_back: bool,
    /// Form and size of the messages; the server's own limit on their size also holds.
    pub payload: PayloadOptions,
    /// What may wait for an acknowledgement at a time; as much again may wait to be sent.
    pub window: Window,
    /// Without an acknowledgement for so long, the connection is given up and what is unknown is sent again by a new one.
    pub ack_wait: Duration,
    /// Longest wait of a write for room.
    pub write_wait: Duration,
    /// Longest wait of a flush for acknowledgements.
    pub flush_wait: Duration,
    /// Longest wait for one server at a connection.
    pub connect_wait: Duration,
    /// Stream time from flush to flush.
    pub flush_period: Duration,
    /// Encryption.
    pub tls: TlsOptions,
    /// Who the sink is to the server.
    pub credentials: Credentials,
    /// Prefix of the subjects that acknowledgements come by; the user must be allowed to subscribe to it.
    pub inbox: String,
    /// Where messages go that the server refuses for ever.
    pub dead_letters: PathBuf,
    /// All of them together, bytes.
    pub dead_letter_bytes_max: u64,
}

impl Default for NatsOptions {
    fn default() -> NatsOptions {
        NatsOptions {
            name: "nats".into(),
            servers: vec!["nats://127.0.0.1:4222".into()],
            subject: SUBJECT.into(),
            progress_subject: PROGRESS_SUBJECT.into(),
            stream: STREAM.into(),
            jetstream: true,
            create_stream: None,
            read_back: false,
            payload: PayloadOptions {
                format: PayloadFormat::JsonLines,
                compression: Compression::Lz4,
                bytes_max: MESSAGE_BYTES_MAX,
                lines_max: LINES_MAX,
            },
            window: Window::default(),
            ack_wait: ACK_WAIT,
            write_wait: WRITE_WAIT,
            flush_wait: FLUSH_WAIT,
            connect_wait: CONNECT_WAIT,
            flush_period: FLUSH_PERIOD,
            tls: TlsOptions::default(),
            credentials: Credentials::None,
            inbox: INBOX.into(),
            dead_letters: "/var/lib/weir/dead-letters".into(),
            dead_letter_bytes_max: DEAD_LETTER_BYTES_MAX,
        }
    }
}

/// Bound on what is sent and not yet acknowledged; a message that is larger passes alone.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Window {
    /// Messages, at least 1.
    pub messages: usize,
    /// Bytes of their payloads.
    pub bytes: usize,
}

impl Default for Window {
    fn default() -> Window {
        Window { messages: WINDOW_MESSAGES, bytes: WINDOW_BYTES }
    }
}

/// Where a stream keeps its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Storage {
    /// Files.
    File,
    /// Memory: gone with the server, unless it has replicas.
    Memory,
}

/// A stream to be made.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct StreamOptions {
    /// Where.
    pub storage: Storage,
    /// Servers that hold a copy, 1 to 5.
    pub replicas: usize,
    /// The oldest messages go beyond it; `None`: no limit.
    pub bytes_max: Option<u64>,
    /// Messages go at this age; `None`: never.
    pub age_max: Option<Duration>,
    /// For how long the stream remembers message ids.
    pub duplicate_window: Duration,
}

impl Default for StreamOptions {
    fn default() -> StreamOptions {
        StreamOptions {
            storage: Storage::File,
            replicas: 1,
            bytes_max: None,
            age_max: None,
            duplicate_window: Duration::from_secs(120),
        }
    }
}

/// Encryption of the connection.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TlsOptions {
    /// Whether a server without TLS is refused.
    pub required: bool,
    /// Certificates (PEM) to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// The client's own certificate (PEM); with `key`.
    pub cert: Option<PathBuf>,
    /// Its key (PEM).
    pub key: Option<PathBuf>,
}

/// Who the sink is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub enum Credentials {
    /// Nobody.
    #[default]
    None,
    /// User and password.
    User {
        /// The user.
        user: String,
        /// The password.
        #[serde(with = "revealed")]
        password: Secret,
    },
    /// A token.
    Token(#[serde(with = "revealed")] Secret),
    /// The seed (`SU..`) of an nkey.
    Nkey(#[serde(with = "revealed")] Secret),
    /// A file with a JWT and a seed, as `nsc` writes it; read at each connection, so that it may be renewed.
    File(PathBuf),
}
