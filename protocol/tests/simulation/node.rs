//! A node: the pure values of a real one, and as little besides as drives them.

pub(crate) mod arrival;
pub(crate) mod asking;
pub(crate) mod forwarding;
pub(crate) mod holding;
pub(crate) mod ingest;
pub(crate) mod polling;
pub(crate) mod relaying;
pub(crate) mod serving;
pub(crate) mod taking;

use crate::bus::Message;
use crate::world::{Happening, World};
use asking::{Asker, Came};
use bytes::Bytes;
use ingest::Ingest;
use polling::{Brought, Parked};
use relaying::Relaying;
use std::collections::{BTreeMap, BTreeSet};
use taking::Take;
use tengen_protocol::server::Session;
use tengen_protocol::{ClientHello, Millis, NodeId, SessionId};

pub(crate) struct Home {
    pub(crate) session: Session<()>,
    /// The wire that speaks to it.
    pub(crate) wire: Option<u64>,
    /// GETs that wait at it.
    pub(crate) parked: Vec<Parked>,
    /// It came from another node.
    pub(crate) arrived: bool,
}

pub(crate) struct Node {
    pub(crate) id: NodeId,
    /// Raised at each start; what was meant for an earlier life is nobody's.
    pub(crate) life: u32,
    pub(crate) alive: bool,
    pub(crate) paused_until: u64,
    pub(crate) homes: BTreeMap<SessionId, Home>,
    pub(crate) ingest: Ingest,
    /// Pushes published from now on are heard.
    pub(crate) confirmed: bool,
    /// Hellos that wait for it.
    pub(crate) waiting: Vec<(u64, ClientHello)>,
    /// Sessions on their way here.
    pub(crate) takes: BTreeMap<SessionId, Take>,
    /// Questions under way.
    pub(crate) asked: BTreeMap<u64, Asker>,
    /// How often in a row a debtor was not there.
    pub(crate) gone: BTreeMap<(NodeId, SessionId), u8>,
    /// Nodes to which something could not be forwarded.
    pub(crate) gap_owed_to: BTreeSet<NodeId>,
    /// Where sessions of other nodes were last found.
    pub(crate) places: BTreeMap<SessionId, NodeId>,
    /// GETs and POSTs passed on.
    pub(crate) relays: BTreeMap<u64, Relaying>,
    pub(crate) sweeps: u64,
}

/// Something reaches one life of a node.
#[derive(Debug)]
pub(crate) enum ForNode {
    Heard(Message),
    Ingest,
    FenceLate(u64),
    AskLate(u64),
    /// `None`: the other end has closed.
    Frame(u64, Option<Bytes>),
    HelloWaited(u64),
    Pump(u64),
    Write(u64),
    Wake(SessionId),
    Http(u64),
    Room(Brought, u64),
    PollOver(SessionId, u64),
    Returned(SessionId, u64, u64),
    Reply(SessionId, u32, u64),
    OverLimit(SessionId, Overdue),
    Sweep,
}

/// A handler that has not returned when its time is over.
#[derive(Debug)]
pub(crate) struct Overdue {
    pub(crate) n: u64,
    /// `None` if it keeps no other item waiting.
    pub(crate) position: Option<u64>,
    pub(crate) request: Option<u32>,
}

impl Node {
    pub(crate) fn new(index: usize) -> Node {
        Node {
            id: NodeId::parse(&format!("n{index}")).unwrap(),
            life: 0,
            alive: false,
            paused_until: 0,
            homes: BTreeMap::new(),
            ingest: Ingest::default(),
            confirmed: false,
            waiting: Vec::new(),
            takes: BTreeMap::new(),
            asked: BTreeMap::new(),
            gone: BTreeMap::new(),
            gap_owed_to: BTreeSet::new(),
            places: BTreeMap::new(),
            relays: BTreeMap::new(),
            sweeps: 0,
        }
    }
}

impl World {
    pub(crate) fn node_happens(&mut self, node: usize, what: ForNode) {
        match what {
            ForNode::Heard(message) => self.heard(node, message),
            ForNode::Ingest => self.ingest(node),
            ForNode::FenceLate(nonce) => self.fence_late(node, nonce),
            ForNode::AskLate(id) => self.answered(node, id, Came::Late),
            ForNode::Frame(wire, Some(frame)) => self.server_reads(wire, frame),
            ForNode::Frame(wire, None) => self.server_end(wire),
            ForNode::HelloWaited(wire) => self.hello_waited(node, wire),
            ForNode::Pump(wire) => self.pump(wire),
            ForNode::Write(wire) => self.server_writes(wire),
            ForNode::Wake(id) => self.wake(node, &id),
            ForNode::Http(http) => self.http_request(node, http),
            ForNode::Room(brought, until) => self.post_here(node, brought, until),
            ForNode::PollOver(id, number) => self.poll_over(node, &id, number),
            ForNode::Returned(id, position, n) => self.returned(node, &id, position, n),
            ForNode::Reply(id, request, n) => self.replied(node, &id, request, n),
            ForNode::OverLimit(id, overdue) => self.over_limit(node, &id, &overdue),
            ForNode::Sweep => self.sweep(node),
        }
    }

    pub(crate) fn start_node(&mut self, node: usize) {
        let another_name = self.chance.one_in(2);
        let it = &mut self.nodes[node];
        it.life += 1;
        if it.life > 1 && another_name {
            it.id = NodeId::parse(&format!("n{node}-{}", it.life)).unwrap();
        }
        it.alive = true;
        it.ingest = Ingest::new(Millis(self.now));
        it.confirmed = false;
        self.bus.restore(node);
        let stream = self.chance.next();
        self.new_stream(node, stream.into());
        self.at_node(self.now, node, ForNode::Sweep);
        self.confirm_interest(node);
    }

    /// Kill -9: sockets are reset by the system, everything else is forgotten.
    pub(crate) fn crash_node(&mut self, node: usize) {
        self.say(|| format!("node {node} crashes"));
        self.bus.cut(node);
        let life = (node, self.nodes[node].life);
        let stream = self.publishers[node].stream.as_ref();
        if let Some(publisher) = stream.map(|stream| stream.publisher) {
            self.is_never_noticed(publisher);
        }
        self.known.retain(|(_, to)| *to != node);
        let it = &mut self.nodes[node];
        it.alive = false;
        it.paused_until = 0;
        let sessions: Vec<SessionId> = it.homes.keys().cloned().collect();
        it.homes.clear();
        it.waiting.clear();
        it.takes.clear();
        it.asked.clear();
        it.gone.clear();
        it.places.clear();
        it.relays.clear();
        it.gap_owed_to.clear();
        it.confirmed = false;
        self.ledger.items.died(life, sessions.into_iter());
        let wires: Vec<u64> = self
            .wires
            .iter()
            .filter(|(_, wire)| wire.node == life && !wire.server_done)
            .map(|(number, _)| *number)
            .collect();
        for wire in wires {
            self.reset_from_server(wire);
        }
        self.reset_https(life);
    }

    /// Schedules something for the present life of a node.
    pub(crate) fn at_node(&mut self, at: u64, node: usize, what: ForNode) {
        let life = self.nodes[node].life;
        self.at(at, Happening::Node((node, life), what));
    }
}
