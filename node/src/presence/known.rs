//! What delivery reports and the node's interest know of the other nodes: the view of presence.

use tengen_bus::push::Target;
use tengen_protocol::NodeId;

use super::Presence;
use crate::interest::{Neighbour, Neighbours};
use crate::reports::Expect;

impl Expect for Presence {
    fn ready(&self) -> Vec<NodeId> {
        self.with(|roster| {
            let ready = roster.nodes().filter(|node| node.ready);
            ready.map(|node| node.id.clone()).collect()
        })
    }

    fn having(&self, target: &Target) -> Vec<NodeId> {
        self.with(|roster| match target {
            Target::Uid(uid) => roster.uid(uid).map(|(node, _)| node.clone()).collect(),
            Target::Anonymous | Target::All => roster.nodes().map(|node| node.id.clone()).collect(),
        })
    }
}

impl Neighbours for Presence {
    fn nodes(&self) -> Vec<Neighbour> {
        self.with(|roster| {
            let known = roster.nodes().map(|node| Neighbour {
                node: node.id.clone(),
                me: node.me,
                server: node.server_id.clone(),
                heard_at: node.heard_at,
            });
            known.collect()
        })
    }
}
