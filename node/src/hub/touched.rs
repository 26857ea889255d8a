//! What one drained batch of pushes changed: whom to wake, whom to end, how many bytes.

use std::sync::Arc;
use std::task::Waker;

use smallvec::SmallVec;
use tengen_protocol::NodeId;

use super::port::Port;

/// Collected while a batch is appended, handed to [`Hub::settle`](super::Hub::settle) after it.
///
/// A session's waker is taken out at its first push of the batch; the following pushes find
/// none, so each connection is woken once however many frames it got, without a second lock.
/// Reused from batch to batch: no allocation per push.
#[derive(Default)]
pub(crate) struct Touched {
    pub(super) wakers: Vec<Waker>,
    pub(super) ended: Vec<Arc<Port>>,
    /// Those who are woken when their batching window is over.
    pub(super) held_back: Vec<Arc<Port>>,
    /// There is a batching window for WebSockets.
    pub(super) window: bool,
    /// The push being delivered must not wait for it, nor what stands before it.
    pub(super) flush: bool,
    /// By how many bytes the queues grew.
    pub(super) grown: i64,
    /// Frames put in line since the last settling.
    pub(super) frames: u64,
    /// Nodes to which the push just delivered must be forwarded: each once, however many sessions
    /// went there.
    forward: SmallVec<[NodeId; 2]>,
    /// Sessions that may have something of their own for those nodes, to be sent before it.
    pub(super) passing: Vec<Arc<Port>>,
}

impl Touched {
    /// The same for a hub whose WebSockets have a batching window.
    pub(crate) fn with_window(window: bool) -> Touched {
        Touched {
            window,
            ..Touched::default()
        }
    }

    /// Says of the push that is delivered next whether any batching window ends with it.
    pub(crate) fn set_flush(&mut self, flush: bool) {
        self.flush = flush;
    }

    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// Takes out the nodes to which the push, or gap, just delivered must be forwarded.
    pub(crate) fn take_forward(&mut self) -> SmallVec<[NodeId; 2]> {
        std::mem::take(&mut self.forward)
    }

    /// Takes out the sessions whose own forwards must go out before that.
    pub(crate) fn take_passing(&mut self) -> Vec<Arc<Port>> {
        std::mem::take(&mut self.passing)
    }

    pub(super) fn forward_to(&mut self, node: &NodeId) {
        if !self.forward.contains(node) {
            self.forward.push(node.clone());
        }
    }

    pub(super) fn account(&mut self, grown: i64) {
        self.grown += grown;
        // Nothing was put in line for a session that ended, or that was told of a gap already.
        self.frames += u64::from(grown > 0);
    }

    pub(super) fn wake_later(&mut self, waker: Waker) {
        self.wakers.push(waker);
    }

    pub(super) fn end_later(&mut self, port: &Arc<Port>) {
        self.ended.push(Arc::clone(port));
    }
}
