//! What the server's answers mean, and what to do about each: one table.

use std::fmt;

use async_nats::{Message, ServerError, StatusCode};
use serde::Deserialize;

/// Why a connection is given up, and what becomes of what it carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The sink is dropped.
    Stop,
    /// The sink took back what it had handed over.
    Abandoned,
    /// It is not known what arrived: all of it is sent again, under the same ids, by the next connection.
    Unknown(String),
    /// What was handed over is dropped, and the lane hears why.
    Failed(String),
}

/// What an acknowledgement says about its message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The stream has it.
    Stored {
        /// It had it before, by its id.
        duplicate: bool,
    },
    /// No stream listens to the subject.
    NoStream,
    /// This message will never be taken, others may.
    Refused(String),
    /// See [`End`].
    End(End),
}

/// What a JetStream error code asks for.
enum Kind {
    Refused,
    Unknown,
    Failed,
}

/// Codes of the server's `errors.json`, by what to do about them; all others are failures without advice.
const CODES: &[(u64, Kind, &str)] = &[
    (10054, Kind::Refused, "raise the stream's max_msg_size"),
    (10097, Kind::Refused, "host names and boot ids make headers of some hundred bytes"),
    (10158, Kind::Unknown, ""), // the same id is on its way already
    (10163, Kind::Unknown, ""),
    (10167, Kind::Unknown, ""), // the server's own queue of the stream is full
    (10006, Kind::Unknown, ""),
    (10008, Kind::Unknown, ""),
    (10009, Kind::Unknown, ""),
    (10002, Kind::Failed, "raise the account's limits of JetStream storage"),
    (10023, Kind::Failed, "make room: JetStream has no resources left on this server"),
    (10028, Kind::Failed, "make room: max_memory_store of the server is reached"),
    (10047, Kind::Failed, "make room: max_file_store of the server is reached"),
    (10039, Kind::Failed, "give the account JetStream, or set jetstream = false"),
    (10076, Kind::Failed, "start the server with JetStream (-js), or set jetstream = false"),
    (
        10077,
        Kind::Failed,
        "raise the stream's limits (nats stream edit), or let it discard old messages; is its disk full?",
    ),
    (10109, Kind::Failed, "the stream is sealed: make another one"),
    (10118, Kind::Failed, "the stream is offline: look at the server's log"),
    (10194, Kind::Failed, "the stream is offline: look at the server's log"),
];

/// The body of an acknowledgement.
#[derive(Deserialize)]
struct Acknowledgement<'a> {
    #[serde(borrow)]
    stream: Option<&'a str>,
    #[serde(default)]
    duplicate: bool,
    error: Option<ApiError>,
}

/// An error of the JetStream interface.
#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// Reads an acknowledgement.
pub(super) fn verdict(message: &Message, stream: &str) -> Verdict {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Verdict::NoStream;
    }
    let Ok(body) = serde_json::from_slice::<Acknowledgement<'_>>(&message.payload) else {
        let text = String::from_utf8_lossy(&message.payload);
        return failed(format!("an acknowledgement cannot be read: {text:.200}"));
    };
    match (body.error, body.stream) {
        (Some(error), _) => by_code(error.err_code, &error.description, stream),
        (None, Some(found)) if found == stream => Verdict::Stored { duplicate: body.duplicate },
        (None, Some(other)) => failed(format!(
            "the stream {other} takes the subjects that are meant for {stream}: name it, or change either"
        )),
        (None, None) => failed("an acknowledgement names no stream".to_owned()),
    }
}

fn failed(message: String) -> Verdict {
    Verdict::End(End::Failed(message))
}

/// Looks up an error of JetStream.
fn by_code(code: u64, description: &str, stream: &str) -> Verdict {
    let (kind, advice) = CODES.iter().find(|row| row.0 == code).map_or((&Kind::Failed, ""), |row| (&row.1, row.2));
    let colon = if advice.is_empty() { "" } else { ": " };
    let message = format!("the stream {stream} does not take messages ({description}, error {code}){colon}{advice}");
    match kind {
        Kind::Refused => Verdict::Refused(format!("{description} (error {code}){colon}{advice}")),
        Kind::Unknown => Verdict::End(End::Unknown(message)),
        Kind::Failed => failed(message),
    }
}

/// What an error of the JetStream interface says about a connection whose stream was asked for.
pub(super) fn api_failure(code: u64, description: &str, stream: &str) -> End {
    match by_code(code, description, stream) {
        Verdict::End(end) => end,
        _ => End::Failed(format!("the server refuses the stream {stream} ({description}, error {code})")),
    }
}

/// What the server says about the connection as a whole; `None` if it goes on as if nothing was said.
pub(super) fn server_error(error: &ServerError) -> Option<End> {
    let ServerError::Other(text) = error else {
        return Some(End::Failed(not_authorized(error)));
    };
    let lower = text.to_lowercase();
    let has = |part: &str| lower.contains(part);
    if has("permissions violation") {
        // Who may not ask for the stream may publish to it all the same.
        let asked = has("$js.api.");
        let advice = "the server's configuration must let this user publish to the subjects and subscribe to the inbox";
        return (!asked).then(|| End::Failed(format!("{text}: {advice}")));
    }
    if ["authorization", "authentication", "account", "credentials", "revoked"].iter().any(|part| has(part)) {
        return Some(End::Failed(not_authorized(text)));
    }
    if has("maximum payload") {
        // The next connection hears of the new limit, and sends the same rows in smaller messages.
        return Some(End::Unknown(format!("{text}: the server takes smaller messages than it said")));
    }
    Some(End::Unknown(format!("the server ends the connection: {text}")))
}

/// For whoever has to correct the credentials.
pub(super) fn not_authorized(error: impl fmt::Display) -> String {
    format!(
        "the server does not accept the credentials ({error}): check user, password, token, nkey or credentials file"
    )
}

#[cfg(test)]
mod tests {
    use async_nats::Subject;

    use super::*;

    fn answer(status: Option<StatusCode>, payload: &str) -> Verdict {
        let payload = bytes::Bytes::copy_from_slice(payload.as_bytes());
        let subject = Subject::from_static("_INBOX.1");
        let message = Message { subject, reply: None, payload, headers: None, status, description: None, length: 0 };
        verdict(&message, "WEIR")
    }

    #[test]
    fn acknowledgements_say_stored_or_stored_before() {
        assert_eq!(answer(None, r#"{"stream":"WEIR", "seq":7}"#), Verdict::Stored { duplicate: false });
        assert_eq!(answer(None, r#"{"stream":"WEIR","seq":7,"duplicate": true}"#), Verdict::Stored { duplicate: true });
        assert_eq!(answer(None, r#"{"stream":"WEIR","domain":"hub","seq":1}"#), Verdict::Stored { duplicate: false });
        assert_eq!(answer(Some(StatusCode::NO_RESPONDERS), ""), Verdict::NoStream);
    }

    #[test]
    fn what_cannot_be_read_or_is_of_another_stream_is_a_failure_and_never_success() {
        for body in ["", "{", "[]", "{}", r#"{"seq":1}"#, r#"{"stream":"OTHER","seq":1}"#, "\u{1}"] {
            assert!(matches!(answer(None, body), Verdict::End(End::Failed(_))), "{body}");
        }
    }

    #[test]
    fn every_code_leads_to_its_action() {
        let error = |code: u64| {
            let body = format!(
                r#"{{"error":{{"code":503,"err_code":{code},"description":"words"}},"stream":"WEIR","seq":0}}"#
            );
            answer(None, &body)
        };
        for (code, kind, advice) in CODES {
            let (expected, text) = match (kind, error(*code)) {
                (Kind::Refused, Verdict::Refused(text)) => (true, text),
                (Kind::Unknown, Verdict::End(End::Unknown(text))) => (true, text),
                (Kind::Failed, Verdict::End(End::Failed(text))) => (true, text),
                (_, other) => (false, format!("{other:?}")),
            };
            assert!(expected && text.contains("words") && text.contains(advice), "{code}: {text}");
        }
        assert!(matches!(error(99_999), Verdict::End(End::Failed(text)) if text.contains("99999")));
        assert!(matches!(error(10077), Verdict::End(End::Failed(text)) if text.contains("discard old")));
    }

    #[test]
    fn errors_of_the_connection_lead_to_their_action() {
        let other = |text: &str| server_error(&ServerError::Other(text.to_owned()));
        let failed = |end: Option<End>| matches!(end, Some(End::Failed(_)));
        assert!(failed(server_error(&ServerError::AuthorizationViolation)));
        assert!(failed(other("User Authentication Expired")));
        assert!(failed(other("Account Authentication Expired")));
        assert!(failed(other("Permissions Violation for Publish to \"weir.file.a\"")));
        assert!(failed(other("Permissions Violation for Subscription to \"_INBOX.x.*\"")));
        assert_eq!(other("Permissions Violation for Publish to \"$JS.API.STREAM.INFO.WEIR\""), None);
        for text in [
            "Maximum Payload Violation",
            "Slow Consumer",
            "Stale Connection",
            "Server Shutdown",
            "maximum connections exceeded",
        ] {
            assert!(matches!(other(text), Some(End::Unknown(reason)) if reason.contains(text)));
        }
    }
}
