//! Ends a connection whose peer takes nothing of what is written to it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// How long the connections of a listener wait for a peer that takes nothing.
pub(super) struct Stalls {
    pub(super) timeout: Duration,
    /// The same once `shutdown` has come: nobody's end waits for such a peer.
    pub(super) farewell: Duration,
    pub(super) shutdown: CancellationToken,
    pub(super) metrics: Arc<Metrics>,
}

/// The patience of one connection: nothing as long as its peer reads, and a timer while it does not.
///
/// The kernel keeps such a connection for ever: a peer whose window is closed is asked again and
/// again, and says each time that it is there.
pub(super) struct Stall {
    stalls: Arc<Stalls>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    pub(super) fn new(stalls: &Arc<Stalls>) -> Stall {
        Stall {
            stalls: Arc::clone(stalls),
            timer: None,
        }
    }

    /// Passes on how a write went.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when the peer has taken nothing for too long.
    pub(super) fn wrote(
        &mut self,
        wrote: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if wrote.is_ready() {
            self.timer = None;
            return wrote;
        }
        let longest = if self.stalls.shutdown.is_cancelled() {
            self.stalls.farewell
        } else {
            self.stalls.timeout
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(longest)));
        let latest = Instant::now() + longest;
        if timer.deadline() > latest {
            timer.as_mut().reset(latest);
        }
        std::task::ready!(timer.as_mut().poll(cx));
        self.stalls.metrics.edge.stalled.increment();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}
