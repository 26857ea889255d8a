//! What a request that waits long and the loop that drives its connection tell each other.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::response::Response;
use parking_lot::Mutex;

/// The answer to a request, in the making.
pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// Among the extensions of a request whose connection may be kept without hyper while it waits.
#[derive(Clone)]
pub(in crate::edge) struct Patience(Arc<Shelf>);

impl Patience {
    pub(super) fn new(shelf: &Arc<Shelf>) -> Patience {
        Patience(Arc::clone(shelf))
    }

    /// The answer will take its time. To be said while the request is polled; said elsewhere it
    /// may have no effect.
    pub(in crate::edge) fn ask(self) {
        self.0.waits.store(true, Ordering::Relaxed);
    }
}

/// Where the answer that a connection waits for lies: within hyper's reach, not in its hands.
#[derive(Default)]
pub(super) struct Shelf {
    answer: Mutex<Option<Answer>>,
    /// It will take its time.
    waits: AtomicBool,
    /// Something of an earlier answer is still to be written.
    writes: AtomicBool,
    /// The connection is taken from hyper, the answer stays.
    leaves: AtomicBool,
}

impl Shelf {
    /// Puts an answer here; gives what hyper is to wait for in its place.
    pub(super) fn lend(self: &Arc<Shelf>, answer: Answer) -> Lent {
        self.waits.store(false, Ordering::Relaxed);
        self.leaves.store(false, Ordering::Relaxed);
        *self.answer.lock() = Some(answer);
        Lent(Arc::clone(self))
    }

    /// The answer, if it is worth while to wait for it without hyper, which must be dropped then.
    pub(super) fn take_from_hyper(&self) -> Option<Answer> {
        // What hyper has not written yet would be lost with it.
        if !self.waits.load(Ordering::Relaxed) || self.writes.load(Ordering::Relaxed) {
            return None;
        }
        let answer = self.answer.lock().take()?;
        self.waits.store(false, Ordering::Relaxed);
        self.leaves.store(true, Ordering::Relaxed);
        Some(answer)
    }

    /// Whether the last write to the socket took all that hyper had for it.
    pub(super) fn set_writing(&self, writes: bool) {
        self.writes.store(writes, Ordering::Relaxed);
    }
}

/// An answer on the shelf, as hyper sees it.
pub(super) struct Lent(Arc<Shelf>);

impl Future for Lent {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Polled without the lock: it may say that it waits.
        let Some(mut answer) = self.0.answer.lock().take() else {
            return Poll::Pending;
        };
        let polled = answer.as_mut().poll(cx);
        if polled.is_pending() {
            *self.0.answer.lock() = Some(answer);
        }
        polled
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // A client that goes away ends what it waited for at once.
        if !self.0.leaves.load(Ordering::Relaxed) {
            drop(self.0.answer.lock().take());
        }
    }
}
