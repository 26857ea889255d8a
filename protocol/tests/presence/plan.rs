//! What a seed decides beforehand: how large the world is, and which kinds of trouble it knows.

use crate::chance::Chance;

/// When a world begins; not zero, so that no "never" passes for "now".
pub(crate) const BEGIN: u64 = 1_000_000;
/// How long nodes alone have to find each other before anybody comes.
pub(crate) const WARM_MS: u64 = 8_000;
/// A node is gone after so long a silence, as [`tengen_protocol::presence::Options`] has it.
pub(crate) const TTL_MS: u64 = 6_000;
/// The longest grace with its margin, as the options have it.
pub(crate) const GRACE_MS: u64 = 5_500;
/// Quiet for so long, and all views are equal to the truth: TTL, grace and two beats.
pub(crate) const QUIET_MS: u64 = TTL_MS + GRACE_MS + 2_000;
/// After that it may take so long until the feed says so too: half or more may have died at once,
/// which is 10 s of doubt, then a new teller waits 2 s, and what differs is named after 5 s.
pub(crate) const TOLD_MS: u64 = 17_000;

/// The world of one seed.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Nodes at the beginning.
    pub(crate) nodes: usize,
    /// Nodes that ever are, those that join later included.
    pub(crate) slots: usize,
    pub(crate) users: usize,
    pub(crate) consumers: usize,
    /// How often there is trouble and then quiet.
    pub(crate) rounds: u64,
    pub(crate) hostile_ms: u64,
    /// The longest ordinary way of a message.
    pub(crate) latency: u64,
    /// One in so many messages is lost, one in so many comes twice, while it is hostile.
    pub(crate) loss: Option<u64>,
    /// Links fail, one way or both; the cluster falls apart.
    pub(crate) links: bool,
    /// Nodes and consumers lose their connection to the bus.
    pub(crate) bus: bool,
    pub(crate) crashes: bool,
    pub(crate) pauses: bool,
    /// Nodes join and leave, some at the same time.
    pub(crate) joins: bool,
    /// The teller dies at a step of its own.
    pub(crate) tellers: bool,
    /// A second process takes a node's id.
    pub(crate) doubles: bool,
    /// Somebody says things on the bus that are wrong, late or no messages at all.
    pub(crate) strangers: bool,
    /// The most bytes of a delta or a part: few enough, and everything comes in several.
    pub(crate) part_bytes: usize,
    /// Deltas that a node keeps.
    pub(crate) ring: usize,
    /// All users come at once, in so long.
    pub(crate) storm_ms: Option<u64>,
    /// Every step of every node is looked at, which a large world cannot afford.
    pub(crate) closely: bool,
}

impl Plan {
    pub(crate) fn draw(seed: u64, chance: &mut Chance) -> Plan {
        let nodes = match seed % 100 {
            99 => 100,
            _ => chance.one_of(&[3, 3, 10]),
        };
        // One in four worlds knows no fault at all: there each event is told exactly once.
        let gentle = chance.one_in(4);
        // One in four of the others knows nodes that come, go and pause, on a bus without a fault.
        let calm = gentle || chance.one_in(4);
        let mut may = |it: bool| it && chance.one_in(2);
        let plan = Plan {
            nodes,
            slots: 0,
            users: 0,
            consumers: 2,
            rounds: 1,
            hostile_ms: 30_000,
            latency: 5,
            loss: None,
            links: may(!calm),
            bus: may(!calm),
            crashes: may(!gentle),
            pauses: may(!gentle),
            joins: may(!gentle),
            tellers: may(!gentle),
            doubles: may(!calm),
            strangers: may(!calm),
            part_bytes: chance.one_of(&[40, 256 << 10]),
            ring: chance.one_of(&[2, 1_024]),
            storm_ms: chance.one_in(5).then_some(200),
            closely: nodes < 100,
        };
        Plan {
            slots: nodes + if gentle { 0 } else { nodes.min(20) + 6 },
            users: chance.between(2, 4 * nodes as u64) as usize,
            rounds: if plan.closely {
                chance.between(1, 2)
            } else {
                1
            },
            hostile_ms: chance.one_of(&[15_000, 30_000, 50_000]),
            latency: chance.one_of(&[1, 5, 60]),
            loss: (!calm && chance.one_in(2)).then(|| chance.one_of(&[10, 30, 200])),
            ..plan
        }
    }

    /// A calm cluster of this size, in which nobody does anything by itself.
    pub(crate) fn still(nodes: usize, users: usize) -> Plan {
        Plan {
            nodes,
            slots: nodes,
            users,
            consumers: 1,
            rounds: 1,
            hostile_ms: 30_000,
            latency: 5,
            loss: None,
            links: false,
            bus: false,
            crashes: false,
            pauses: false,
            joins: false,
            tellers: false,
            doubles: false,
            strangers: false,
            part_bytes: 256 << 10,
            ring: 1_024,
            storm_ms: None,
            closely: false,
        }
    }

    /// As many nodes and users as a large cluster has, all of whom come in five seconds, and
    /// everything that happens to processes; what happens to links small clusters show.
    pub(crate) fn large(nodes: usize, users: usize) -> Plan {
        Plan {
            slots: nodes + 3,
            consumers: 2,
            loss: Some(1_000),
            hostile_ms: 20_000,
            crashes: true,
            pauses: true,
            joins: true,
            tellers: true,
            storm_ms: Some(5_000),
            ..Plan::still(nodes, users)
        }
    }

    /// Nothing happens in these worlds that excuses an event too many.
    pub(crate) fn is_gentle(&self) -> bool {
        !self.has_loose_bus() && !self.has_node_faults()
    }

    /// Something gets lost on the bus, or is late.
    pub(crate) fn has_loose_bus(&self) -> bool {
        self.links || self.bus || self.loss.is_some() || self.strangers || self.doubles
    }

    pub(crate) fn has_node_faults(&self) -> bool {
        self.crashes || self.pauses || self.joins || self.tellers
    }
}
