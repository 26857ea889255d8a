//! Virtual time: what happens when, to nodes, users, consumers and the bus between them.

use crate::book::{Book, Tamper};
use crate::bus::{Bus, Peer};
use crate::chance::Chance;
use crate::consumer::Consumer;
use crate::node::Node;
use crate::people::User;
use crate::plan::{BEGIN, Plan, QUIET_MS, TOLD_MS, WARM_MS};
use crate::told::Told;
use crate::totals::Totals;
use crate::trouble::Mend;
use bytes::Bytes;
use std::collections::BTreeMap;
use tengen_protocol::Transport;
use tengen_protocol::presence::{AskId, Channel, Door, Unanswered};

/// What comes to a peer.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Says {
        channel: Channel,
        body: Bytes,
        /// Somebody who is no node said it.
        strange: bool,
    },
    Asks {
        from: (Peer, u32),
        id: AskId,
        door: Door,
        body: Bytes,
    },
    Answers {
        id: AskId,
        answer: Result<Bytes, Unanswered>,
    },
    /// A client's connection is gone.
    Closed { user: usize, transport: Transport },
    /// The driver's timer, set for then.
    Tick(u64),
}

#[derive(Debug)]
pub(crate) enum Happening {
    /// Over the bus: lost if the connection is another by then.
    Arrives {
        to: Peer,
        number: u32,
        what: What,
    },
    /// In the process itself: lost if it is another by then.
    Within {
        to: Peer,
        life: u32,
        what: What,
    },
    Traffic,
    Trouble,
    Mend(Mend),
    /// A user comes back, at this node or any.
    Comes {
        user: usize,
        to: Option<usize>,
        transport: Transport,
    },
    /// A session comes back to its node, if that is still the same process.
    Returns {
        user: usize,
        to: usize,
        life: u32,
        was: Transport,
        transport: Transport,
    },
    /// Whoever was only at a node that died then has to be gone by now.
    Mourned {
        users: Vec<usize>,
        died: u64,
    },
    Stranger,
    Hostile,
    Quiet,
    Settled,
}

pub(crate) struct World {
    log: bool,
    pub(crate) plan: Plan,
    pub(crate) seed: u64,
    pub(crate) chance: Chance,
    pub(crate) now: u64,
    order: u64,
    agenda: BTreeMap<(u64, u64), Happening>,
    pub(crate) bus: Bus,
    pub(crate) nodes: Vec<Node>,
    pub(crate) users: Vec<User>,
    pub(crate) consumers: Vec<Consumer>,
    pub(crate) told: Told,
    pub(crate) totals: Totals,
    /// Until then there is trouble.
    pub(crate) hostile_until: u64,
    rounds_left: u64,
    /// How often nodes had been synced when it was quiet.
    pub(crate) quiet: u64,
    /// Bodies that were on the bus a while ago, for a stranger to repeat.
    pub(crate) heard: Vec<(Channel, Bytes)>,
    pub(crate) book: Book,
    pub(crate) tamper: Option<Tamper>,
    trace: u64,
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
        let plan = Plan::draw(seed, &mut chance);
        World::of(plan, seed, chance, log)
    }

    pub(crate) fn of(plan: Plan, seed: u64, chance: Chance, log: bool) -> World {
        let peers = plan.slots + plan.consumers;
        World {
            log,
            seed,
            now: BEGIN,
            order: 0,
            agenda: BTreeMap::new(),
            bus: Bus::new(peers, plan.latency),
            nodes: (0..plan.slots).map(Node::new).collect(),
            users: (0..plan.users).map(User::new).collect(),
            consumers: (0..plan.consumers).map(|_| Consumer::new()).collect(),
            told: Told::default(),
            totals: Totals::default(),
            hostile_until: 0,
            rounds_left: plan.rounds,
            quiet: 0,
            heard: Vec::new(),
            book: Book::default(),
            tamper: None,
            trace: 0,
            plan,
            chance,
        }
    }

    /// Runs the world to its end.
    pub(crate) fn run(mut self) -> Run {
        self.begin();
        self.at(BEGIN + WARM_MS, Happening::Hostile);
        while self.rounds_left > 0 {
            self.step();
        }
        Run {
            totals: self.totals,
            trace: self.trace,
        }
    }

    /// Nodes and consumers begin, one after another.
    pub(crate) fn begin(&mut self) {
        self.say(|| format!("{:?}", self.plan));
        for node in 0..self.plan.nodes {
            let within = self.chance.between(0, 1_500);
            self.at(self.now + within, Happening::Mend(Mend::Start(node)));
        }
        for consumer in 0..self.plan.consumers {
            let within = self.chance.between(0, WARM_MS);
            let peer = self.plan.slots + consumer;
            self.at(self.now + within, Happening::Mend(Mend::Bus(peer)));
        }
    }

    /// The next thing on the agenda happens.
    pub(crate) fn step(&mut self) {
        let Some(((at, order), happening)) = self.agenda.pop_first() else {
            unreachable!("nodes beat for ever");
        };
        self.now = at;
        self.note(at, order);
        self.happen((at, order), happening);
    }

    fn note(&mut self, at: u64, order: u64) {
        for word in [at, order, self.chance.mark()] {
            self.trace = (self.trace ^ word)
                .wrapping_mul(0x0000_0100_0000_01B3)
                .rotate_left(23);
        }
    }

    pub(crate) fn is_hostile(&self) -> bool {
        self.now < self.hostile_until
    }

    pub(crate) fn at(&mut self, at: u64, happening: Happening) {
        self.order += 1;
        self.agenda.insert((at, self.order), happening);
    }

    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.log {
            println!("{:>8} {}", self.now - BEGIN, what());
        }
    }

    fn happen(&mut self, at: (u64, u64), happening: Happening) {
        match happening {
            Happening::Arrives { to, number, what } => {
                if self.bus.is_current(to, number) {
                    self.comes_to(at, to, what);
                }
            }
            Happening::Within { to, life, what } => {
                if self.life(to) == life {
                    self.comes_to(at, to, what);
                }
            }
            Happening::Traffic => self.traffic(),
            Happening::Trouble => self.trouble(),
            Happening::Stranger => self.stranger(),
            Happening::Mend(mend) => self.mend(mend),
            Happening::Comes {
                user,
                to,
                transport,
            } => self.comes(user, to, transport),
            Happening::Returns {
                user,
                to,
                life,
                was,
                transport,
            } => {
                if self.life(to) == life && self.is_hostile() {
                    self.returns(user, to, was, transport);
                }
            }
            Happening::Mourned { users, died } => self.judge_mourned(&users, died),
            Happening::Hostile => self.hostile(),
            Happening::Quiet => {
                self.judge_views();
                self.judge_followers();
            }
            Happening::Settled => {
                self.judge_what_was_told();
                self.rounds_left -= 1;
                self.at(self.now, Happening::Hostile);
            }
        }
    }

    /// A time of traffic and trouble begins; when it ends all is mended, and then it is quiet.
    fn hostile(&mut self) {
        self.hostile_until = self.now + self.plan.hostile_ms;
        self.bus.loss = self.plan.loss;
        self.storm();
        self.at(self.now, Happening::Traffic);
        self.at(self.now + 500, Happening::Trouble);
        if self.plan.strangers {
            self.at(self.now + 700, Happening::Stranger);
        }
        let end = self.hostile_until;
        self.at(end, Happening::Mend(Mend::All));
        self.at(end + QUIET_MS, Happening::Quiet);
        self.at(end + QUIET_MS + TOLD_MS, Happening::Settled);
    }

    /// Which process a peer is.
    pub(crate) fn life(&self, peer: Peer) -> u32 {
        self.nodes.get(peer).map_or(0, |node| node.life)
    }

    fn comes_to(&mut self, at: (u64, u64), to: Peer, what: What) {
        if to >= self.plan.slots {
            return self.consumer_happens(to, what);
        }
        let node = &self.nodes[to];
        if node.paused_until > self.now {
            // In its order, once the process goes on. What the bus kept for it so long is not lost.
            let life = node.life;
            let happening = Happening::Within { to, life, what };
            self.agenda.insert((node.paused_until, at.1), happening);
            return;
        }
        self.node_happens(to, what);
    }

    /// Publishes to everybody who is connected.
    pub(crate) fn publish(&mut self, from: Peer, channel: Channel, body: &Bytes, strange: bool) {
        // `[1, kind, …]` of single bytes: 1 is a delta.
        let announces = channel == Channel::Presence && body.get(2) == Some(&1);
        self.bus.carried.deltas += u64::from(announces);
        self.bus.carried.published += 1;
        self.bus.carried.published_bytes += body.len() as u64;
        for to in 0..self.plan.slots + self.plan.consumers {
            // Consumers want the feed alone.
            let wants = to < self.plan.slots || channel == Channel::Changes;
            if !wants || !self.bus.is_up(to) {
                continue;
            }
            let body = match &mut self.tamper {
                Some(tamper) => tamper(from, to, channel, body),
                None => Some(body.clone()),
            };
            let Some(body) = body else { continue };
            self.bus.carried.delivered += 1;
            self.bus.carried.delivered_bytes += body.len() as u64;
            let times = self.bus.passes(from, to, self.now, &mut self.chance);
            for at in times.into_iter().flatten() {
                let happening = Happening::Arrives {
                    to,
                    number: self.bus.number(to),
                    what: What::Says {
                        channel,
                        body: body.clone(),
                        strange,
                    },
                };
                self.at(at, happening);
            }
        }
    }

    /// Asks each of these, and takes the first answer.
    pub(crate) fn ask(
        &mut self,
        from: Peer,
        id: AskId,
        (door, body): (Door, &Bytes),
        of: &[Peer],
        limit_ms: u64,
    ) {
        let life = self.life(from);
        let fails = |world: &mut World, after: u64, why: Unanswered| {
            let what = What::Answers {
                id,
                answer: Err(why),
            };
            let to = from;
            world.at(world.now + after, Happening::Within { to, life, what });
        };
        if !self.bus.is_up(from) {
            return fails(self, 0, Unanswered::BusDown);
        }
        fails(self, limit_ms, Unanswered::Late);
        self.bus.carried.asked += 1;
        self.bus.carried.asked_bytes += body.len() as u64;
        let mut asked = false;
        for to in of
            .iter()
            .copied()
            .filter(|to| self.bus.is_up(*to))
            .collect::<Vec<_>>()
        {
            // Servers that have lost each other know of nobody there, or do not know that yet.
            if self.bus.is_cut(from, to) && self.chance.one_in(2) {
                continue;
            }
            asked = true;
            let times = self.bus.passes(from, to, self.now, &mut self.chance);
            for at in times.into_iter().flatten() {
                let what = What::Asks {
                    from: (from, life),
                    id,
                    door,
                    body: body.clone(),
                };
                let number = self.bus.number(to);
                self.at(at, Happening::Arrives { to, number, what });
            }
        }
        if !asked {
            fails(self, 1 + 2 * self.plan.latency, Unanswered::Nobody);
        }
    }

    pub(crate) fn answer(&mut self, from: Peer, to: (Peer, u32), id: AskId, body: &Bytes) {
        self.bus.carried.asked_bytes += body.len() as u64;
        let times = self.bus.passes(from, to.0, self.now, &mut self.chance);
        let number = self.bus.number(to.0);
        if self.life(to.0) != to.1 || !self.bus.is_up(to.0) || !self.bus.is_up(from) {
            return;
        }
        for at in times.into_iter().flatten() {
            let what = What::Answers {
                id,
                answer: Ok(body.clone()),
            };
            let to = to.0;
            let at = at + self.book.answers_late_ms;
            self.at(at, Happening::Arrives { to, number, what });
        }
    }
}
