//! Section `nats` as the options of its sink.

use anyhow::Result;
use weir_sinks::PayloadOptions;
use weir_sinks::nats::{Credentials, NatsOptions, StreamOptions, TlsOptions, Window};

use super::secrets;
use crate::config::{DeadLetters, Nats};
use crate::helper::Given;

/// The options of the sink with this name.
///
/// # Errors
/// A secret whose file cannot be read.
pub fn options(name: &str, section: &Nats, dead_letters: &DeadLetters, given: &Given) -> Result<NatsOptions> {
    let stream = StreamOptions {
        storage: section.stream_storage,
        replicas: section.stream_replicas as usize,
        bytes_max: section.stream_bytes_max,
        age_max: section.stream_age_max,
        duplicate_window: section.duplicate_window,
    };
    let is_encrypted = section.tls || section.tls_ca.is_some() || section.tls_cert.is_some();
    Ok(NatsOptions {
        name: name.to_owned(),
        servers: section.servers.clone(),
        subject: section.subject.clone(),
        progress_subject: section.progress_subject.clone(),
        stream: section.stream.clone(),
        jetstream: section.jetstream,
        create_stream: section.create_stream.then_some(stream),
        read_back: section.read_back,
        payload: PayloadOptions {
            format: section.format,
            compression: section.arrow_compression,
            bytes_max: usize::try_from(section.message_bytes_max).unwrap_or(usize::MAX),
            lines_max: section.lines_max,
        },
        window: Window {
            messages: section.window_messages_max,
            bytes: usize::try_from(section.window_bytes_max).unwrap_or(usize::MAX),
        },
        ack_wait: section.ack_wait,
        write_wait: section.write_wait,
        flush_wait: section.flush_wait,
        connect_wait: section.connect_wait,
        flush_period: section.flush_period,
        tls: TlsOptions {
            required: is_encrypted,
            ca: section.tls_ca.clone(),
            cert: section.tls_cert.clone(),
            key: section.tls_key.clone(),
        },
        credentials: credentials(section, given)?,
        inbox: section.inbox.clone(),
        dead_letters: dead_letters.dir.clone(),
        dead_letter_bytes_max: dead_letters.bytes_max,
    })
}

/// The configuration has checked that there is at most one way to log in.
fn credentials(section: &Nats, given: &Given) -> Result<Credentials> {
    let password = secrets::of("nats.password_file", &section.password, &section.password_file, given)?;
    let token = secrets::of("nats.token_file", &section.token, &section.token_file, given)?;
    let seed = secrets::of("nats.nkey_seed_file", &section.nkey_seed, &section.nkey_seed_file, given)?;
    Ok(match (&section.user, password, token, seed, &section.credentials_file) {
        (Some(user), Some(password), ..) => Credentials::User { user: user.clone(), password },
        (_, _, Some(token), ..) => Credentials::Token(token),
        (_, _, _, Some(seed), _) => Credentials::Nkey(seed),
        (.., Some(file)) => Credentials::File(file.clone()),
        _ => Credentials::None,
    })
}

#[cfg(test)]
mod tests {
    use weir_sinks::Secret;

    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_sink() {
        let section = Nats { servers: vec!["nats://127.0.0.1:4222".into()], ..Nats::default() };
        let made = options("nats", &section, &DeadLetters::default(), &Given::default()).expect("options");
        let dead_letters = DeadLetters::default().dir;
        assert_eq!(format!("{made:?}"), format!("{:?}", NatsOptions { dead_letters, ..NatsOptions::default() }));
    }

    #[test]
    fn every_way_to_log_in_reaches_the_sink() {
        let secret = || Some(Secret::new("geheim"));
        let none = Nats::default;
        for (section, expected) in [
            (none(), "None"),
            (Nats { user: Some("u".into()), password: secret(), ..none() }, "User { user: \"u\", password: *** }"),
            (Nats { token: secret(), ..none() }, "Token(***)"),
            (Nats { nkey_seed: secret(), ..none() }, "Nkey(***)"),
            (Nats { credentials_file: Some("c".into()), ..none() }, "File(\"c\")"),
        ] {
            assert_eq!(format!("{:?}", credentials(&section, &Given::default()).expect("credentials")), expected);
        }
    }

    #[test]
    fn a_stream_is_made_only_on_request_and_a_certificate_asks_for_encryption() {
        let made = |section: &Nats| options("n", section, &DeadLetters::default(), &Given::default()).expect("options");
        let plain = made(&Nats { stream_replicas: 3, ..Nats::default() });
        assert!(plain.create_stream.is_none() && !plain.tls.required);
        let section = Nats { create_stream: true, stream_replicas: 3, tls_ca: Some("ca".into()), ..Nats::default() };
        assert_eq!(made(&section).create_stream.map(|stream| stream.replicas), Some(3));
        assert!(made(&section).tls.required);
    }
}
