//! What a node's presence is made with: who it is, and the times and bounds of the protocol.

use std::sync::Arc;

use crate::ids::NodeId;
use crate::transport::Transport;

/// The times and bounds of presence; defaults as in the design, in milliseconds and bytes.
///
/// All nodes of a cluster are to have the same: a node's silence is judged by the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// This node.
    pub node: NodeId,
    /// How often a node says that it is there.
    pub beat_ms: u64,
    /// How long a node may be silent before it is gone, and its users with it.
    pub ttl_ms: u64,
    /// How long a user without a WebSocket is still there by WebSocket.
    pub grace_ws_ms: u64,
    /// How long a user who does not poll is still there by polling.
    pub grace_poll_ms: u64,
    /// What comes on top of both graces: the network, and the batches.
    pub grace_margin_ms: u64,
    /// How long a change waits for others to be announced with it.
    pub batch_ms: u64,
    /// How long the former holder of a session still shows its user after the taker's
    /// announcement has reached it.
    pub handed_over_ms: u64,
    /// How long a node listens for its own id before it takes an epoch.
    pub epoch_wait_ms: u64,
    /// The most bytes of a delta, of an answer with missing deltas, and of a part of a snapshot.
    pub max_part_bytes: usize,
    /// Deltas kept for whoever missed a few.
    pub ring: usize,
    /// The server of the bus that this node is connected to; empty in one process.
    pub server_id: Arc<str>,
    /// Tells nodes whose cookies each other cannot read.
    pub key_fingerprint: u64,
    /// The application has handlers for users that come and go: [`Action::Told`](super::Action::Told)
    /// is wanted.
    pub handlers: bool,
}

impl Options {
    /// The design's.
    pub fn new(node: NodeId) -> Options {
        Options {
            node,
            beat_ms: 1_000,
            ttl_ms: 6_000,
            grace_ws_ms: 2_500,
            grace_poll_ms: 5_000,
            grace_margin_ms: 500,
            batch_ms: 50,
            handed_over_ms: 500,
            epoch_wait_ms: 1_500,
            max_part_bytes: 256 << 10,
            ring: 1_024,
            server_id: "".into(),
            key_fingerprint: 0,
            handlers: false,
        }
    }

    /// How long a user is still there after the last client by `transport` has gone.
    pub fn grace_ms(&self, transport: Transport) -> u64 {
        let grace = match transport {
            Transport::Ws => self.grace_ws_ms,
            Transport::Poll => self.grace_poll_ms,
        };
        grace.saturating_add(self.grace_margin_ms)
    }

    /// The longest grace: for users of a node that is gone, whose transports end together.
    pub fn longest_grace_ms(&self) -> u64 {
        self.grace_ms(Transport::Ws)
            .max(self.grace_ms(Transport::Poll))
    }
}
