//! The receiving end of a subscription; dropping it ends the interest.

use std::{future::poll_fn, sync::Arc, task::Poll};

use crate::{
    local, nats,
    queue::{Delivery, Queue},
};

/// What was subscribed to, in order, until it is dropped.
///
/// Dropping it takes the interest back: in process at once, over NATS as soon as the connection
/// takes the command; messages on their way are discarded.
#[derive(Debug)]
pub struct Subscription {
    queue: Arc<Queue>,
    _interest: Interest,
}

/// The lease behind a subscription.
#[derive(Debug)]
pub(crate) enum Interest {
    Local(#[expect(dead_code, reason = "held to be dropped")] local::Lease),
    Nats(#[expect(dead_code, reason = "held to be dropped")] nats::Lease),
}

impl Subscription {
    pub(crate) fn new(queue: Arc<Queue>, interest: Interest) -> Subscription {
        Subscription {
            queue,
            _interest: interest,
        }
    }

    /// The next delivery, or `None` when the bus was drained.
    ///
    /// # Cancel safety
    /// Cancel safe: what was not returned stays in line.
    pub async fn recv(&mut self) -> Option<Delivery> {
        let mut one = Vec::with_capacity(1);
        self.recv_many(&mut one, 1).await;
        one.pop()
    }

    /// Appends up to `max` deliveries to `out` and says how many; waits for the first one only.
    /// 0 means that the bus was drained and nothing is left.
    ///
    /// # Cancel safety
    /// Cancel safe: either `out` was extended and this returned, or nothing happened.
    pub async fn recv_many(&mut self, out: &mut Vec<Delivery>, max: usize) -> usize {
        // A consumer that always finds work would otherwise never yield to its neighbours.
        tokio::task::coop::consume_budget().await;
        poll_fn(|cx| self.queue.poll_recv_many(cx, out, max)).await
    }

    /// What is in line right now, if anything: never waits.
    pub fn try_recv(&mut self) -> Option<Delivery> {
        let mut one = Vec::with_capacity(1);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match self.queue.poll_recv_many(&mut cx, &mut one, 1) {
            Poll::Ready(_) => one.pop(),
            Poll::Pending => None,
        }
    }

    /// Deliveries in line, and the bytes they count for in the queue's bound.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        self.queue.fill()
    }

    /// Messages that this subscription shed since it was made.
    #[must_use]
    pub fn shed(&self) -> u64 {
        self.queue.shed()
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (deliveries, bytes) = self.fill();
        formatter
            .debug_struct("Queue")
            .field("deliveries", &deliveries)
            .field("bytes", &bytes)
            .finish()
    }
}
