//! Where help desks tell that something happened: `POST /hooks/NAME`, bounded in body, time and number, over TLS or behind a proxy on this
//! machine. What a hook says is a hint: the ticket is read again before anything is done.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::serve::Listener;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tracing::{debug, error, info, warn};

use super::{HelpDesks, Refused};
use crate::case::now_ms;
use crate::gateway::{Incoming, Line};

/// Largest body. Why so large: some systems send the whole ticket with the hint.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Time for a body to come.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Hooks of one minute, of all help desks together; more are told to come later.
const A_MINUTE_MAX: u32 = 600;

/// Hooks whose codes were wrong, of one minute, before all wait. Why: nobody guesses at leisure.
const WRONG_A_MINUTE_MAX: u32 = 60;

#[derive(Clone)]
struct Door {
    desks: HelpDesks,
    minute: Arc<Mutex<Minute>>,
}

/// What came in a minute.
#[derive(Default)]
struct Minute {
    number: i64,
    came: u32,
    wrong: u32,
}

impl Minute {
    /// Counts one that comes; false where there were too many.
    fn let_in(&mut self, now_ms: i64) -> bool {
        let number = now_ms / 60_000;
        if number != self.number {
            *self = Self { number, ..Self::default() };
        }
        self.came += 1;
        self.came <= A_MINUTE_MAX && self.wrong < WRONG_A_MINUTE_MAX
    }
}

/// Connections with TLS, as the other listeners take them in.
pub struct Encrypted {
    /// Connections as they become ready.
    pub lines: Incoming,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Listener for Encrypted {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        loop {
            match self.lines.next().await {
                Some(Ok(line)) => return (line, self.address),
                Some(Err(error)) => debug!(%error, "a connection of a hook broke"),
                None => std::future::pending().await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Takes hooks over TLS until it is told to stop.
pub async fn serve(desks: HelpDesks, listener: Encrypted, stop: watch::Receiver<bool>) -> Result<()> {
    axum::serve(listener, router(desks)).with_graceful_shutdown(stopped(stop)).await.context("serving hooks")
}

/// The same without TLS, for a proxy on this machine.
pub async fn serve_plain(desks: HelpDesks, listener: TcpListener, stop: watch::Receiver<bool>) -> Result<()> {
    axum::serve(listener, router(desks)).with_graceful_shutdown(stopped(stop)).await.context("serving hooks")
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // Why: where the server itself is gone there is nothing left to serve either.
    stop.wait_for(|stop| *stop).await.ok();
}

fn router(desks: HelpDesks) -> Router {
    let door = Door { desks, minute: Arc::default() };
    Router::new().route("/hooks/{name}", post(take)).with_state(door)
}

async fn take(State(door): State<Door>, Path(name): Path<String>, headers: HeaderMap, body: Body) -> StatusCode {
    if !door.minute.lock().unwrap_or_else(PoisonError::into_inner).let_in(now_ms()) {
        return StatusCode::TOO_MANY_REQUESTS;
    }
    let raw = match tokio::time::timeout(BODY_TIME, to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(raw)) => raw,
        Ok(Err(_too_large_or_broken)) => return StatusCode::PAYLOAD_TOO_LARGE,
        Err(_elapsed) => return StatusCode::REQUEST_TIMEOUT,
    };
    match door.desks.hook(&name, &headers, &raw).await {
        Ok(Ok(fresh)) => {
            info!(desk = name, fresh, "hook taken");
            StatusCode::ACCEPTED
        }
        Ok(Err(refused)) => {
            warn!(desk = name, why = %refused, "hook refused");
            if matches!(refused, Refused::Forged(_) | Refused::Stale(_)) {
                door.minute.lock().unwrap_or_else(PoisonError::into_inner).wrong += 1;
            }
            match refused {
                Refused::Forged(_) | Refused::Stale(_) => StatusCode::UNAUTHORIZED,
                Refused::Unread(_) => StatusCode::BAD_REQUEST,
                Refused::Other(_) => StatusCode::OK,
            }
        }
        Err(error) => {
            error!(desk = name, error = format!("{error:#}"), "hook not written down");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
