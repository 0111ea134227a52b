//! Who the NATS sink is to a server: every kind of credential, encryption, and what is said when they do not fit.
#![allow(clippy::unwrap_used, reason = "what fails in a helper ends the test")]

mod nats_common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use async_nats::ConnectOptions;
use nats_common::{Server, Stored, Writer, file_batch, open, options, until};
use nkeys::KeyPair;
use serde_json::{Value, json};
use weir_sinks::nats::{Credentials, NatsOptions, TlsOptions};
use weir_sinks::payload::PayloadFormat;
use weir_sinks::{Batch, Secret, SinkError};

const FORMAT: PayloadFormat = PayloadFormat::JsonLines;

fn rows() -> Batch {
    file_batch(0, 120)
}

fn with(server: &Server, credentials: Credentials) -> NatsOptions {
    NatsOptions { credentials, ..options(&server.url(), server.dir(), FORMAT) }
}

fn user(password: &str) -> Credentials {
    Credentials::User { user: "weir".into(), password: Secret::new(password) }
}

/// Writes a batch and finds it in the stream.
fn assert_delivers(options: NatsOptions, reader: &Stored) {
    let mut writer = Writer::new(open(options));
    writer.write(&rows());
    writer.flush();
    assert_eq!(writer.errors, Vec::<String>::new());
    reader.assert_rows(FORMAT, &[rows()]);
}

/// What a first write is refused with.
fn refusal(options: NatsOptions) -> String {
    let mut writer = Writer::new(open(options));
    until("a refusal", || match writer.try_write(&rows()) {
        Err(SinkError::Retry(reason)) => Some(reason),
        Err(SinkError::Wait(_)) => None,
        other => panic!("{other:?}"),
    })
}

#[test]
fn user_and_password_are_accepted_and_a_wrong_password_is_said_without_it() {
    let test = "user_and_password_are_accepted_and_a_wrong_password_is_said_without_it";
    let config = "authorization { users: [{ user: weir, password: \"s3cret-9\" }] }";
    let Some(mut server) = Server::start(test, config) else { return };
    let reason = refusal(with(&server, user("hunter2")));
    assert!(reason.contains("does not accept the credentials") && !reason.contains("hunter2"), "{reason}");
    let login = || ConnectOptions::with_user_and_password("weir".into(), "s3cret-9".into());
    assert_delivers(with(&server, user("s3cret-9")), &Stored::connect_with(&server.url(), login()));

    // A password that is corrected while the collector runs.
    let mut writer = Writer::new(open(with(&server, user("changed"))));
    assert!(writer.try_write(&rows()).is_err());
    server.kill();
    server.configure("authorization { users: [{ user: weir, password: changed }] }");
    server.run();
    writer.write(&rows());
    writer.flush();
    assert!(writer.sink.counts().duplicates > 0);
}

#[test]
fn a_token_is_accepted() {
    let Some(server) = Server::start("a_token_is_accepted", "authorization { token: t0ken }") else { return };
    let reader = Stored::connect_with(&server.url(), ConnectOptions::with_token("t0ken".into()));
    assert_delivers(with(&server, Credentials::Token(Secret::new("t0ken"))), &reader);
    assert!(refusal(with(&server, Credentials::None)).contains("does not accept the credentials"));
}

#[test]
fn an_nkey_is_accepted_and_a_broken_one_is_said() {
    let key = KeyPair::new_user();
    let config = format!("authorization {{ users: [{{ nkey: {} }}] }}", key.public_key());
    let Some(server) = Server::start("an_nkey_is_accepted_and_a_broken_one_is_said", &config) else { return };
    let seed = key.seed().unwrap();
    let reader = Stored::connect_with(&server.url(), ConnectOptions::with_nkey(seed.clone()));
    assert_delivers(with(&server, Credentials::Nkey(Secret::new(seed))), &reader);
    let reason = refusal(with(&server, Credentials::Nkey(Secret::new("SUnonsense"))));
    assert!(reason.contains("nkey") && !reason.contains("nonsense"), "{reason}");
}

/// A token of the server's decentralised authentication.
fn jwt(name: &str, of: &KeyPair, by: &KeyPair, nats: Value) -> String {
    let part = |value: Value| base64url(value.to_string().as_bytes());
    let claims = json!({
        "jti": name, "iat": 1_700_000_000, "name": name, "iss": by.public_key(), "sub": of.public_key(), "nats": nats,
    });
    let signed = format!("{}.{}", part(json!({ "typ": "JWT", "alg": "ed25519-nkey" })), part(claims));
    let signature = base64url(&by.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let group = |chunk: &[u8]| {
        let bits = chunk.iter().enumerate().fold(0u32, |bits, (n, byte)| bits | (u32::from(*byte) << (16 - 8 * n)));
        (0..=chunk.len()).map(move |n| char::from(DIGITS[((bits >> (18 - 6 * n)) & 63) as usize])).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

#[test]
fn a_credentials_file_is_accepted_and_one_that_is_missing_is_said() {
    let test = "a_credentials_file_is_accepted_and_one_that_is_missing_is_said";
    let (operator, system) = (KeyPair::new_operator(), KeyPair::new_account());
    let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let account_claims = json!({ "limits": limits, "default_permissions": {}, "type": "account", "version": 2 });
    let system_claims = json!({
        "limits": { "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1 },
        "default_permissions": {}, "type": "account", "version": 2,
    });
    let config = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}",
        jwt("operator", &operator, &operator, json!({ "type": "operator", "version": 2 })),
        system.public_key(),
        system.public_key(),
        jwt("system", &system, &operator, system_claims),
        account.public_key(),
        jwt("account", &account, &operator, account_claims),
    );
    let Some(server) = Server::start(test, &config) else { return };
    let user_claims =
        json!({ "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2 });
    let creds = format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        jwt("user", &user, &account, user_claims),
        user.seed().unwrap()
    );
    let path = server.dir().join("weir.creds");
    let chosen = with(&server, Credentials::File(path.clone()));
    assert!(refusal(chosen.clone()).contains("weir.creds"), "it is not there yet");
    fs::write(&path, &creds).unwrap();
    let reader = Stored::connect_with(&server.url(), ConnectOptions::with_credentials(&creds).unwrap());
    assert_delivers(chosen, &reader);
}

#[test]
fn a_user_who_may_not_publish_is_said_and_goes_on_once_permitted() {
    let test = "a_user_who_may_not_publish_is_said_and_goes_on_once_permitted";
    let users = |publish: &str| {
        format!(
            "authorization {{ users: [\n{{ user: admin, password: a }}\n\
             {{ user: weir, password: w, permissions: {{ publish: [{publish}], subscribe: [\"_INBOX.>\"] }} }}\n] }}"
        )
    };
    let Some(server) = Server::start(test, &users("\"other.>\"")) else { return };
    let admin = Stored::connect_with(&server.url(), ConnectOptions::with_user_and_password("admin".into(), "a".into()));
    admin.make(|_| ());
    let mut writer = Writer::new(open(with(&server, user("w"))));
    let error = until("the refusal", || {
        // It may not ask for the stream either, which is no failure.
        match writer.try_write(&rows()).and_then(|()| writer.sink_flush()) {
            Err(SinkError::Retry(reason)) => Some(reason),
            Err(SinkError::Wait(_)) => None,
            other => panic!("{other:?}"),
        }
    });
    assert!(error.contains("Permissions Violation for Publish to \"weir.file.unit-host\""), "{error}");
    server.configure(&users("\"weir.>\""));
    server.signal(rustix::process::Signal::HUP);
    writer.write(&rows());
    writer.flush();
    admin.assert_rows(FORMAT, &[rows()]);
}

/// A key pair and certificate for 127.0.0.1, signed by `ca`.
fn certificate(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    let path = |ending: &str| dir.join(format!("{name}.{ending}"));
    let extensions = dir.join("extensions");
    fs::write(&extensions, "subjectAltName=IP:127.0.0.1,DNS:localhost\n").unwrap();
    openssl(
        dir,
        &format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ),
    );
    openssl(
        dir,
        &format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 -extfile extensions"
        ),
    );
    (path("pem"), path("key"))
}

fn openssl(dir: &Path, arguments: &str) {
    let run = Command::new("openssl").current_dir(dir).args(arguments.split(' ')).output().unwrap();
    assert!(run.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn encryption_with_certificates_of_both_sides_works_and_a_server_nobody_vouches_for_is_refused() {
    let test = "encryption_with_certificates_of_both_sides_works_and_a_server_nobody_vouches_for_is_refused";
    let dir = tempfile::tempdir().unwrap();
    openssl(
        dir.path(),
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2",
    );
    let (cert, key) = certificate(dir.path(), "server");
    let ca = dir.path().join("ca.pem");
    let config = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}",
        cert.display(),
        key.display(),
        ca.display()
    );
    let Some(server) = Server::start(test, &config) else { return };
    let (cert, key) = certificate(dir.path(), "client");
    let tls = TlsOptions { required: true, ca: Some(ca.clone()), cert: Some(cert.clone()), key: Some(key.clone()) };
    let chosen = |tls| NatsOptions { tls, ..options(&server.url(), server.dir(), FORMAT) };
    let reader = ConnectOptions::new().add_root_certificates(ca).add_client_certificate(cert, key).require_tls(true);
    assert_delivers(chosen(tls.clone()), &Stored::connect_with(&server.url(), reader));

    let waited = |tls| Writer::new(open(chosen(tls))).try_write(&rows()).unwrap_err().to_string();
    let unknown = waited(TlsOptions { ca: None, ..tls.clone() });
    assert!(unknown.to_lowercase().contains("certificate"), "{unknown}");
    let nobody = waited(TlsOptions { cert: None, key: None, ..tls });
    assert!(nobody.contains("connection to 127.0.0.1"), "{nobody}");
}

#[test]
fn a_server_without_encryption_is_refused_where_it_is_required() {
    let Some(server) = Server::start("a_server_without_encryption_is_refused_where_it_is_required", "") else { return };
    let tls = TlsOptions { required: true, ..TlsOptions::default() };
    let mut writer = Writer::new(open(NatsOptions { tls, ..options(&server.url(), server.dir(), FORMAT) }));
    let waited = writer.try_write(&rows()).unwrap_err().to_string();
    assert!(waited.contains("connection to 127.0.0.1"), "{waited}");
    assert_eq!(writer.sink.counts().connections, 0);
}
