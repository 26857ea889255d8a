//! Which other servers of the bus are to prove that they know of this node's interest, and whom to ask there.

use std::collections::BTreeMap;
use std::sync::Arc;

use tengen_protocol::{Millis, NodeId};

/// A server counts when one of its nodes was heard within this, in milliseconds: two beats.
const HEARD_WITHIN_MS: u64 = 2_000;
/// A server of which nothing was heard for so long is gone.
const GONE_AFTER_MS: u64 = 3_000;
/// A node that has not answered within this is left, and another one of its server asked.
pub(super) const ANSWER_WITHIN_MS: u64 = 500;
/// Own beats that have to be back. Others beat as often: by then each has been heard.
const OWN_BEATS: u8 = 2;

/// A node, as the beats of presence tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub node: NodeId,
    /// This node itself: heard when its own beat came back.
    pub me: bool,
    /// The server of the bus it is connected to.
    pub server: Arc<str>,
    pub heard_at: Millis,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Every other server is proven, or there is none.
    Confirmed,
    /// Ask each of these for a message through its server.
    Ask(Vec<(Arc<str>, NodeId)>),
    /// Something is still to come.
    Wait,
}

/// One confirmation: begun when the bus is up and the own server is proven.
#[derive(Debug)]
pub(super) struct Servers {
    mine: Arc<str>,
    own_beat: Millis,
    own_beats: u8,
    others: BTreeMap<Arc<str>, Other>,
}

#[derive(Debug)]
struct Other {
    heard_at: Millis,
    proven: bool,
    /// Who was asked, the last one when.
    asked: Vec<NodeId>,
    asked_at: Millis,
}

impl Servers {
    /// A confirmation that begins now, through the server `mine`.
    pub(super) fn new(mine: Arc<str>, now: Millis) -> Servers {
        Servers {
            mine,
            own_beat: now,
            own_beats: 0,
            others: BTreeMap::new(),
        }
    }

    /// Takes note of what the beats say, and decides. To be called every few dozen milliseconds.
    pub(super) fn look(&mut self, nodes: &[Neighbour], now: Millis) -> Step {
        self.listen(nodes, now);
        if self.own_beats < OWN_BEATS {
            return Step::Wait;
        }
        let mut ask = Vec::new();
        for (server, other) in &mut self.others {
            let waits = now.0 < other.asked_at.0.saturating_add(ANSWER_WITHIN_MS);
            if other.proven || (waits && !other.asked.is_empty()) {
                continue;
            }
            if let Some(node) = other.whom(server, nodes) {
                other.asked_at = now;
                other.asked.push(node.clone());
                ask.push((Arc::clone(server), node));
            }
        }
        if !ask.is_empty() {
            Step::Ask(ask)
        } else if self.others.values().all(|other| other.proven) {
            Step::Confirmed
        } else {
            Step::Wait
        }
    }

    /// A message came through this server.
    pub(super) fn answered(&mut self, server: &str) {
        if let Some(other) = self.others.get_mut(server) {
            other.proven = true;
        }
    }

    fn listen(&mut self, nodes: &[Neighbour], now: Millis) {
        for neighbour in nodes {
            let heard_at = neighbour.heard_at;
            if neighbour.me {
                if heard_at > self.own_beat {
                    self.own_beat = heard_at;
                    self.own_beats = self.own_beats.saturating_add(1);
                }
            } else if let Some(other) = self.others.get_mut(&neighbour.server) {
                other.heard_at = other.heard_at.max(heard_at);
            } else if neighbour.server != self.mine && now.0 <= heard_at.0 + HEARD_WITHIN_MS {
                let other = Other {
                    heard_at,
                    proven: false,
                    asked: Vec::new(),
                    asked_at: now,
                };
                self.others.insert(Arc::clone(&neighbour.server), other);
            }
        }
        self.others
            .retain(|_, other| now.0 < other.heard_at.0.saturating_add(GONE_AFTER_MS));
    }
}

impl Other {
    /// The node of `server` that was heard last among those not asked yet; when all were, from the
    /// start.
    fn whom(&mut self, server: &Arc<str>, nodes: &[Neighbour]) -> Option<NodeId> {
        let there = || {
            nodes
                .iter()
                .filter(|node| !node.me && node.server == *server)
        };
        let fresh = there().filter(|node| !self.asked.contains(&node.node));
        if let Some(next) = fresh.max_by_key(|node| node.heard_at) {
            return Some(next.node.clone());
        }
        self.asked.clear();
        let next = there().max_by_key(|node| node.heard_at);
        next.map(|node| node.node.clone())
    }
}
