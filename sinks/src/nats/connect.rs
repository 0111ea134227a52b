//! One connection: who connects where and how, and which stream takes the messages.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream::{self, context::GetStreamErrorKind, stream};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use tokio::sync::mpsc;

use super::answer::{End, api_failure, not_authorized};
use super::options::{Credentials, NatsOptions, Storage, StreamOptions};
use super::subject::Template;
use crate::SinkError;

/// JetStream's code for a stream that is not there.
const STREAM_NOT_FOUND: u64 = 10059;
/// Longest wait for an answer about a stream.
const STREAM_WAIT: Duration = Duration::from_secs(2);
/// A connection that says nothing for three times as long is dead.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Buffers of a socket are read in pieces of so many bytes: acknowledgements are small and many.
const READ_BYTES: u16 = 65_535;
/// Keeps the library from connecting again by itself.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// What a sink connects with; checked.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub options: NatsOptions,
    pub servers: Vec<ServerAddr>,
    pub subject: Template,
    pub progress: Template,
}

impl Target {
    /// # Errors
    /// [`SinkError::Fatal`] for options that can never work.
    pub fn new(options: NatsOptions) -> Result<Target, SinkError> {
        let server = |text: &String| {
            let bad = |error| SinkError::Fatal(format!("\"{text}\" is not an address of a NATS server: {error}"));
            let server = text.parse::<ServerAddr>().map_err(bad)?;
            match server.has_user_pass() {
                // It would be shown wherever the addresses are.
                true => Err(SinkError::Fatal(format!(
                    "the address of the NATS server {} has a user or a password in it: give them as credentials",
                    server.host()
                ))),
                false => Ok(server),
            }
        };
        let servers = options.servers.iter().map(server).collect::<Result<Vec<ServerAddr>, SinkError>>()?;
        let fatal = |what: &str| Err(SinkError::Fatal(format!("the NATS sink {}: {what}", options.name)));
        if servers.is_empty() {
            return fatal("no server is named");
        }
        if options.jetstream && (options.stream.is_empty() || options.stream.contains(['.', '*', '>', ' ', '/', '\\']))
        {
            return fatal("the name of a stream has no dots, wildcards, spaces or slashes and is not empty");
        }
        if options.tls.cert.is_some() != options.tls.key.is_some() {
            return fatal("a client certificate needs its key, and a key its certificate");
        }
        let (subject, progress) = (Template::new(&options.subject)?, Template::new(&options.progress_subject)?);
        Ok(Target { options, servers, subject, progress })
    }

    /// The servers, for messages; without passwords.
    pub fn names(&self) -> String {
        let name = |server: &ServerAddr| format!("{}:{}", server.host(), server.port());
        self.servers.iter().map(name).collect::<Vec<String>>().join(", ")
    }

    fn connect_options(&self, events: mpsc::Sender<Event>, connected: Arc<AtomicBool>) -> Result<ConnectOptions, End> {
        let options = &self.options;
        let tls = &options.tls;
        let mut connect = ConnectOptions::new()
            .name(format!("weir {}", options.name))
            .connection_timeout(options.connect_wait)
            .request_timeout(Some(STREAM_WAIT))
            .ping_interval(PING_INTERVAL)
            .custom_inbox_prefix(&options.inbox)
            .read_buffer_capacity(READ_BYTES)
            // Neither may ever be full: a publish would wait inside the library, an acknowledgement would be dropped.
            .client_capacity(options.window.messages.max(1) + 64)
            .subscription_capacity(options.window.messages.max(1) * 2 + 64)
            .skip_subject_validation(true)
            .require_tls(tls.required)
            // The library would send the rest of its queue without what was in its socket: another order than ours.
            .reconnect_delay_callback(move |_| if connected.load(Ordering::Relaxed) { NEVER } else { Duration::ZERO })
            .event_callback(move |event| {
                // A full channel has told enough already.
                let _ = events.try_send(event);
                std::future::ready(())
            });
        if let Some(ca) = &tls.ca {
            connect = connect.add_root_certificates(ca.clone());
        }
        if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
            connect = connect.add_client_certificate(cert.clone(), key.clone());
        }
        match &options.credentials {
            Credentials::None => Ok(connect),
            Credentials::User { user, password } => {
                Ok(connect.user_and_password(user.clone(), password.reveal().to_owned()))
            }
            Credentials::Token(token) => Ok(connect.token(token.reveal().to_owned())),
            Credentials::Nkey(seed) => Ok(connect.nkey(seed.reveal().to_owned())),
            Credentials::File(path) => {
                let failed = |error| End::Failed(format!("reading the credentials file {}: {error}", path.display()));
                connect.credentials(&fs::read_to_string(path).map_err(failed)?).map_err(failed)
            }
        }
    }

    /// Connects once. The connection ends for good when it breaks; that is an event.
    pub async fn connect(&self, events: mpsc::Sender<Event>) -> Result<Client, End> {
        let connected = Arc::new(AtomicBool::new(false));
        let options = self.connect_options(events, Arc::clone(&connected))?;
        let client = options.connect(&self.servers).await.map_err(|error| match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                End::Failed(not_authorized(&error))
            }
            ConnectErrorKind::Tls => {
                End::Unknown(format!("no encrypted connection to {}: {}", self.names(), with_source(&error)))
            }
            _ => End::Unknown(format!("no connection to {}: {}", self.names(), with_source(&error))),
        })?;
        connected.store(true, Ordering::Relaxed);
        Ok(client)
    }

    /// Makes sure that the stream is there, and gives the largest message that it and the server take.
    pub async fn limit(&self, client: &Client) -> Result<usize, End> {
        let info = client.server_info();
        if !self.options.jetstream {
            return Ok(info.max_payload);
        }
        let context = jetstream::new(client.clone());
        let name = &self.options.stream;
        let found = match context.get_stream(name).await {
            Ok(stream) => Some(stream),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error) if error.error_code().0 == STREAM_NOT_FOUND => {
                    Some(self.make_stream(&context).await?)
                }
                GetStreamErrorKind::JetStream(error) => {
                    return Err(api_failure(error.error_code().0, &error.to_string(), name));
                }
                _ if !info.jetstream => return Err(api_failure(10076, "JetStream not enabled", name)),
                // It may not be allowed to ask: publishing will tell.
                _ => None,
            },
        };
        let stream_max = found.map_or(-1, |stream| stream.cached_info().config.max_message_size);
        Ok(usize::try_from(stream_max)
            .ok()
            .filter(|max| *max > 0)
            .map_or(info.max_payload, |m| m.min(info.max_payload)))
    }

    async fn make_stream(&self, context: &jetstream::Context) -> Result<stream::Stream, End> {
        let name = &self.options.stream;
        let Some(options) = &self.options.create_stream else { return Err(End::Failed(self.missing())) };
        let made = context.get_or_create_stream(self.stream_config(options)).await;
        made.inspect(|_| tracing::info!(stream = name, "made the stream")).map_err(|error| {
            End::Failed(format!("the server does not make the stream {name}: {}", with_source(&error)))
        })
    }

    fn stream_config(&self, options: &StreamOptions) -> stream::Config {
        let StreamOptions { storage, replicas, bytes_max, age_max, duplicate_window } = *options;
        stream::Config {
            name: self.options.stream.clone(),
            subjects: self.subjects(),
            storage: match storage {
                Storage::File => stream::StorageType::File,
                Storage::Memory => stream::StorageType::Memory,
            },
            num_replicas: replicas,
            max_bytes: bytes_max.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            max_age: age_max.unwrap_or_default(),
            // The server wants ids to live no longer than their messages.
            duplicate_window: age_max.map_or(duplicate_window, |age| age.min(duplicate_window)),
            allow_direct: true,
            ..stream::Config::default()
        }
    }

    /// What the stream has to listen to; the server refuses a subject that another one of the same stream covers.
    fn subjects(&self) -> Vec<String> {
        let (rows, progress) = (self.subject.wildcard(), self.progress.wildcard());
        match self.options.read_back && !covers(&rows, &progress) {
            true if covers(&progress, &rows) => vec![progress],
            true => vec![rows, progress],
            false => vec![rows],
        }
    }

    /// What to do about a stream that is not there.
    pub fn missing(&self) -> String {
        let name = &self.options.stream;
        let subjects = self.subjects().join(",");
        format!(
            "no stream {name} takes the messages: make it by `nats stream add {name} --subjects '{subjects}' --defaults`, \
             or let weir make it (create_stream)"
        )
    }
}

/// An error with what caused it; the library's own texts often leave that out.
pub(super) fn with_source(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    match error.source().map(ToString::to_string) {
        Some(source) if !text.contains(&source) => format!("{text}: {source}"),
        _ => text,
    }
}

/// Whether every subject of `narrow` is one of `wide`; both have `*` as their only wildcard.
fn covers(wide: &str, narrow: &str) -> bool {
    let (wide, narrow): (Vec<&str>, Vec<&str>) = (wide.split('.').collect(), narrow.split('.').collect());
    wide.len() == narrow.len() && wide.iter().zip(narrow).all(|(wide, narrow)| *wide == "*" || *wide == narrow)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(change: impl FnOnce(&mut NatsOptions)) -> Result<Target, SinkError> {
        let mut options = NatsOptions::default();
        change(&mut options);
        Target::new(options)
    }

    #[test]
    fn options_that_can_never_work_are_refused_at_once() {
        type Change = fn(&mut NatsOptions);
        let changes: [(Change, &str); 7] = [
            (|o| o.servers.clear(), "no server"),
            (|o| o.servers = vec!["http://x".into()], "is not an address"),
            (|o| o.servers = vec!["nats://weir:hunter2@there".into()], "give them as credentials"),
            (|o| o.stream = "a.b".into(), "no dots"),
            (|o| o.tls.key = Some("key.pem".into()), "needs its key"),
            (|o| o.subject = "weir.*".into(), "no wildcards"),
            (|o| o.progress_subject = "weir.{x}".into(), "there are {class}"),
        ];
        for (change, reason) in changes {
            let error = target(change).map(|_| ()).unwrap_err();
            assert!(matches!(&error, SinkError::Fatal(text) if text.contains(reason)), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        assert!(target(|_| ()).is_ok());
    }

    #[test]
    fn a_stream_listens_to_rows_and_progress_without_overlap() {
        let subjects = |read_back, subject: &str, progress: &str| {
            let change = |o: &mut NatsOptions| {
                (o.read_back, o.subject, o.progress_subject) = (read_back, subject.into(), progress.into());
            };
            target(change).unwrap().subjects()
        };
        let (rows, progress) = ("weir.{class}.{host}", "weir.progress.{host}");
        assert_eq!(subjects(true, rows, progress), ["weir.*.*"]);
        assert_eq!(subjects(false, rows, "other.{host}"), ["weir.*.*"]);
        assert_eq!(subjects(true, rows, "other.{host}"), ["weir.*.*", "other.*"]);
        assert_eq!(subjects(true, "x.rows.{class}", "x.{sink}.{host}"), ["x.*.*"]);
    }

    #[test]
    fn ids_do_not_outlive_the_messages_of_a_stream() {
        let target = target(|_| ()).unwrap();
        let window = |age| {
            let options = StreamOptions { age_max: age, ..StreamOptions::default() };
            target.stream_config(&options).duplicate_window
        };
        assert_eq!(window(None), Duration::from_secs(120));
        assert_eq!(window(Some(Duration::from_secs(60))), Duration::from_secs(60));
    }

    #[test]
    fn secrets_are_in_no_dump_of_the_options() {
        let secret = || crate::secret::Secret::new("hunter2");
        let user = Credentials::User { user: "weir".into(), password: secret() };
        for credentials in [user, Credentials::Token(secret()), Credentials::Nkey(secret())] {
            let text = format!("{:?}", NatsOptions { credentials, ..NatsOptions::default() });
            assert!(!text.contains("hunter2") && text.contains("***"), "{text}");
        }
    }
}
