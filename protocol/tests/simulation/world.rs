//! Virtual time: what happens when, to tabs, wires, nodes and the bus.

use crate::bus::{Bus, Passage, Peer};
use crate::chance::Chance;
use crate::ledger::{Ledger, Totals};
use crate::node::{ForNode, Node};
use crate::plan::{BEGIN, HOSTILE_MS, Plan, SETTLE_MS};
use crate::pushing::{Name, Publisher, Push, Stream};
use crate::tab::{ForTab, Tab};
use crate::web::Http;
use crate::wire::Wire;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use tengen_protocol::{SessionId, Uid};

/// How often the world is looked at.
const CHECK_MS: u64 = 1_000;

#[derive(Debug)]
pub(crate) enum Happening {
    Bus(Passage),
    Node((usize, u32), ForNode),
    Tab(usize, ForTab),
    Traffic,
    Trouble,
    Tail(usize, u64),
    Again(usize, Rc<Push>),
    Mend(crate::trouble::Mend),
    CutWire(u64),
    MovesOn(usize),
    Dies((usize, u32)),
    Oddity,
    CutOff((usize, u32)),
    Check,
}

pub(crate) struct World {
    log: bool,
    pub(crate) plan: Plan,
    pub(crate) chance: Chance,
    /// The die of hasty worlds.
    pub(crate) haste: Chance,
    /// That of odd worlds.
    pub(crate) oddity: Chance,
    pub(crate) now: u64,
    order: u64,
    agenda: BTreeMap<(u64, u64), Happening>,
    pub(crate) bus: Bus,
    pub(crate) nodes: Vec<Node>,
    pub(crate) tabs: Vec<Tab>,
    pub(crate) wires: BTreeMap<u64, Wire>,
    wire_count: u64,
    pub(crate) https: BTreeMap<u64, Http>,
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) ledger: Ledger,
    pub(crate) nonces: u64,
    /// Which tab each session belongs to.
    pub(crate) owners: BTreeMap<SessionId, usize>,
    /// Tabs that lost a session by something that excuses it.
    pub(crate) excused: BTreeSet<usize>,
    /// Batches that were lost on their way to a node, behind all that came, by publisher and node.
    pub(crate) unnoticed: BTreeMap<(u128, Peer), Vec<Name>>,
    /// Lines of pushes in the ledger.
    lines: usize,
    /// Publishers that a node has heard.
    pub(crate) known: BTreeSet<(u128, Peer)>,
    /// What a script decides in place of the dice.
    pub(crate) stage: Option<Stage>,
    trace: u64,
}

/// What a script decides in place of the dice.
pub(crate) struct Stage {
    /// Where the balancer sends everybody.
    pub(crate) node: usize,
    /// How long handlers are at work; each answers at its end.
    pub(crate) handlers: u64,
}

/// What a run leaves: its counts, and a hash over everything that happened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) totals: Totals,
    pub(crate) trace: u64,
}

impl World {
    pub(crate) fn new(seed: u64, log: bool) -> World {
        let mut chance = Chance::new(seed);
        let mut plan = Plan::draw(&mut chance);
        // A die of its own: without these troubles a world is what it is.
        let mut hasty = Chance::new(!seed);
        plan.hasty = !plan.is_gentle() && plan.moving && hasty.one_in(2);
        let mut odd = Chance::new(seed.rotate_left(32) ^ 0x0DD);
        plan.odd = !plan.is_gentle() && !plan.bus_faults && plan.moving && odd.one_in(2);
        plan.hasty |= plan.odd;
        World::of(plan, seed, [chance, hasty, odd], log)
    }

    /// A world as planned: its own die, the one of hasty worlds, and that of odd ones.
    pub(crate) fn of(plan: Plan, seed: u64, dice: [Chance; 3], log: bool) -> World {
        let [mut chance, hasty, odd] = dice;
        let tabs = (0..plan.tabs)
            .map(|tab| {
                let options = Plan::options(&mut chance);
                let login = Uid::parse(chance.one_of(&["alice", "alice", "bob", ""])).ok();
                Tab::new(options, seed ^ (tab as u64) << 56, login, &mut chance)
            })
            .collect();
        let streams = plan.nodes;
        let publishers = (0..streams + plan.publishers)
            .map(|peer| Publisher {
                peer,
                line: peer,
                // Of those outside, every other one has no numbers.
                stream: (peer >= streams && peer % 2 == 0)
                    .then(|| Stream::new(chance.next().into())),
            })
            .collect();
        let mut ledger = Ledger::default();
        ledger.items.people = plan.people;
        ledger.pushes.lagging = plan.node_faults || plan.odd;
        if plan.bus_faults || plan.node_faults {
            ledger.pushes.slack = 10_000;
        }
        World {
            log,
            now: BEGIN,
            order: 0,
            agenda: BTreeMap::new(),
            bus: Bus::new(
                plan.nodes,
                plan.publishers,
                plan.loose_bus,
                plan.bus_latency,
            ),
            nodes: (0..plan.nodes).map(Node::new).collect(),
            tabs,
            wires: BTreeMap::new(),
            wire_count: 0,
            https: BTreeMap::new(),
            publishers,
            ledger,
            nonces: 0,
            owners: BTreeMap::new(),
            excused: BTreeSet::new(),
            unnoticed: BTreeMap::new(),
            lines: streams + plan.publishers,
            known: BTreeSet::new(),
            stage: None,
            trace: 0,
            plan,
            chance,
            haste: hasty,
            oddity: odd,
        }
    }

    /// Runs the world to its end.
    pub(crate) fn run(mut self) -> Run {
        self.say(|| format!("{:?}", self.plan));
        for node in 0..self.nodes.len() {
            self.start_node(node);
        }
        for first in [Happening::Traffic, Happening::Trouble] {
            self.at(self.now + 500, first);
        }
        self.at(self.now + CHECK_MS, Happening::Check);
        if self.plan.odd {
            self.at(self.now + 1_000, Happening::Oddity);
        }
        for tab in 0..self.tabs.len() {
            let now = self.tabs[tab].now(self.now);
            self.tabs[tab].client.connect(now);
            self.carry_out(tab);
        }
        let end = BEGIN + HOSTILE_MS + SETTLE_MS;
        let mut unsettled = String::new();
        while let Some(((at, order), happening)) = self.agenda.pop_first() {
            self.now = at;
            self.note(at, order);
            if let Happening::Check = happening {
                self.ledger.pushes.check_slack(CHECK_MS);
                if !self.is_hostile() {
                    self.come_back();
                    match self.settled() {
                        Ok(()) => return self.conclude(),
                        Err(why) => unsettled = why,
                    }
                }
                assert!(at < end, "the world does not come to rest: {unsettled}");
                self.at(self.now + CHECK_MS, Happening::Check);
                continue;
            }
            self.happen((at, order), happening);
        }
        unreachable!("the next check is always on the agenda")
    }

    /// Lets happen what is due next, if that is not after `until`.
    pub(crate) fn step(&mut self, until: u64) -> bool {
        let next = self.agenda.first_entry();
        let Some(next) = next.filter(|next| next.key().0 <= until) else {
            self.now = until;
            return false;
        };
        let ((at, order), happening) = next.remove_entry();
        self.now = at;
        self.happen((at, order), happening);
        true
    }

    fn conclude(self) -> Run {
        Run {
            totals: self.ledger.totals,
            trace: self.trace,
        }
    }

    fn note(&mut self, at: u64, order: u64) {
        for word in [at, order, self.chance.mark()] {
            self.trace = (self.trace ^ word)
                .wrapping_mul(0x0000_0100_0000_01B3)
                .rotate_left(23);
        }
    }

    pub(crate) fn is_hostile(&self) -> bool {
        self.now < BEGIN + HOSTILE_MS && self.stage.is_none()
    }

    pub(crate) fn at(&mut self, at: u64, happening: Happening) {
        self.order += 1;
        self.agenda.insert((at, self.order), happening);
    }

    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.log {
            println!("{:>7} {}", self.now, what());
        }
    }

    fn happen(&mut self, at: (u64, u64), happening: Happening) {
        match happening {
            Happening::Bus(passage) => self.passes(passage),
            Happening::Node((node, life), what) => {
                let it = &self.nodes[node];
                if !it.alive || it.life != life {
                    return;
                }
                if it.paused_until > self.now {
                    // In its order, once the process goes on.
                    let later = (it.paused_until, at.1);
                    self.agenda
                        .insert(later, Happening::Node((node, life), what));
                    return;
                }
                self.node_happens(node, what);
            }
            Happening::Tab(tab, what) => self.tab_happens(tab, what),
            Happening::Traffic => self.traffic(),
            Happening::Trouble => self.trouble(),
            Happening::Tail(by, version) => self.tail(by, version),
            Happening::Again(by, push) => self.push_again(by, &push),
            Happening::Mend(mend) => self.mend(mend),
            Happening::CutWire(wire) => self.cut(wire),
            Happening::MovesOn(tab) => self.moves_on(tab),
            Happening::Dies(life) => self.dies(life),
            Happening::Oddity => self.something_odd(),
            Happening::CutOff(life) => self.is_cut_off(life),
            Happening::Check => {}
        }
    }

    /// Once in `n`, in a hasty world.
    pub(crate) fn is_hasty(&mut self, n: u64) -> bool {
        let n = if self.plan.odd { n.div_ceil(2) } else { n };
        self.plan.hasty && self.is_hostile() && self.haste.one_in(n)
    }

    pub(crate) fn add_wire(&mut self, wire: Wire) -> u64 {
        self.wire_count += 1;
        self.wires.insert(self.wire_count, wire);
        self.wire_count
    }

    pub(crate) fn sends_to_node(&mut self, at: u64, wire: u64, frame: Option<Bytes>) {
        let node = self.wires[&wire].node;
        let what = ForNode::Frame(wire, frame);
        self.at(at, Happening::Node(node, what));
    }

    /// The balancer's choice: any node that is up.
    pub(crate) fn balance(&mut self) -> Option<(usize, u32)> {
        if let Some(stage) = &self.stage {
            let node = &self.nodes[stage.node];
            return node.alive.then_some((stage.node, node.life));
        }
        let up: Vec<usize> = (0..self.nodes.len())
            .filter(|node| self.nodes[*node].alive)
            .collect();
        if up.is_empty() {
            return None;
        }
        let node = self.chance.one_of(&up);
        Some((node, self.nodes[node].life))
    }

    /// A node that is down or held publishes nothing.
    pub(crate) fn may_publish(&self, peer: Peer) -> bool {
        self.nodes
            .get(peer)
            .is_none_or(|node| node.alive && node.paused_until <= self.now)
    }

    pub(crate) fn new_stream(&mut self, node: usize, publisher: u128) {
        let it = &mut self.publishers[node];
        if it.stream.is_some() {
            (it.line, self.lines) = (self.lines, self.lines + 1);
        }
        it.stream = Some(Stream::new(publisher));
    }

    /// Something that is no fault of ours has ended this session.
    pub(crate) fn excuse(&mut self, session: &SessionId) {
        if let Some(tab) = self.owners.get(session) {
            self.excused.insert(*tab);
        }
    }
}
