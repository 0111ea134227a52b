//! Connections of the HTTP server, bounded in number and in time: whoever is slow makes room for who comes next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{sleep, timeout};

/// Connections at a time. One more, and the oldest that has not asked yet goes; if all have, the oldest of them.
pub const CONNECTIONS_MAX: usize = 64;
/// Connections that the kernel keeps until they are accepted (it takes no more than `net.core.somaxconn`).
pub const BACKLOG: i32 = 4096;
/// How long the head of a request may take.
const HEAD_MAX: Duration = Duration::from_secs(2);
/// How long a whole connection may last: an answer takes milliseconds.
const CONNECTION_MAX: Duration = Duration::from_secs(5);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// What every connection has for its request before it can have to go: more come in the meantime, and wait in the backlog.
const GRACE: Duration = Duration::from_millis(5);
/// Pause when the system gives no further descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One that is open.
struct Open {
    task: AbortHandle,
    since: Instant,
    /// Its request has come.
    has_asked: Arc<AtomicBool>,
}

/// Answers until the process ends.
pub async fn serve(listener: TcpListener, router: Router) {
    let mut open: VecDeque<Open> = VecDeque::with_capacity(CONNECTIONS_MAX);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                make_room(&mut open).await;
                let has_asked = Arc::new(AtomicBool::new(false));
                let task = tokio::spawn(answer(stream, router.clone(), Arc::clone(&has_asked))).abort_handle();
                open.push_back(Open { task, since: Instant::now(), has_asked });
            }
            Err(error) => {
                tracing::debug!("accept a connection: {error}");
                // The descriptors of this process, or of the system, are used up: give one back.
                make_room_by_one(&mut open);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn make_room(open: &mut VecDeque<Open>) {
    // Whose request is there shall be known to have asked before anybody goes.
    yield_now().await;
    loop {
        open.retain(|connection| !connection.task.is_finished());
        if open.len() < CONNECTIONS_MAX {
            return;
        }
        match idle(open).map(|at| GRACE.saturating_sub(open[at].since.elapsed())) {
            Some(left) if !left.is_zero() => sleep(left).await,
            _ => make_room_by_one(open),
        }
    }
}

/// The oldest that has not asked.
fn idle(open: &VecDeque<Open>) -> Option<usize> {
    open.iter().position(|connection| !connection.has_asked.load(Ordering::Relaxed))
}

fn make_room_by_one(open: &mut VecDeque<Open>) {
    if let Some(connection) = open.remove(idle(open).unwrap_or(0)) {
        connection.task.abort();
    }
}

async fn answer(stream: TcpStream, router: Router, has_asked: Arc<AtomicBool>) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        has_asked.store(true, Ordering::Relaxed);
        // The body is not read: nothing here takes one.
        router.call(request.map(|_| Body::empty()))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_MAX, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a connection ended: {error}"),
        Err(_) => tracing::debug!("a connection took longer than {CONNECTION_MAX:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream as Client};
    use std::thread;

    use axum::routing::get;

    /// How long anything may take on a machine that has other work.
    const LIMIT: Duration = Duration::from_secs(30);

    fn server() -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("set up");
        let address = listener.local_addr().expect("its address");
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let slow = get(async || {
                sleep(LIMIT).await;
                "never"
            });
            let router = Router::new().route("/", get(async || "ok")).route("/slow", slow);
            runtime.block_on(async { serve(TcpListener::from_std(listener).expect("listens"), router).await });
        };
        thread::spawn(work);
        address
    }

    fn send(address: SocketAddr, text: &str) -> Client {
        let mut client = Client::connect(address).expect("it listens");
        client.set_read_timeout(Some(LIMIT)).expect("a limit");
        client.write_all(text.as_bytes()).expect("it takes it");
        client
    }

    fn read(mut client: Client) -> String {
        let mut bytes = vec![];
        // A reset is an end too.
        let _ = client.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn who_has_asked_is_answered_although_more_connections_than_the_limit_are_open() {
        let address = server();
        let slow: Vec<Client> = (0..4 * CONNECTIONS_MAX).map(|n| send(address, &"GET / HT"[..n % 8])).collect();
        let answer = read(send(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert_eq!(slow.into_iter().map(read).filter(|answer| answer.contains("200")).count(), 0);
    }

    #[test]
    fn a_head_a_body_and_an_answer_that_do_not_come_end_the_connection() {
        let address = server();
        let endless = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(2 * HEAD_BYTES_MAX));
        for (text, expected) in [
            ("GET / HTTP/1.1\r\nHo", ""),
            (endless.as_str(), "431"),
            ("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n", ""),
            ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx", "405"),
        ] {
            let answer = read(send(address, text));
            assert!(answer.contains(expected) && !answer.contains("200 OK"), "{text}: {answer}");
        }
    }
}
