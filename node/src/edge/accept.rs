//! Accepts TCP connections and serves a router over HTTP/1.1 on them.

mod conversation;
pub(super) mod patience;
pub(super) mod replayed;
mod stall;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::conversation::{Kit, converse};
use self::stall::Stalls;
use crate::metrics::Metrics;

/// Bounds of the accept loop.
#[derive(Clone, Debug)]
pub(crate) struct AcceptLimits {
    /// Connections that have not yet sent their first request head. Over it nothing is accepted:
    /// newcomers wait in the kernel's backlog, where they cost this process nothing.
    pub(crate) max_handshakes: usize,
    /// How long a request head may take, and how long a connection may idle between requests.
    pub(crate) header_timeout: Duration,
    /// The largest request head, in bytes; at least 8,192.
    pub(crate) max_header_bytes: usize,
    /// How long a peer may take nothing of an answer, before its connection is ended: long enough for
    /// any network that works at all.
    pub(crate) write_timeout: Duration,
    /// The same at shutdown, which such a peer must not hold up.
    pub(crate) farewell: Duration,
    /// The pause after an `accept` that failed for want of descriptors or memory.
    pub(crate) exhausted_pause: Duration,
}

impl Default for AcceptLimits {
    fn default() -> AcceptLimits {
        AcceptLimits {
            max_handshakes: 1_024,
            header_timeout: Duration::from_secs(10),
            max_header_bytes: 16 * 1_024,
            write_timeout: Duration::from_secs(60),
            farewell: Duration::from_secs(3),
            exhausted_pause: Duration::from_millis(100),
        }
    }
}

/// Where connections come from; a seam, so that a test can make `accept` fail.
pub(crate) trait Listen {
    fn accept(&mut self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Listen for TcpListener {
    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        TcpListener::accept(self).await
    }
}

/// Serves `router` on every connection that `listener` yields, until `shutdown`.
///
/// Requests carry `ConnectInfo<SocketAddr>`. Connections run on `tracker`; at `shutdown` each
/// finishes the request it is in and closes. One whose peer takes nothing is ended. A failing `accept` is counted and never ends the loop.
///
/// Not `axum::serve`: that one costs a parked connection 20–32 KiB, this one 6.7 (measured).
pub(crate) async fn serve(
    mut listener: impl Listen,
    router: Router,
    limits: AcceptLimits,
    metrics: Arc<Metrics>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.max_header_bytes.max(8_192));
    let kit = Arc::new(Kit {
        http,
        router,
        shutdown: shutdown.clone(),
        stalls: Arc::new(Stalls {
            timeout: limits.write_timeout,
            farewell: limits.farewell,
            shutdown: shutdown.clone(),
            metrics: Arc::clone(&metrics),
        }),
    });
    let handshakes = Arc::new(Semaphore::new(limits.max_handshakes));
    while let Some((stream, peer, permit)) =
        next(&mut listener, &handshakes, &limits, &metrics, &shutdown).await
    {
        // Failing here means that the peer is gone already; the first read will say so.
        let _ = stream.set_nodelay(true);
        let connection = converse(Arc::clone(&kit), stream, peer, permit);
        tracker.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "http connection ended with an error");
            }
        });
    }
}

/// The next connection; `None` at shutdown.
///
/// # Cancel safety
/// A connection accepted but not returned is closed; nothing else is lost.
async fn next(
    listener: &mut impl Listen,
    handshakes: &Arc<Semaphore>,
    limits: &AcceptLimits,
    metrics: &Metrics,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let accepted = async {
        let permit = handshakes.clone().acquire_owned().await.ok()?;
        // Once until the next success; the counter has the rest.
        let mut warned = false;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return Some((stream, peer, permit)),
                // The peer gave up before we got to it.
                Err(error) if is_peers(&error) => metrics.edge.accept_errors.increment(),
                Err(error) => {
                    metrics.edge.accept_errors.increment();
                    if !std::mem::replace(&mut warned, true) {
                        tracing::warn!(%error, "cannot accept connections, pausing");
                    }
                    // The listener stays readable, so without a pause this would spin.
                    tokio::time::sleep(limits.exhausted_pause).await;
                }
            }
        }
    };
    tokio::select! {
        accepted = accepted => accepted,
        () = shutdown.cancelled() => None,
    }
}

fn is_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
