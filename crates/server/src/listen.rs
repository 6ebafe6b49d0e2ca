//! Taking connections: a limit on how many, a limit on how long a head may take, and an orderly end.

use crate::shutdown::Shutdown;
use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::{Gauge, counter, gauge};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::ServiceExt;

/// How long a request's head may take, and so how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// Bytes that the head of a request may have.
const HEAD_BYTES: usize = 16 * 1024;
/// How long requests under way may go on once the end was asked for.
const DRAIN: Duration = Duration::from_secs(10);

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum End {
    /// Not asked for.
    Far,
    /// Requests under way finish.
    Near,
    /// They had their time.
    Here,
}

/// A connection that is counted for as long as it lasts, however it ends.
struct Open(Gauge);

impl Open {
    fn new() -> Self {
        let open = gauge!("http_connections");
        open.increment(1);
        Self(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// Serves `router` on `listener` until `shutdown`, then lets the requests under way finish.
///
/// Over `most` connections at once the next ones wait in the kernel's queue.
pub async fn serve(listener: TcpListener, router: Router, most: usize, mut shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(most));
    // Every connection holds a receiver; when the last one is gone, all are.
    let (end, ended) = watch::channel(End::Far);
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = shutdown.asked() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.asked() => break,
        };
        match (place, accepted) {
            (Ok(place), Ok((stream, peer))) => {
                tokio::spawn(connection(stream, peer, router.clone(), place, ended.clone()));
            }
            (Err(_), _) => break,
            (_, Err(error)) => pause_after(&error).await,
        }
    }
    drop(listener);
    drop(ended);
    end.send_replace(End::Near);
    if tokio::time::timeout(DRAIN, end.closed()).await.is_err() {
        tracing::warn!("requests under way did not finish in time and are cut off");
        end.send_replace(End::Here);
    }
}

/// Out of file descriptors, say: trying again at once would only spin.
async fn pause_after(error: &io::Error) {
    counter!("http_accept_errors_total").increment(1);
    let fleeting = matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset);
    if !fleeting {
        tracing::error!(%error, "cannot take connections; trying again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    place: OwnedSemaphorePermit,
    mut ended: watch::Receiver<End>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it began");
        return;
    }
    let _open = Open::new();
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES);
    let serving = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let outcome = tokio::select! {
        outcome = serving.as_mut() => outcome,
        () = comes(&mut ended, End::Near) => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                outcome = serving.as_mut() => outcome,
                () = comes(&mut ended, End::Here) => Ok(()),
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended badly");
    }
    drop(place);
}

/// Waits for the end. That nobody is left to ask for it is an end as well.
async fn comes(ended: &mut watch::Receiver<End>, end: End) {
    let _gone = ended.wait_for(|now| *now >= end).await.is_err();
}
