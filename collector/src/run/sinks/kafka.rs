//! Section `kafka` as the options of its sink.

use std::time::Duration;

use anyhow::Result;
use weir_sinks::kafka::{KafkaOptions, KafkaTls, PasswordMechanism, Sasl, TopicCreation, Transactions};
use weir_sinks::{PayloadOptions, Secret};

use super::secrets;
use crate::config::{DeadLetters, Kafka, SaslMechanism};
use crate::helper::Given;

/// The options of the sink with this name; `host` is column `host`.
///
/// # Errors
/// A secret whose file cannot be read.
pub fn options(
    name: &str,
    section: &Kafka,
    dead_letters: &DeadLetters,
    host: &str,
    given: &Given,
) -> Result<KafkaOptions> {
    let creation = TopicCreation {
        partitions: section.topic_partitions.map(|n| n as i32),
        replication: section.topic_replication.map(|n| n as i32),
        retention: section.topic_retention,
    };
    let id = || section.transactional_id.clone().unwrap_or_else(|| format!("weir-{host}-{name}"));
    let transactions =
        section.transactions.then(|| Transactions { id: id(), progress_topic: section.progress_topic.clone() });
    let extra = section.librdkafka.iter().filter_map(|text| text.split_once('='));
    Ok(KafkaOptions {
        name: name.to_owned(),
        brokers: section.brokers.join(","),
        topic: section.topic.clone(),
        payload: PayloadOptions {
            format: section.format,
            compression: section.arrow_compression,
            bytes_max: usize::try_from(section.message_bytes_max).unwrap_or(usize::MAX),
            lines_max: section.lines_max,
        },
        compression: section.compression,
        acks: section.acks,
        linger: Duration::from_millis(section.linger_ms),
        queue_bytes: usize::try_from(section.queue_bytes_max).unwrap_or(usize::MAX),
        create_topics: section.create_topics.then_some(creation),
        tls: tls(section, given)?,
        sasl: sasl(section, given)?,
        transactions,
        flush_period: section.flush_period,
        write_wait: section.write_wait,
        flush_wait: section.flush_wait,
        extra: extra.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect(),
        dead_letters: dead_letters.dir.clone(),
        dead_letter_bytes_max: dead_letters.bytes_max,
    })
}

/// On by itself when a file for it is named.
fn tls(section: &Kafka, given: &Given) -> Result<Option<KafkaTls>> {
    let is_wanted = section.tls || section.tls_ca.is_some() || section.tls_cert.is_some();
    let key_password =
        secrets::of("kafka.tls_key_password_file", &section.tls_key_password, &section.tls_key_password_file, given)?;
    Ok(is_wanted.then(|| KafkaTls {
        ca: section.tls_ca.clone(),
        cert: section.tls_cert.clone(),
        key: section.tls_key.clone(),
        key_password,
        verify: section.tls_verify,
    }))
}

fn sasl(section: &Kafka, given: &Given) -> Result<Option<Sasl>> {
    let password = |mechanism| -> Result<Sasl> {
        let password =
            secrets::of("kafka.sasl_password_file", &section.sasl_password, &section.sasl_password_file, given)?;
        Ok(Sasl::Password {
            mechanism,
            username: section.sasl_username.clone().unwrap_or_default(),
            password: password.unwrap_or(Secret::new("")),
        })
    };
    let Some(mechanism) = section.sasl_mechanism else { return Ok(None) };
    Ok(Some(match (mechanism, &section.sasl_token_file) {
        (SaslMechanism::Plain, _) => password(PasswordMechanism::Plain)?,
        (SaslMechanism::ScramSha256, _) => password(PasswordMechanism::ScramSha256)?,
        (SaslMechanism::ScramSha512, _) => password(PasswordMechanism::ScramSha512)?,
        (SaslMechanism::OauthBearer, Some(file)) => Sasl::TokenFile(file.clone()),
        (SaslMechanism::OauthBearer, None) => oidc(section, given)?,
    }))
}

fn oidc(section: &Kafka, given: &Given) -> Result<Sasl> {
    let (name, file) = ("kafka.oidc_client_secret_file", &section.oidc_client_secret_file);
    Ok(Sasl::Oidc {
        token_endpoint: section.oidc_token_url.clone().unwrap_or_default(),
        client_id: section.oidc_client_id.clone().unwrap_or_default(),
        client_secret: secrets::of(name, &section.oidc_client_secret, file, given)?.unwrap_or(Secret::new("")),
        scope: section.oidc_scope.clone(),
        extensions: (!section.oidc_extensions.is_empty()).then(|| section.oidc_extensions.join(",")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_sink() {
        let section = Kafka { brokers: vec!["localhost:9092".into()], ..Kafka::default() };
        let made = options("kafka", &section, &DeadLetters::default(), "h", &Given::default()).expect("options");
        assert_eq!(format!("{made:?}"), format!("{:?}", KafkaOptions::default()));
    }

    #[test]
    fn what_is_configured_reaches_the_sink() {
        let section = Kafka {
            brokers: vec!["a:1".into(), "b:2".into()],
            create_topics: true,
            topic_partitions: Some(3),
            transactions: true,
            tls_ca: Some("ca.pem".into()),
            sasl_mechanism: Some(SaslMechanism::ScramSha512),
            sasl_username: Some("u".into()),
            sasl_password: Some(Secret::new("geheim")),
            librdkafka: vec!["socket.timeout.ms = 5000".into()],
            ..Kafka::default()
        };
        let made = options("lake", &section, &DeadLetters::default(), "web-1", &Given::default()).expect("options");
        assert_eq!((made.name.as_str(), made.brokers.as_str()), ("lake", "a:1,b:2"));
        assert_eq!(made.create_topics.and_then(|topics| topics.partitions), Some(3));
        assert_eq!(made.transactions.map(|t| t.id).as_deref(), Some("weir-web-1-lake"));
        assert!(made.tls.is_some_and(|tls| tls.ca == section.tls_ca && tls.verify));
        assert_eq!(made.extra, [("socket.timeout.ms".to_owned(), "5000".to_owned())]);
        match made.sasl {
            Some(Sasl::Password { mechanism: PasswordMechanism::ScramSha512, username, password }) => {
                assert_eq!((username.as_str(), password.reveal()), ("u", "geheim"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn tokens_come_from_a_file_or_from_a_provider() {
        let bearer = Kafka { sasl_mechanism: Some(SaslMechanism::OauthBearer), ..Kafka::default() };
        let file = Kafka { sasl_token_file: Some("token".into()), ..bearer.clone() };
        assert!(matches!(sasl(&file, &Given::default()).expect("options"), Some(Sasl::TokenFile(_))));
        let provider = Kafka {
            oidc_token_url: Some("https://id/token".into()),
            oidc_client_id: Some("weir".into()),
            oidc_client_secret: Some(Secret::new("geheim")),
            oidc_extensions: vec!["a=b".into(), "c=d".into()],
            ..bearer
        };
        match sasl(&provider, &Given::default()).expect("options") {
            Some(Sasl::Oidc { extensions, client_secret, .. }) => {
                assert_eq!((extensions.as_deref(), client_secret.reveal()), (Some("a=b,c=d"), "geheim"));
            }
            other => panic!("{other:?}"),
        }
    }
}
