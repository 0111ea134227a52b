//! What librdkafka tells: messages that failed, errors, log lines; and tokens that it asks for.
//!
//! Everything comes on the thread that polls the producer, which is the sink's own.

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message as _, OwnedHeaders};
use rdkafka::producer::ProducerContext;
use rdkafka::{ClientContext, Statistics};

use super::config::GAPLESS;
use super::meaning::{Trouble, Verdict, meaning};
use super::options::{KafkaOptions, Sasl};
use super::quiet::Quiet;

/// How long a token from a file is taken for good: its owner renews it, and weir reads it again.
const TOKEN_LIFE: Duration = Duration::from_secs(60);

/// A message that is sent again.
#[derive(Debug)]
pub(super) struct Parcel {
    pub topic: String,
    pub key: Vec<u8>,
    pub payload: Vec<u8>,
    pub headers: Option<OwnedHeaders>,
}

impl Parcel {
    /// Bytes that it takes in a batch, at least.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.payload.len()
    }
}

/// A message that no broker has.
#[derive(Debug)]
pub(super) struct Failed {
    /// Counts the messages that this producer was given, from 0.
    pub number: usize,
    pub partition: i32,
    pub parcel: Parcel,
    /// Why it, or one of those that travelled with it, will never be accepted; `None` if it only came behind such a one.
    pub trouble: Option<Trouble>,
}

impl Failed {
    /// Topic and partition.
    pub fn place(&self) -> (String, i32) {
        (self.parcel.topic.clone(), self.partition)
    }
}

/// What was told and not yet looked at.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The first message that has to be written again, with everything else: its topic and why.
    pub again: Option<(String, Trouble)>,
    /// Messages of which one at least will never be accepted, and those that came behind them.
    pub failed: Vec<Failed>,
    /// Whether there are some of the former.
    pub suspected: bool,
    /// What comes back unsent is of no use any more.
    pub discards: bool,
    /// Whether the producer is broken for good.
    pub broken: bool,
    /// The last error that was not about a message.
    pub trouble: Option<Trouble>,
}

impl Told {
    /// Whether no message failed since somebody looked.
    pub fn failed_nothing(&self) -> bool {
        self.again.is_none() && self.failed.is_empty()
    }
}

/// The ear of one producer.
pub(super) struct Reports {
    sink: String,
    token_file: Option<PathBuf>,
    /// What a transaction loses is written again with all of it.
    transactional: bool,
    told: Mutex<Told>,
    quiet: Mutex<Quiet>,
    heard: AtomicU64,
}

/// What was told stays usable after a panic elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reports {
    /// Nothing told so far.
    pub fn new(options: &KafkaOptions) -> Reports {
        let token_file = match &options.sasl {
            Some(Sasl::TokenFile(path)) => Some(path.clone()),
            _ => None,
        };
        Reports {
            sink: options.name.clone(),
            token_file,
            transactional: options.transactions.is_some(),
            told: Mutex::default(),
            quiet: Mutex::default(),
            heard: AtomicU64::new(0),
        }
    }

    /// What was told.
    pub fn told(&self) -> MutexGuard<'_, Told> {
        lock(&self.told)
    }

    /// How often anything was told.
    pub fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    fn hear(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    fn warn(&self, kind: &str, text: &str) {
        if let Some(left_out) = lock(&self.quiet).say(kind, Instant::now()) {
            let left_out = (left_out > 0).then_some(left_out);
            tracing::warn!(sink = self.sink, left_out, "{text}");
        }
    }

    fn failed(&self, code: Code, message: &rdkafka::message::BorrowedMessage<'_>, number: usize) {
        let mut told = self.told();
        let unsent = matches!(code, Code::PurgeQueue | Code::PurgeInflight);
        let is_suspect = meaning(code).verdict == Verdict::Suspect;
        if !unsent && !is_suspect {
            told.again.get_or_insert_with(|| (message.topic().to_owned(), Trouble::of(code)));
            return;
        }
        if unsent && (told.discards || self.transactional) {
            return; // we threw it away ourselves
        }
        let parcel = Parcel {
            topic: message.topic().to_owned(),
            key: message.key().unwrap_or_default().to_vec(),
            payload: message.payload().unwrap_or_default().to_vec(),
            headers: message.headers().map(|headers| headers.detach()),
        };
        told.suspected |= is_suspect;
        let trouble = is_suspect.then(|| Trouble::of(code));
        told.failed.push(Failed { number, partition: message.partition(), parcel, trouble });
    }
}

impl ClientContext for Reports {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: Level, fac: &str, text: &str) {
        self.hear();
        // Of each sink, about a setting that is weir's own and not the user's.
        let level = if fac == "CONFWARN" && text.contains(GAPLESS) { Level::Info } else { level };
        match level {
            Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning => self.warn(fac, text),
            Level::Notice | Level::Info => tracing::debug!(sink = self.sink, fac, "{text}"),
            Level::Debug => tracing::trace!(sink = self.sink, fac, "{text}"),
        }
    }

    fn stats(&self, _: Statistics) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.hear();
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        if code == Code::PartitionEOF {
            return; // told to who reads where the sink stands, and no trouble
        }
        let trouble = Trouble::with(code, reason);
        self.warn(&format!("{code:?}"), &trouble.sentence("trouble with the brokers"));
        let mut told = self.told();
        told.broken |= code == Code::Fatal;
        // "All brokers are down" says less than why the connection failed.
        let known = told.trouble.as_ref().is_some_and(|t| meaning(t.code).verdict == Verdict::Stranger);
        if code != Code::AllBrokersDown || !known {
            told.trouble = Some(trouble);
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let path = self.token_file.as_ref().ok_or("no file with a token is configured")?;
        let token = std::fs::read_to_string(path)
            .map_err(|error| format!("could not read the token in {}: {error}", path.display()))?;
        let until = std::time::SystemTime::now() + TOKEN_LIFE;
        let lifetime_ms = until.duration_since(std::time::UNIX_EPOCH)?.as_millis() as i64;
        Ok(OAuthToken { token: token.trim().to_owned(), principal_name: format!("weir-{}", self.sink), lifetime_ms })
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        self.hear();
        if let Err((error, message)) = result {
            self.failed(error.rdkafka_error_code().unwrap_or(Code::Fail), message, number);
        }
    }
}

impl ConsumerContext for Reports {}
