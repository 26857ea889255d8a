//! Questions between nodes: asked once, answered once, late or never, by whoever has the name now.

use super::ForNode;
use crate::bus::{Face, Message, Peer};
use crate::world::World;
use bytes::Bytes;
use tengen_protocol::takeover::Answer;
use tengen_protocol::{NodeId, SessionId};

/// Who waits for an answer.
#[derive(Clone, Debug)]
pub(crate) enum Asker {
    /// A takeover of this session.
    Take(SessionId),
    /// Whether this node still owes something to this session.
    Debt(NodeId, SessionId),
    /// A GET or POST passed on to this node, or the question who has its session.
    Relay(u64, Option<NodeId>),
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    Answer(Bytes),
    NoResponders,
    Late,
}

/// Where an answer goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyTo {
    pub(crate) peer: Peer,
    pub(crate) id: u64,
    /// It was asked of everybody: whom it does not concern keeps silent.
    pub(crate) everyone: bool,
}

impl World {
    /// The node that has this name now.
    pub(crate) fn node_named(&self, name: &NodeId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == *name)
    }

    pub(crate) fn ask(
        &mut self,
        node: usize,
        whom: Option<&NodeId>,
        face: Face,
        body: Bytes,
        timeout_ms: u64,
        asker: Asker,
    ) {
        self.nonces += 1;
        let id = self.nonces;
        self.nodes[node].asked.insert(id, asker);
        self.at_node(self.now + timeout_ms, node, ForNode::AskLate(id));
        let to = whom.map(|name| self.node_named(name));
        if to == Some(None) {
            let message = Message::Answer {
                to: node,
                id,
                body: None,
            };
            // Nobody has this name; the bus says so.
            return self.send(node, message);
        }
        if self.bus.is_up(node) {
            let message = Message::Request {
                face,
                from: node,
                to: to.flatten(),
                id,
                body,
            };
            self.send(node, message);
        }
    }

    pub(crate) fn answered(&mut self, node: usize, id: u64, came: Came) {
        let Some(asker) = self.nodes[node].asked.remove(&id) else {
            return;
        };
        match asker {
            Asker::Take(session) => self.take_hears(node, &session, came),
            Asker::Relay(relay, whom) => self.relay_hears(node, relay, whom, came),
            Asker::Debt(debtor, session) => self.debt_hears(node, &debtor, &session, &came),
        }
    }

    pub(crate) fn answer(&mut self, node: usize, to: ReplyTo, answer: &Answer) {
        if !to.everyone || *answer != Answer::NotMine {
            self.answer_with(node, to, answer.encode());
        }
    }

    pub(crate) fn answer_with(&mut self, node: usize, to: ReplyTo, body: Bytes) {
        if self.bus.is_up(node) {
            let message = Message::Answer {
                to: to.peer,
                id: to.id,
                body: Some(body),
            };
            self.send(node, message);
        }
    }
}
