//! The bus of the simulation: what is under way between peers, how long that takes, and what gets lost.

use crate::chance::Chance;

/// A node's slot, or beyond the slots a consumer.
pub(crate) type Peer = usize;

/// One way between two peers.
#[derive(Clone, Default)]
struct Link {
    /// The last arrival: a link keeps its order.
    clock: u64,
    /// How many troubles cut it.
    cuts: u32,
    /// How many troubles slow it down.
    slow: u32,
}

/// A peer's connection to the bus.
#[derive(Clone, Default)]
struct Connection {
    up: bool,
    /// Rises with each connection: what was under way on an older one is lost.
    number: u32,
}

pub(crate) struct Bus {
    peers: usize,
    links: Vec<Link>,
    connections: Vec<Connection>,
    latency: u64,
    /// One in so many is lost, one in so many comes twice.
    pub(crate) loss: Option<u64>,
    /// What the bus has carried.
    pub(crate) carried: Carried,
}

/// What was published and what was delivered of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) published: u64,
    pub(crate) published_bytes: u64,
    pub(crate) delivered: u64,
    pub(crate) delivered_bytes: u64,
    /// Those that announced users.
    pub(crate) deltas: u64,
    /// Questions and answers between two.
    pub(crate) asked: u64,
    pub(crate) asked_bytes: u64,
}

impl Bus {
    pub(crate) fn new(peers: usize, latency: u64) -> Bus {
        Bus {
            peers,
            links: vec![Link::default(); peers * peers],
            connections: vec![Connection::default(); peers],
            latency,
            loss: None,
            carried: Carried::default(),
        }
    }

    fn link(&mut self, from: Peer, to: Peer) -> &mut Link {
        &mut self.links[from * self.peers + to]
    }

    pub(crate) fn connects(&mut self, peer: Peer) {
        let connection = &mut self.connections[peer];
        connection.up = true;
        connection.number += 1;
    }

    pub(crate) fn disconnects(&mut self, peer: Peer) {
        self.connections[peer].up = false;
        self.connections[peer].number += 1;
    }

    pub(crate) fn is_up(&self, peer: Peer) -> bool {
        self.connections[peer].up
    }

    pub(crate) fn number(&self, peer: Peer) -> u32 {
        self.connections[peer].number
    }

    /// Whether something that was sent on this connection still arrives.
    pub(crate) fn is_current(&self, peer: Peer, number: u32) -> bool {
        let connection = &self.connections[peer];
        connection.up && connection.number == number
    }

    pub(crate) fn cut(&mut self, from: Peer, to: Peer) {
        self.link(from, to).cuts += 1;
    }

    pub(crate) fn mend(&mut self, from: Peer, to: Peer) {
        self.link(from, to).cuts -= 1;
    }

    pub(crate) fn slow_down(&mut self, from: Peer, to: Peer) {
        self.link(from, to).slow += 1;
    }

    pub(crate) fn speed_up(&mut self, from: Peer, to: Peer) {
        self.link(from, to).slow -= 1;
    }

    pub(crate) fn is_cut(&mut self, from: Peer, to: Peer) -> bool {
        self.link(from, to).cuts > 0
    }

    /// When something that goes now from one to the other is there; a repeated one is there twice.
    /// Nothing, if it gets lost.
    pub(crate) fn passes(
        &mut self,
        from: Peer,
        to: Peer,
        now: u64,
        chance: &mut Chance,
    ) -> [Option<u64>; 2] {
        if self.is_cut(from, to) {
            return [None, None];
        }
        let loss = self.loss;
        if loss.is_some_and(|loss| chance.one_in(loss)) {
            return [None, None];
        }
        let mut latency = self.latency;
        if chance.one_in(30) {
            latency *= 8;
        }
        let link = self.link(from, to);
        if link.slow > 0 {
            latency += 900;
        }
        // Never at the same instant, as on a wire.
        let at = link.clock.max(now + 1 + chance.next() % (latency + 1));
        link.clock = at;
        let again = loss.is_some_and(|loss| chance.one_in(loss));
        [Some(at), again.then(|| at + chance.between(0, 2_000))]
    }
}
