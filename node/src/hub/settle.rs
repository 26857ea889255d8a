//! What follows a batch of pushes: wake-ups, ends, and the node's queue budget.

use tengen_protocol::CloseCode;
use tengen_protocol::server::Standing;

use super::Hub;
use super::members::Crowd;
use super::touched::Touched;

impl Hub {
    /// Finishes a batch: accounts for it, ends who was too slow, wakes each touched connection
    /// once, and enforces the node's queue budget.
    pub(crate) fn settle(&self, touched: &mut Touched) {
        self.budget.moved(std::mem::take(&mut touched.grown));
        self.metrics
            .ingest
            .delivered
            .add(std::mem::take(&mut touched.frames));
        for port in touched.ended.drain(..) {
            self.metrics.hub.slow.increment();
            self.let_go(&port);
        }
        for waker in touched.wakers.drain(..) {
            waker.wake();
        }
        if !touched.held_back.is_empty() {
            self.window.begin(touched.held_back.drain(..));
        }
        if self.budget.excess() > 0 {
            self.relieve();
        }
    }

    /// Frees queue memory until the budget holds: detached sessions by age, then the largest
    /// attached one. Costs one walk over all sessions, and is called only while over the budget.
    fn relieve(&self) {
        let mut candidates = Vec::new();
        let mut ports = Vec::new();
        for shard in 0..Crowd::SHARDS {
            self.groups.all().shard(shard).collect_into(&mut ports);
            for port in ports.drain(..) {
                let (bytes, detached) = port.with(|inner| {
                    let session = &inner.session;
                    // A client waits at the door of one that arrives, so it is not a detached one.
                    let detached = session.detached_since();
                    let detached = detached.filter(|_| session.standing() != Standing::Arriving);
                    (session.queue_bytes(), detached)
                });
                if bytes > 0 {
                    // Detached ones first, the longest gone in front; then by size.
                    let order = detached.map_or((1, u64::MAX - bytes as u64), |since| (0, since.0));
                    candidates.push((order, port));
                }
            }
        }
        candidates.sort_unstable_by_key(|(order, _)| *order);
        for (order, port) in candidates {
            if self.budget.excess() == 0 {
                break;
            }
            let counter = match order.0 {
                0 => &self.metrics.hub.evicted_detached,
                _ => &self.metrics.hub.evicted_attached,
            };
            counter.increment();
            self.end_now(&port, CloseCode::SLOW, "the node's queues are full");
        }
    }
}
