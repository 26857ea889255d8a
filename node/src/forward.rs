//! What goes on to the nodes that sessions have moved to: in order, bounded, beside ingest, and never lost in silence.

pub(crate) mod inbound;
#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tengen_protocol::NodeId;
use tengen_protocol::Target;
use tengen_protocol::takeover::Forward;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::ingest::gap;
use crate::metrics::Metrics;
use crate::peers::Peers;

/// The door of the other node.
pub(crate) const DOOR: &str = "forward";
/// What may wait for the bus, all nodes together. Beyond it forwards are dropped, counted, and
/// their node is told of a gap.
const MAX_BYTES: usize = 16 << 20;
/// What each forward counts for besides its own bytes.
const PLACE: usize = size_of::<(NodeId, Bytes)>();
/// The pause before a gap that the bus did not take is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// What is left may take so long when the node stops.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The outgoing line of forwards.
pub(crate) struct Forwards {
    peers: Peers,
    metrics: Arc<Metrics>,
    /// The message that tells another node of a hole among what this one forwards.
    gap: Bytes,
    max_bytes: usize,
    line: Mutex<Line>,
    more: Notify,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<(NodeId, Bytes)>,
    bytes: usize,
    /// Nodes that miss something. Nothing is put in line for them before they have been told, so
    /// that the gap stands where the hole is.
    owed: HashSet<NodeId>,
}

impl Forwards {
    /// An empty line of the node `from`.
    pub(crate) fn new(peers: Peers, from: NodeId, metrics: Arc<Metrics>) -> Arc<Forwards> {
        // Whom a lost forward was for is not worth remembering: everybody who went there is told.
        let gap = Forward::Gap {
            from,
            target: Target::All,
            reason: gap::LOST.to_owned(),
            session: None,
        };
        Forwards::with_bound(peers, gap.encode(), metrics, MAX_BYTES)
    }

    fn with_bound(
        peers: Peers,
        gap: Bytes,
        metrics: Arc<Metrics>,
        max_bytes: usize,
    ) -> Arc<Forwards> {
        Arc::new(Forwards {
            peers,
            metrics,
            gap,
            max_bytes,
            line: Mutex::default(),
            more: Notify::new(),
        })
    }

    /// Puts a message in line for `node`. Never waits; see the bound above.
    pub(crate) fn send(&self, node: &NodeId, forward: &Forward) {
        self.put(node, forward.encode());
    }

    fn put(&self, node: &NodeId, body: Bytes) {
        let mut line = self.line.lock();
        let cost = body.len() + PLACE;
        if line.owed.contains(node) || line.bytes + cost > self.max_bytes {
            line.owed.insert(node.clone());
            self.metrics.takeover.forwards_lost.increment();
        } else {
            line.bytes += cost;
            line.waiting.push_back((node.clone(), body));
        }
        drop(line);
        self.more.notify_one();
    }

    /// Sends until `stop`, then what is left, for a second at most.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let sending = async {
            loop {
                self.drain().await;
                if self.line.lock().owed.is_empty() {
                    self.more.notified().await;
                } else {
                    tokio::time::sleep(RETRY).await;
                }
            }
        };
        stop.run_until_cancelled(sending).await;
        let _ = tokio::time::timeout(LAST_WORDS, self.drain()).await;
    }

    /// Sends everything in line, then tells of what is missing.
    async fn drain(&self) {
        loop {
            let Some((node, body)) = self.next() else {
                break;
            };
            match self.peers.tell(&node, DOOR, body).await {
                Ok(()) => self.metrics.takeover.forwarded.increment(),
                Err(_) => {
                    self.metrics.takeover.forwards_lost.increment();
                    self.line.lock().owed.insert(node);
                }
            }
        }
        let owed: Vec<NodeId> = self.line.lock().owed.iter().cloned().collect();
        for node in owed {
            if self.peers.tell(&node, DOOR, self.gap.clone()).await.is_ok() {
                self.line.lock().owed.remove(&node);
            }
        }
    }

    fn next(&self) -> Option<(NodeId, Bytes)> {
        let mut line = self.line.lock();
        let next = line.waiting.pop_front();
        match &next {
            Some((_, body)) => line.bytes -= body.len() + PLACE,
            None => line.waiting = VecDeque::new(),
        }
        next
    }
}
