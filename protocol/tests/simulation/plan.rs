//! What a seed decides beforehand: how large the world is, and which kinds of trouble it knows.

use crate::chance::Chance;
use tengen_protocol::Codec;
use tengen_protocol::client::{Options, TransportChoice};
use tengen_protocol::server::Bounds;

/// How long the world is hostile.
pub(crate) const HOSTILE_MS: u64 = 20_000;
/// How long it may then take to settle.
pub(crate) const SETTLE_MS: u64 = 200_000;
/// When a run begins; not zero, so that no "never" passes for "now".
pub(crate) const BEGIN: u64 = 1_000;
/// A message on the bus takes up to eight times as long: beyond this, a fence may need over 500 ms.
const PROMPT_MS: u64 = 5;
/// How long a detached session is kept.
pub(crate) const SESSION_TTL: u64 = 30_000;

/// The world of one seed.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) tabs: usize,
    pub(crate) publishers: usize,
    /// Every publisher's order holds, but nothing else does: as in a cluster of NATS servers.
    /// Otherwise there is one server, and one order for all.
    pub(crate) loose_bus: bool,
    /// The bus loses batches, repeats them, and is interrupted.
    pub(crate) bus_faults: bool,
    /// Nodes crash, pause and come back.
    pub(crate) node_faults: bool,
    /// Connections break, clients move; without it every client stays where it is.
    pub(crate) moving: bool,
    /// Users log in and out, are kicked, leave and come back, tabs are duplicated.
    pub(crate) people: bool,
    /// Slow readers and tiny queues: sessions end as slow consumers.
    pub(crate) slow: bool,
    /// Questions between nodes and their answers are lost, fences come late, and a client moves on
    /// while it is taken.
    pub(crate) hasty: bool,
    /// Nodes are behind with what they hear, a handler's return is told to nobody, clients come
    /// back with counts of long ago and POST what nothing stands before.
    pub(crate) odd: bool,
    pub(crate) link_latency: u64,
    pub(crate) bus_latency: u64,
    pub(crate) ingest_lag: u64,
    pub(crate) bounds: Bounds,
}

impl Plan {
    pub(crate) fn draw(chance: &mut Chance) -> Plan {
        // One in four worlds knows no fault but broken connections: there even a gap is a fault of ours.
        let gentle = chance.one_in(4);
        let slow = !gentle && chance.one_in(4);
        let bounds = Bounds {
            max_queue_bytes: if slow { 3_000 } else { 400_000 },
            inbox_items: chance.between(2, 20) as usize,
            ack_items: chance.between(2, 32),
            max_outstanding: if chance.one_in(3) { 3 } else { 4_096 },
            max_errors: 10_000,
            ..Bounds::default()
        };
        Plan {
            nodes: chance.between(2, 4) as usize,
            tabs: chance.between(1, 3) as usize,
            publishers: chance.between(1, 3) as usize,
            loose_bus: !gentle && chance.one_in(2),
            bus_faults: !gentle && chance.one_in(2),
            node_faults: !gentle && chance.one_in(2),
            moving: !chance.one_in(20),
            people: !gentle && chance.one_in(2),
            slow,
            hasty: false,
            odd: false,
            link_latency: chance.one_of(&[2, 20, 300]),
            // Where nothing is excused, a fence must be back in time.
            bus_latency: if gentle {
                chance.one_of(&[1, PROMPT_MS])
            } else {
                chance.one_of(&[1, 5, 60])
            },
            ingest_lag: chance.one_of(&[0, 5, 150]),
            bounds,
        }
    }

    /// A world in which only happens what a script does.
    pub(crate) fn still(nodes: usize) -> Plan {
        Plan {
            nodes,
            tabs: 0,
            publishers: 1,
            loose_bus: false,
            bus_faults: false,
            node_faults: false,
            moving: false,
            // A gap is no fault in itself: what it is to tell, the script knows.
            people: true,
            slow: false,
            hasty: false,
            odd: false,
            link_latency: 2,
            bus_latency: 1,
            ingest_lag: 0,
            bounds: Bounds::default(),
        }
    }

    /// Nothing that these worlds know excuses a gap.
    pub(crate) fn is_gentle(&self) -> bool {
        !self.bus_faults && !self.node_faults && !self.people && !self.slow && !self.loose_bus
    }

    /// As gentle as can be where publishers alone keep their order: a takeover may cost a gap there.
    pub(crate) fn is_only_loose(&self) -> bool {
        let gentle = Plan {
            loose_bus: false,
            ..self.clone()
        };
        self.loose_bus && gentle.is_gentle() && self.is_prompt() && !self.hasty
    }

    /// Whether every question is answered, and every fence back, in the time that it is given.
    pub(crate) fn is_prompt(&self) -> bool {
        self.bus_latency <= PROMPT_MS
    }

    pub(crate) fn options(chance: &mut Chance) -> Options {
        Options {
            codec: chance.one_of(&[Codec::Cbor, Codec::Json]),
            transport: chance.one_of(&[
                TransportChoice::Ws,
                TransportChoice::Poll,
                TransportChoice::Auto,
            ]),
            window_items: chance.between(3, 300),
            ack_items: chance.between(2, 32),
            ..Options::default()
        }
    }
}
