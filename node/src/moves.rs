//! What the parts of a takeover share: the journal of what this node has applied, and the line of forwards.

use std::sync::Arc;

use parking_lot::Mutex;
use tengen_protocol::NodeId;
use tengen_protocol::takeover::Journal;

use crate::forward::Forwards;
use crate::hub::port::Port;
use crate::metrics::Metrics;
use crate::peers::Peers;

/// Sees to it that what waits in a session's inbox is handled; cheap, and never under a lock.
pub(crate) type Start = Arc<dyn Fn(&Arc<Port>) + Send + Sync>;

/// Cheap to clone; all clones are the same.
#[derive(Clone)]
pub(crate) struct Moves {
    /// Ingest holds it while it delivers a push and takes note of it; so whoever holds it and
    /// registers a session knows of each push whether the session has got it. To be taken before
    /// any lock of the hub, never after.
    pub journal: Arc<Mutex<Journal>>,
    pub forwards: Arc<Forwards>,
    node: NodeId,
}

impl Moves {
    pub(crate) fn new(peers: Peers, node: NodeId, metrics: Arc<Metrics>) -> Moves {
        Moves {
            journal: Arc::default(),
            forwards: Forwards::new(peers, node.clone(), metrics),
            node,
        }
    }

    /// Sends on what a session has for the node that has it now, if it went to one.
    pub(crate) fn pass_on(&self, port: &Port) {
        let (owner, forwards) = port.with(|inner| {
            let owner = inner.session.owner().cloned();
            (owner, inner.session.take_forwards(&self.node))
        });
        if let Some(owner) = owner {
            for forward in &forwards {
                self.forwards.send(&owner, forward);
            }
        }
    }
}
