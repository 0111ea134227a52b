//! The HTTP endpoints, on one thread of their own.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::connections::{BACKLOG, serve};
use super::{Board, metrics, status_json};

/// What there is.
const INDEX: &str = "weir\n\n/metrics  counts for Prometheus\n/livez    200 while the pipeline moves, else 503\n\
                     /readyz   200 while records are read, else 503\n/status   everything, as JSON\n";

const TEXT: &str = "text/plain; charset=utf-8";

/// An address that weir listens at, before anybody is answered.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Takes the address.
    ///
    /// # Errors
    /// It is not to be had.
    pub fn bind(address: &str) -> Result<Server> {
        let doing = || format!("listen at {address}; choose another address with `--listen`");
        let listener = TcpListener::bind(address).with_context(doing)?;
        listener.set_nonblocking(true).with_context(doing)?;
        // Again, with a longer queue than the standard library asks for.
        rustix::net::listen(&listener, BACKLOG).with_context(doing)?;
        let address = listener.local_addr().with_context(doing)?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "metrics and status can be read by whoever reaches this address");
        }
        tracing::info!(%address, "listening");
        Ok(Server { listener, address })
    }

    /// Where it listens; the port is known only now if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from a new thread until the process ends; `confine` is called in it first.
    ///
    /// # Errors
    /// The system gives no thread or no event queue.
    pub fn start(self, board: Arc<Board>, confine: impl FnOnce() + Send + 'static) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("make the event queue of the HTTP endpoints")?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(self.listener).context("listen for HTTP")?
        };
        let serve = move || {
            confine();
            runtime.block_on(serve(listener, router(board)));
        };
        thread::Builder::new().name("http".into()).spawn(serve).context("start the thread of the HTTP endpoints")?;
        Ok(())
    }
}

fn router(board: Arc<Board>) -> Router {
    let answer = |board: &Arc<Board>, make: fn(&Board) -> Response| {
        let board = Arc::clone(board);
        get(move || {
            let response = make(&board);
            async move { response }
        })
    };
    Router::new()
        .route("/", answer(&board, |_| text(StatusCode::OK, INDEX.to_owned())))
        .route("/metrics", answer(&board, metrics))
        .route("/livez", answer(&board, livez))
        .route("/readyz", answer(&board, readyz))
        .route("/status", answer(&board, status))
}

/// One answer a connection: idle ones would take the room of others.
fn with(code: StatusCode, kind: &'static str, body: String) -> Response {
    (code, [(CONTENT_TYPE, kind), (CONNECTION, "close")], body).into_response()
}

fn text(code: StatusCode, body: String) -> Response {
    with(code, TEXT, body)
}

fn metrics(board: &Board) -> Response {
    match metrics::text(metrics::Snapshot::of(board)) {
        Ok(body) => with(StatusCode::OK, metrics::CONTENT_TYPE, body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn livez(board: &Board) -> Response {
    match board.look() {
        Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
        Err(stall) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{stall}\n")),
    }
}

fn readyz(board: &Board) -> Response {
    if board.is_ready() {
        text(StatusCode::OK, "ok\n".to_owned())
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, "records are not read: weir starts or stops\n".to_owned())
    }
}

fn status(board: &Board) -> Response {
    with(StatusCode::OK, "application/json", format!("{:#}\n", status_json(board)))
}
