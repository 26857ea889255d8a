//! Fences: what a node sends itself through its push subscription, to know what has arrived.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tengen_bus::{Bus, Publish};
use tengen_protocol::NodeId;
use tengen_protocol::subject::Subjects;
use tokio::sync::oneshot;

/// The fence did not come back in time, or the bus is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fence did not come back")]
pub(crate) struct FenceLost;

/// The fences under way. One that came back proves that everything which the bus had for this
/// node before the fence was sent has been put in line.
pub(crate) struct Fences {
    bus: Bus,
    subjects: Subjects,
    /// Where this node's fences go.
    subject: String,
    waiting: Mutex<HashMap<u128, Pass>>,
}

/// What happens when a fence is back: the action at its place among the pushes, then the word to
/// whoever waits.
struct Pass {
    then: Box<dyn FnOnce() + Send>,
    passed: oneshot::Sender<()>,
}

/// Forgets a fence that nobody waits for any more.
struct Waiting<'a> {
    fences: &'a Fences,
    nonce: u128,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.fences.waiting.lock().remove(&self.nonce);
    }
}

impl Fences {
    pub(crate) fn new(bus: Bus, subjects: &Subjects, node: &NodeId) -> Self {
        Self {
            bus,
            subjects: subjects.clone(),
            subject: subjects.fence(node),
            waiting: Mutex::new(HashMap::new()),
        }
    }

    /// Sends a fence and waits until it is back.
    ///
    /// # Errors
    /// [`FenceLost`] when `limit` has passed or the bus refuses it.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub(crate) async fn round_trip(&self, limit: Duration) -> Result<(), FenceLost> {
        self.round_trip_then(limit, || ()).await
    }

    /// The same, and calls `then` when the fence is back: after every push before it was put in
    /// line, and before the first one after it. `then` runs on ingest's time and must not wait.
    ///
    /// # Errors
    /// [`FenceLost`], as [`Fences::round_trip`]; `then` was not called, and will not be.
    ///
    /// # Cancel safety
    /// May be dropped at any time; `then` may have been called.
    pub(crate) async fn round_trip_then(
        &self,
        limit: Duration,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<(), FenceLost> {
        let to_itself = |nonce| Publish::new(self.subject.as_str(), nonce);
        self.send(to_itself, limit, Box::new(then)).await
    }

    /// The same by way of another node, which sends the fence on: when it is back, what is pushed
    /// through that node's server of the bus reaches this one.
    ///
    /// # Errors
    /// [`FenceLost`], also when that node is gone.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub(super) async fn round_trip_by(
        &self,
        node: &NodeId,
        limit: Duration,
    ) -> Result<(), FenceLost> {
        let asking = |nonce| {
            let ping = self.subjects.node(node, super::PING);
            Publish::new(ping, nonce).reply(self.subject.as_str())
        };
        self.send(asking, limit, Box::new(|| ())).await
    }

    async fn send(
        &self,
        message: impl FnOnce(Bytes) -> Publish,
        limit: Duration,
        then: Box<dyn FnOnce() + Send>,
    ) -> Result<(), FenceLost> {
        let nonce: u128 = rand::random();
        let (passed, mut pass) = oneshot::channel();
        self.waiting.lock().insert(nonce, Pass { then, passed });
        let _waiting = Waiting {
            fences: self,
            nonce,
        };
        let message = message(Bytes::copy_from_slice(&nonce.to_be_bytes()));
        let trip = async {
            self.bus.publish(message).await.map_err(|_| FenceLost)?;
            (&mut pass).await.map_err(|_| FenceLost)
        };
        if let Ok(ended) = tokio::time::timeout(limit, trip).await {
            return ended;
        }
        if self.waiting.lock().remove(&nonce).is_some() {
            return Err(FenceLost);
        }
        // It came back in this very moment, and its action has begun.
        pass.await.map_err(|_| FenceLost)
    }

    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.waiting.lock().len()
    }

    /// A fence of this node came back; called by ingest, in its place among the pushes.
    pub(crate) fn pass(&self, nonce: &[u8]) {
        let Ok(nonce) = nonce.try_into().map(u128::from_be_bytes) else {
            return;
        };
        let pass = self.waiting.lock().remove(&nonce);
        if let Some(pass) = pass {
            (pass.then)();
            // Nobody may be waiting any more; then it does not matter.
            let _ = pass.passed.send(());
        }
    }
}
