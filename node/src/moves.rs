//! What the parts of a takeover share: the journal of what this node has applied, and the line of forwards.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tengen_protocol::takeover::Journal;
use tengen_protocol::{NodeId, SessionId};
use tokio::sync::watch;

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
    pub under_way: Arc<UnderWay>,
    node: NodeId,
}

/// The sessions on their way here, each with the word that it is settled.
#[derive(Default)]
pub(crate) struct UnderWay(Mutex<HashMap<SessionId, watch::Receiver<()>>>);

/// A session's place among those under way; dropping it lets the others have a look.
pub(crate) struct Lease {
    session: SessionId,
    under_way: Arc<UnderWay>,
    _over: watch::Sender<()>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.under_way.0.lock().remove(&self.session);
    }
}

impl UnderWay {
    /// One takeover serves all who want the session here; whoever is not the first hears when it
    /// is over.
    pub(crate) fn enter(
        self: &Arc<Self>,
        session: &SessionId,
    ) -> Result<Lease, watch::Receiver<()>> {
        let mut under_way = self.0.lock();
        if let Some(over) = under_way.get(session) {
            return Err(over.clone());
        }
        let (over, wait) = watch::channel(());
        under_way.insert(session.clone(), wait);
        drop(under_way);
        Ok(Lease {
            session: session.clone(),
            under_way: Arc::clone(self),
            _over: over,
        })
    }

    /// Waits, if the session is on its way here, until it is settled, but for `limit` at most.
    ///
    /// # Cancel safety
    /// May be dropped.
    pub(crate) async fn settled(&self, session: &SessionId, limit: Duration) {
        let over = self.0.lock().get(session).cloned();
        if let Some(mut over) = over {
            let _ = tokio::time::timeout(limit, over.changed()).await;
        }
    }
}

impl Moves {
    pub(crate) fn new(peers: Peers, node: NodeId, metrics: Arc<Metrics>) -> Moves {
        Moves {
            journal: Arc::default(),
            forwards: Forwards::new(peers, node.clone(), metrics),
            under_way: Arc::default(),
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
