//! What the parts of a takeover share: the journal of what this node has applied, and the line of forwards.

use std::sync::Arc;

use parking_lot::Mutex;
use tengen_protocol::NodeId;
use tengen_protocol::takeover::Journal;

use crate::forward::Forwards;
use crate::metrics::Metrics;
use crate::peers::Peers;

/// Cheap to clone; all clones are the same.
#[derive(Clone)]
pub(crate) struct Moves {
    /// Written by ingest, in its order; read where a session is cut, and where one arrives.
    pub journal: Arc<Mutex<Journal>>,
    pub forwards: Arc<Forwards>,
}

impl Moves {
    pub(crate) fn new(peers: Peers, node: NodeId, metrics: Arc<Metrics>) -> Moves {
        Moves {
            journal: Arc::default(),
            forwards: Forwards::new(peers, node, metrics),
        }
    }
}
