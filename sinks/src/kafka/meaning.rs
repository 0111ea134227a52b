//! What an error of librdkafka or of a broker means for the rows, and what to do about it: one table.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// What becomes of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They may be accepted later, by a new producer.
    Again,
    /// One of those that travelled together will never be accepted; each is tried alone.
    Suspect,
    /// Nobody at the other end knows or lets us in: the same, but worth a word even while nothing is lost.
    Stranger,
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Meaning {
    codes: &'static [Code],
    pub verdict: Verdict,
    /// What the user can do.
    pub advice: &'static str,
}

const fn row(codes: &'static [Code], verdict: Verdict, advice: &'static str) -> Meaning {
    Meaning { codes, verdict, advice }
}

use Verdict::{Again, Stranger, Suspect};

/// Codes that are not here are tried again, and nothing is known about them.
const MEANINGS: &[Meaning] = &[
    row(
        &[Code::MessageSizeTooLarge, Code::MessageBatchTooLarge, Code::InvalidMessageSize],
        Suspect,
        "raise max.message.bytes of the topic, or make weir's messages smaller",
    ),
    row(
        &[Code::InvalidRecord, Code::InvalidDifferentRecord, Code::InvalidTimestamp],
        Suspect,
        "see the settings of the topic, message.timestamp.* and cleanup.policy first",
    ),
    row(
        &[Code::UnknownTopic, Code::UnknownTopicOrPartition, Code::UnknownPartition, Code::UnknownTopicId],
        Again,
        "create the topic, or let weir create it",
    ),
    row(
        &[Code::TopicAuthorizationFailed],
        Again,
        "give the user the right to write to the topic, and to create it if weir shall",
    ),
    row(
        &[Code::ClusterAuthorizationFailed],
        Again,
        "give the user the right IdempotentWrite, or Create, on the cluster",
    ),
    row(
        &[Code::TransactionalIdAuthorizationFailed],
        Again,
        "give the user the rights Write and Describe on the transactional id",
    ),
    row(&[Code::GroupAuthorizationFailed], Again, "give the user the right Read on the group weir-progress"),
    row(
        &[Code::Authentication, Code::SaslAuthenticationFailed, Code::UnsupportedSASLMechanism, Code::IllegalSASLState],
        Stranger,
        "check user, password or token, and the mechanism",
    ),
    row(&[Code::SSL], Stranger, "check the certificates, and that the broker's port speaks TLS"),
    row(&[Code::Resolve], Again, "check the names of the brokers"),
    row(
        &[Code::AllBrokersDown, Code::BrokerTransportFailure, Code::OperationTimedOut],
        Again,
        "start the broker, or check its address and what stands between",
    ),
    row(&[Code::KafkaStorageError, Code::LogDirNotFound], Again, "check the disk of the broker"),
    row(
        &[Code::NotEnoughReplicas, Code::NotEnoughReplicasAfterAppend],
        Again,
        "bring the missing replicas back, or lower min.insync.replicas",
    ),
    row(
        &[Code::Fenced, Code::ProducerFenced, Code::InvalidProducerEpoch],
        Again,
        "see that no other weir has the same transactional id",
    ),
    row(&[Code::InvalidTransactionTimeout], Again, "lower transaction.timeout.ms to what the broker allows"),
    row(&[Code::InvalidTopic], Again, "choose another topic: letters, digits, dot, _ and - , 249 at most"),
    row(&[Code::PolicyViolation], Again, "see the broker's policy for topics"),
    row(&[Code::InvalidReplicationFactor], Again, "ask for as many replicas as there are brokers, at most"),
    row(&[Code::UnsupportedCompressionType], Again, "choose another compression"),
    row(&[Code::InvalidRequiredAcks], Again, "choose other acks"),
    row(&[Code::ThrottlingQuotaExceeded], Again, "raise the user's quota"),
];

const UNKNOWN: Meaning = row(&[], Again, "");

/// The row of a code.
pub(super) fn meaning(code: Code) -> &'static Meaning {
    MEANINGS.iter().find(|row| row.codes.contains(&code)).unwrap_or(&UNKNOWN)
}

/// An error with its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub code: Code,
    /// What librdkafka says, without what it has around it.
    pub text: String,
}

impl Trouble {
    /// From a code alone.
    pub fn of(code: Code) -> Trouble {
        let text = code.to_string();
        let inner = text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        let text = inner.unwrap_or(&text).trim_start_matches("Broker: ").trim_start_matches("Local: ");
        let mut letters = text.chars();
        let text = letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect();
        Trouble { code, text }
    }

    /// With librdkafka's own sentence, where it has one.
    pub fn with(code: Code, text: &str) -> Trouble {
        if text.is_empty() { Trouble::of(code) } else { Trouble { code, text: text.to_owned() } }
    }

    /// From what a call gave back.
    pub fn from_error(error: &KafkaError) -> Trouble {
        match error {
            KafkaError::Transaction(error) => Trouble::with(error.code(), &error.string()),
            KafkaError::AdminOp(code) => Trouble::of(*code),
            other => match other.rdkafka_error_code() {
                Some(code) => Trouble::of(code),
                None => Trouble { code: Code::Fail, text: other.to_string() },
            },
        }
    }

    /// `what`, why, and what to do.
    pub fn sentence(&self, what: &str) -> String {
        match meaning(self.code).advice {
            "" => format!("{what}: {}", self.text),
            advice => format!("{what}: {}; {advice}", self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_has_one_meaning() {
        let mut seen = HashSet::new();
        for code in MEANINGS.iter().flat_map(|row| row.codes) {
            assert!(seen.insert(*code as i32), "{code:?} stands twice");
        }
    }

    #[test]
    fn only_what_can_never_be_accepted_is_suspected() {
        for (code, verdict) in [
            (Code::MessageSizeTooLarge, Suspect),
            (Code::InvalidRecord, Suspect),
            (Code::TopicAuthorizationFailed, Again),
            (Code::UnknownTopicOrPartition, Again),
            (Code::Authentication, Stranger),
            (Code::KafkaStorageError, Again),
            (Code::NotLeaderForPartition, Again),
            (Code::Fatal, Again),
            (Code::OutOfOrderSequenceNumber, Again),
            (Code::MessageTimedOut, Again),
        ] {
            assert_eq!(meaning(code).verdict, verdict, "{code:?}");
        }
    }

    #[test]
    fn a_sentence_says_what_why_and_what_to_do() {
        let sentence = Trouble::of(Code::UnknownTopicOrPartition).sentence("could not write to topic weir.file");
        assert_eq!(
            sentence,
            "could not write to topic weir.file: unknown topic or partition; create the topic, or let weir create it"
        );
        assert!(!Trouble::of(Code::CoordinatorLoadInProgress).sentence("x").ends_with(';'));
    }

    #[test]
    fn advice_is_a_lower_case_phrase_without_a_full_stop() {
        for row in MEANINGS {
            let first = row.advice.chars().next();
            assert!(first.is_some_and(|c| c.is_lowercase()) && !row.advice.ends_with('.'), "{}", row.advice);
        }
    }
}
