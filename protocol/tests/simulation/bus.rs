//! The bus between nodes: each connection in order, late and mortal; requests with answers; what is lost is lost without a word.

use crate::chance::Chance;
use crate::pushing::Push;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::rc::Rc;
use tengen_protocol::Uid;

/// A connection to the bus: the nodes come first, then the publishers.
pub(crate) type Peer = usize;

/// Where a request goes, as the last token of its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    /// `tengen.node.<id>.takeover`
    Takeover,
    /// `tengen.session`: every node.
    Session,
    /// `tengen.node.<id>.poll` and `.post`
    Relay,
    /// `tengen.session`, asking who holds a session.
    Who,
}

#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// One numbered batch of a publisher.
    Batch {
        publisher: u128,
        seq: u64,
        pushes: Rc<Vec<Push>>,
    },
    /// One push by a plain publish.
    Plain(Rc<Push>),
    Fence {
        node: usize,
        nonce: u64,
    },
    Kick(Uid),
    Request {
        face: Face,
        from: Peer,
        /// `None`: to every node.
        to: Option<usize>,
        id: u64,
        body: Bytes,
    },
    /// `None`: no responders.
    Answer {
        to: Peer,
        id: u64,
        body: Option<Bytes>,
    },
    /// `tengen.node.<id>.forward`
    Forward {
        to: usize,
        body: Bytes,
    },
}

/// What happens on the bus.
#[derive(Debug)]
pub(crate) enum Passage {
    /// A message reaches the one server there is.
    AtServer {
        from: Peer,
        epoch: u32,
        message: Message,
    },
    /// A message reaches a connection.
    Arrives {
        to: Peer,
        epoch: u32,
        message: Message,
    },
}

/// Who hears a message.
pub(crate) enum Audience {
    AllNodes,
    One(Peer),
}

#[derive(Clone, Default)]
struct Connection {
    up: bool,
    /// Raised at each end: what is under way then is lost.
    epoch: u32,
}

pub(crate) struct Bus {
    nodes: usize,
    loose: bool,
    latency: u64,
    connections: Vec<Connection>,
    /// When the last message from one to another arrives; nothing overtakes it.
    clocks: BTreeMap<(Peer, Peer), u64>,
}

const SERVER: Peer = Peer::MAX;

impl Bus {
    pub(crate) fn new(nodes: usize, publishers: usize, loose: bool, latency: u64) -> Bus {
        let up = Connection { up: true, epoch: 0 };
        Bus {
            nodes,
            loose,
            latency,
            connections: vec![up; nodes + publishers],
            clocks: BTreeMap::new(),
        }
    }

    pub(crate) fn is_up(&self, peer: Peer) -> bool {
        self.connections[peer].up
    }

    pub(crate) fn is_current(&self, peer: Peer, epoch: u32) -> bool {
        let connection = &self.connections[peer];
        connection.up && connection.epoch == epoch
    }

    pub(crate) fn epoch(&self, peer: Peer) -> u32 {
        self.connections[peer].epoch
    }

    pub(crate) fn cut(&mut self, peer: Peer) {
        self.connections[peer].up = false;
        self.connections[peer].epoch += 1;
    }

    pub(crate) fn restore(&mut self, peer: Peer) {
        self.connections[peer].up = true;
    }

    pub(crate) fn is_loose(&self) -> bool {
        self.loose
    }

    pub(crate) fn audience(&self, message: &Message) -> Audience {
        match message {
            Message::Batch { .. } | Message::Plain(_) | Message::Kick(_) => Audience::AllNodes,
            // Everybody gets it; only its node looks at it.
            Message::Fence { node, .. } => Audience::One(*node),
            Message::Request { to: None, .. } => Audience::AllNodes,
            Message::Request { to: Some(to), .. } | Message::Forward { to, .. } => {
                Audience::One(*to)
            }
            Message::Answer { to, .. } => Audience::One(*to),
        }
    }

    pub(crate) fn listeners(&self, audience: &Audience) -> Vec<Peer> {
        match audience {
            Audience::AllNodes => (0..self.nodes).collect(),
            Audience::One(peer) => vec![*peer],
        }
    }

    /// Nothing reaches this end before then.
    pub(crate) fn holds_up(&mut self, to: Peer, until: u64) {
        if !self.loose {
            let clock = self.clocks.entry((SERVER, to)).or_default();
            *clock = (*clock).max(until);
            return;
        }
        for from in 0..self.connections.len() {
            let clock = self.clocks.entry((from, to)).or_default();
            *clock = (*clock).max(until);
        }
    }

    /// Nothing from this end reaches that one before then; on a bus that keeps the order of each
    /// publisher alone.
    pub(crate) fn holds_up_between(&mut self, from: Peer, to: Peer, until: u64) {
        let clock = self.clocks.entry((from, to)).or_default();
        *clock = (*clock).max(until);
    }

    /// When something that goes now from one end to the other is there.
    fn passes(&mut self, from: Peer, to: Peer, now: u64, chance: &mut Chance) -> u64 {
        let latency = if chance.one_in(30) {
            self.latency * 8
        } else {
            self.latency
        };
        let clock = self.clocks.entry((from, to)).or_default();
        *clock = (*clock).max(now + chance.between(0, latency));
        *clock
    }

    pub(crate) fn upwards(&mut self, from: Peer, now: u64, chance: &mut Chance) -> u64 {
        self.passes(from, SERVER, now, chance)
    }

    pub(crate) fn downwards(&mut self, to: Peer, now: u64, chance: &mut Chance) -> u64 {
        self.passes(SERVER, to, now, chance)
    }

    pub(crate) fn straight(&mut self, from: Peer, to: Peer, now: u64, chance: &mut Chance) -> u64 {
        self.passes(from, to, now, chance)
    }
}
