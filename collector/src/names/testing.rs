//! A stand-in for Docker's engine, which answers whatever a test wants.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

/// An id as Docker makes them.
pub(super) const ID: &str = "4f0b3cbd0e1de2bd0a17b2a9db2e1c4ac4a0ee35c4e2d6ad0a0e8a0bd4d2a7f1";

/// Answers at a socket of its own until the test ends.
pub(super) struct Stand {
    dir: TempDir,
    /// The paths that were asked for.
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Stand {
    /// Without anybody at its socket.
    pub(super) fn closed() -> Stand {
        Stand { dir: tempfile::tempdir().unwrap(), asked: Arc::default() }
    }

    /// Gives what `answer` makes of a path, as status and body; `None`: never an answer.
    pub(super) fn open(answer: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static) -> Stand {
        let stand = Stand::closed();
        stand.serve(answer);
        stand
    }

    pub(super) fn serve(&self, answer: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static) {
        let listener = UnixListener::bind(self.socket()).unwrap();
        let (asked, answer) = (Arc::clone(&self.asked), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &asked, &*answer));
            }
        });
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut stream: UnixStream, asked: &Mutex<Vec<String>>, answer: &dyn Fn(&str) -> Option<(u16, String)>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let _headers = lines.take_while(|line| !line.is_empty()).count();
    asked.lock().unwrap().push(path.clone());
    match answer(&path) {
        Some((status, body)) => {
            let head = format!("HTTP/1.1 {status} so\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes());
        }
        None => thread::park(),
    }
}

/// What an engine says of itself.
pub(super) fn version() -> (u16, String) {
    (200, r#"{"ApiVersion":"1.41","Components":[{"Name":"Engine","Version":"20.10"}]}"#.into())
}

/// One container, and nothing else.
pub(super) fn one_container(path: &str) -> Option<(u16, String)> {
    let container = format!(
        r#"{{"Id":"{ID}","Name":"/web","Image":"sha256:aa","State":{{"Status":"running"}},
            "Config":{{"Image":"shop/web:7","Labels":{{"team":"a\u001b[31m"}}}},"Unheard":[1]}}"#
    );
    Some(match bare(path) {
        "/version" => version(),
        "/images/sha256:aa/json" => (200, r#"{"Id":"sha256:aa","RepoDigests":["shop/web@sha256:bb"]}"#.into()),
        path if path.ends_with(&format!("/{ID}/json")) => (200, container),
        _ => (404, r#"{"message":"no such container"}"#.into()),
    })
}

/// A path without its version.
pub(super) fn bare(path: &str) -> &str {
    let at = path.strip_prefix("/v1.").and_then(|rest| rest.find('/').map(|slash| slash + 4));
    &path[at.unwrap_or(0)..]
}

/// The sockets of these stands.
pub(super) fn sockets(stands: &[&Stand]) -> super::Sockets {
    super::Sockets { docker: stands.iter().map(|stand| stand.socket()).collect(), cri: Vec::new() }
}

/// A socket's file is there, though nobody listens.
pub(super) fn dead(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
}
