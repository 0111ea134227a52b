//! Asks the stream for the progress of the last flush.

use std::time::Duration;

use async_nats::jetstream::{self, stream::LastRawMessageErrorKind};
use tokio::sync::mpsc;

use super::answer::End;
use super::connect::{Target, with_source};
use super::link::runtime;
use crate::{Progress, SinkError};

/// Longest wait for everything but the connection: the stream is looked up, and asked.
const ASK_WAIT: Duration = Duration::from_secs(5);
/// Events that nobody looks at.
const EVENTS: usize = 1;

/// The last progress under this subject, by a connection of its own.
///
/// # Errors
/// [`SinkError::Retry`]: it is not known.
pub(super) fn last(target: &Target, subject: &str) -> Result<Option<Progress>, SinkError> {
    let retry = |what: String| SinkError::Retry(format!("reading the progress back from {subject}: {what}"));
    let runtime = runtime().map_err(|error| retry(format!("no runtime for the connection: {error}")))?;
    let wait = target.options.connect_wait.saturating_mul(target.servers.len() as u32).saturating_add(ASK_WAIT);
    let asked = runtime.block_on(async { tokio::time::timeout(wait, ask(target, subject)).await });
    runtime.shutdown_background();
    match asked {
        Ok(answer) => answer.map_err(retry),
        Err(_) => Err(retry(format!("{} does not answer within {} s", target.names(), wait.as_secs_f64()))),
    }
}

async fn ask(target: &Target, subject: &str) -> Result<Option<Progress>, String> {
    let (events, _) = mpsc::channel(EVENTS);
    let text = |end| match end {
        End::Unknown(text) | End::Failed(text) => text,
        End::Stop | End::Abandoned => "stopped".to_owned(),
    };
    let client = target.connect(events).await.map_err(text)?;
    target.limit(&client).await.map_err(text)?;
    let stream = jetstream::new(client).get_stream_no_info(&target.options.stream).await;
    let stream = stream.map_err(|error| with_source(&error))?;
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => serde_json::from_slice(&message.payload)
            .map(Some)
            .map_err(|error| format!("message {} is not a progress: {error}; remove it", message.sequence)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(with_source(&error)),
    }
}
