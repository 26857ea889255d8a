//! A simulated node: what a driver does for one `Member`, and no more.

use crate::book::Announced;
use crate::plan::BEGIN;
use crate::trouble::Step;
use crate::world::{Happening, What, World};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use tengen_protocol::presence::{Action, AskId, Channel, Door, Kinds, Member, Options, SyncReq};
use tengen_protocol::{Millis, NodeId, Uid};

/// The wall clock at the beginning of every world.
const WALL_MS: u64 = 1_790_000_000_000;
/// A driver whose timer is due more often than this is a busy loop.
const MOST_TICKS_A_SECOND: u64 = 300;

/// One place for a process.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) member: Option<Member>,
    /// Which process this is.
    pub(crate) life: u32,
    pub(crate) paused_until: u64,
    /// How many troubles keep others from hearing of its users.
    pub(crate) troubles: u32,
    /// Since when all others may hear of its users.
    pub(crate) sound_since: u64,
    /// Whether the process is to begin again when the trouble is over.
    pub(crate) comes_back: bool,
    /// At which message of its feed the process is to die.
    pub(crate) dies_at: Option<Step>,
    /// Until then its beats carry a wrong digest.
    pub(crate) sick_until: u64,
    /// How often each process has asked it for all of its users meanwhile.
    pub(crate) asked_by: BTreeMap<(usize, u32), u64>,
    /// What the wall clock is ahead.
    pub(crate) clock: i64,
    tick_at: Option<u64>,
    ticks: (u64, u64),
    asks: BTreeSet<AskId>,
    /// The view as its diffs tell it.
    pub(crate) seen: BTreeMap<Uid, Kinds>,
    /// The users as its deltas tell them.
    pub(crate) announced: Announced,
}

impl Node {
    pub(crate) fn new(slot: usize) -> Node {
        Node {
            id: NodeId::parse(&format!("n{slot:03}")).unwrap(),
            member: None,
            life: 0,
            paused_until: 0,
            troubles: 0,
            sound_since: 0,
            comes_back: false,
            dies_at: None,
            sick_until: 0,
            asked_by: BTreeMap::new(),
            clock: 0,
            tick_at: None,
            ticks: (0, 0),
            asks: BTreeSet::new(),
            seen: BTreeMap::new(),
            announced: Announced::default(),
        }
    }

    pub(crate) fn takes_clients(&self, now: u64) -> bool {
        self.member.is_some() && self.paused_until <= now
    }

    /// Whether all others have been able to hear of its users since then.
    pub(crate) fn is_sound_since(&self, since: u64) -> bool {
        self.member.is_some() && self.troubles == 0 && self.sound_since <= since
    }
}

impl World {
    pub(crate) fn millis(&self) -> Millis {
        Millis(self.now)
    }

    /// A process begins in this slot, under the slot's id.
    pub(crate) fn start(&mut self, slot: usize) {
        if self.nodes[slot].member.is_some() {
            return;
        }
        let server = self.chance.next() as u32 % 3;
        self.bus.connects(slot);
        let options = Options {
            server_id: format!("s{server}").into(),
            max_part_bytes: self.plan.part_bytes,
            ring: self.plan.ring,
            ..Options::new(self.nodes[slot].id.clone())
        };
        let now = self.millis();
        let node = &mut self.nodes[slot];
        let wall = (WALL_MS + (self.now - BEGIN)).saturating_add_signed(node.clock);
        let seed = self.seed ^ (slot as u64) << 40 ^ u64::from(node.life) << 56;
        node.member = Some(Member::new(options, wall, seed, now));
        node.paused_until = 0;
        node.sound_since = self.now;
        node.troubles = 0;
        node.tick_at = None;
        node.asks.clear();
        node.seen.clear();
        self.say(|| format!("node {slot} starts as {}", self.nodes[slot].id));
        let member = self.nodes[slot].member.as_mut();
        member.unwrap().bus(true, &format!("s{server}"), now);
        self.carry_out(slot);
    }

    /// The process is no more; its clients are lost.
    pub(crate) fn stop(&mut self, slot: usize) {
        if self.nodes[slot].member.take().is_none() {
            return;
        }
        self.say(|| format!("node {slot} is no more"));
        let node = &mut self.nodes[slot];
        node.life += 1;
        self.bus.disconnects(slot);
        self.strand(slot);
    }

    pub(crate) fn node_happens(&mut self, slot: usize, what: What) {
        let now = self.millis();
        let Some(member) = self.nodes[slot].member.as_mut() else {
            return;
        };
        match what {
            What::Says {
                channel,
                body,
                strange,
            } => {
                let heard = member.heard(channel, &body, now);
                assert!(
                    heard.is_ok() || strange,
                    "node {slot} cannot read what a node says: {heard:?}"
                );
            }
            What::Asks {
                from,
                id,
                door,
                body,
            } => {
                let answer = member.asked(door, &body, now);
                let answer = answer.expect("a node reads what a node asks");
                if let Some(answer) = answer {
                    match door {
                        Door::Sync => self.note_answer(slot, from.0, &answer),
                        Door::Told => {
                            self.judge_base(slot);
                            self.note_page(from.0, &answer);
                        }
                        Door::Differs => {}
                    }
                    self.answer(slot, from, id, &answer);
                }
            }
            What::Answers { id, answer } => {
                if self.nodes[slot].asks.remove(&id) {
                    let member = self.nodes[slot].member.as_mut();
                    let read = member.unwrap().answered(id, answer, now);
                    read.expect("a node reads what a node answers");
                }
            }
            What::Closed { user, transport } => {
                let uid = self.users[user].uid.as_ref();
                member.closed(uid, transport, now);
            }
            What::Tick(at) => {
                if self.nodes[slot].tick_at != Some(at) {
                    return;
                }
                self.ticks(slot);
            }
        }
        self.carry_out(slot);
    }

    fn ticks(&mut self, slot: usize) {
        let now = self.millis();
        let node = &mut self.nodes[slot];
        node.tick_at = None;
        let second = self.now / 1_000;
        node.ticks = match node.ticks {
            (of, count) if of == second => (of, count + 1),
            _ => (second, 1),
        };
        assert!(
            node.ticks.1 <= MOST_TICKS_A_SECOND,
            "node {slot} ticks in a busy loop"
        );
        node.member.as_mut().unwrap().tick(now);
    }

    /// Does what the member wants done, and sets its timer.
    pub(crate) fn carry_out(&mut self, slot: usize) {
        let life = self.nodes[slot].life;
        let Some(member) = self.nodes[slot].member.as_mut() else {
            return;
        };
        for action in member.take_actions() {
            self.act(slot, action);
            if self.life(slot) != life {
                return;
            }
        }
        self.look(slot);
        let node = &mut self.nodes[slot];
        let Some(member) = node.member.as_ref() else {
            return;
        };
        let next = member.next();
        if next == Millis::MAX {
            return;
        }
        // A timer is never early, and a little late.
        let at = next.0.max(self.now) + 1 + self.chance.next() % 4;
        if node.tick_at.is_none_or(|set| at < set) {
            node.tick_at = Some(at);
            let what = What::Tick(at);
            self.at(
                at,
                Happening::Within {
                    to: slot,
                    life,
                    what,
                },
            );
        }
    }

    fn act(&mut self, slot: usize, action: Action) {
        match action {
            Action::Publish { channel, body } => self.publishes(slot, channel, &body),
            Action::Ask {
                id,
                node,
                door,
                body,
                limit_ms,
            } => {
                match door {
                    Door::Sync => self.totals.synced += 1,
                    Door::Differs => {
                        self.totals.named += 1;
                        self.hear_named(&body);
                    }
                    Door::Told => {}
                }
                self.say(|| format!("node {slot} asks {node} at {door:?}"));
                let there = |of: &usize| self.nodes[*of].id == node;
                let of: Vec<usize> = (0..self.nodes.len()).filter(there).collect();
                if door == Door::Sync {
                    self.count_ask(slot, &of, &body);
                    self.note_asked(slot, &body);
                }
                self.nodes[slot].asks.insert(id);
                self.ask(slot, id, (door, &body), &of, limit_ms);
            }
            Action::AskTold { id, body, limit_ms } => {
                let of: Vec<usize> = (0..self.nodes.len()).collect();
                self.nodes[slot].asks.insert(id);
                self.ask(slot, id, (Door::Told, &body), &of, limit_ms);
            }
            Action::Told { .. } => {}
            Action::Exit { why } => {
                assert!(self.plan.doubles, "node {slot} exits: {why}");
                self.totals.exited += 1;
                self.say(|| format!("node {slot} exits: {why}"));
                self.stop(slot);
            }
        }
    }

    /// A sick node must not be asked for all it has again and again.
    fn count_ask(&mut self, by: usize, of: &[usize], body: &Bytes) {
        let by = (by, self.life(by));
        for of in of {
            let of = &mut self.nodes[*of];
            if of.sick_until > self.now {
                let asked = SyncReq::decode(body).unwrap();
                *of.asked_by.entry(by).or_default() += u64::from(asked.part == 0);
            }
        }
    }

    fn publishes(&mut self, slot: usize, channel: Channel, body: &Bytes) {
        self.note_said(slot, channel, body);
        if let Some(wrong) = self.falsified(slot, body) {
            return self.publish(slot, channel, &wrong, false);
        }
        if channel == Channel::Changes && self.dies_telling(slot, body) {
            return;
        }
        if channel == Channel::Changes {
            self.hear_the_feed(slot, body);
        }
        if self.plan.strangers && self.chance.one_in(20) {
            self.heard.push((channel, body.clone()));
        }
        self.publish(slot, channel, body, false);
    }
}
