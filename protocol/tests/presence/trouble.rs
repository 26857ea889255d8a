//! What goes wrong with nodes and the bus, for how long, and how it is mended.

use crate::bus::Peer;
use crate::world::{Happening, World};
use bytes::Bytes;
use tengen_protocol::presence::{Feed, Said};

/// What is done when a trouble is over.
#[derive(Clone, Debug)]
pub(crate) enum Mend {
    Start(usize),
    /// These ways carry again; these slots' processes are of the life that they were.
    Cut(Vec<(Peer, Peer)>),
    Slow(Vec<(Peer, Peer)>),
    Sound(Vec<(usize, u32)>),
    Bus(Peer),
    /// This node says the truth again; since when it did not.
    Healed(usize, u64),
    All,
}

/// When a teller is to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Reload,
    Change,
    Mark,
}

/// One kind of trouble.
type Kind = fn(&mut World);

impl World {
    pub(crate) fn trouble(&mut self) {
        if !self.is_hostile() {
            return;
        }
        let pause = self.chance.between(300, 5_000);
        self.at(self.now + pause, Happening::Trouble);
        let plan = &self.plan;
        let kinds: [(bool, Kind); 9] = [
            (plan.links, World::cut_ways),
            (plan.links, World::fall_apart),
            (plan.bus, World::lose_the_bus),
            (plan.crashes, World::crash),
            (plan.pauses, World::pause),
            (plan.joins, World::join_or_leave),
            (plan.tellers, World::arm),
            (plan.doubles, World::double),
            (plan.strangers, World::sicken),
        ];
        let possible: Vec<Kind> = kinds
            .into_iter()
            .filter(|(may, _)| *may)
            .map(|(_, kind)| kind)
            .collect();
        if !possible.is_empty() {
            self.chance.one_of(&possible)(self);
        }
    }

    pub(crate) fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Start(slot) => {
                if self.nodes[slot].member.is_none() {
                    self.nodes[slot].comes_back = false;
                    self.start(slot);
                }
            }
            Mend::Cut(ways) => ways
                .into_iter()
                .for_each(|(from, to)| self.bus.mend(from, to)),
            Mend::Slow(ways) => ways
                .into_iter()
                .for_each(|(from, to)| self.bus.speed_up(from, to)),
            Mend::Sound(nodes) => {
                for (slot, life) in nodes {
                    self.relieve(slot, life);
                }
            }
            Mend::Bus(peer) => self.reconnect(peer),
            Mend::Healed(slot, since) => self.judge_healed(slot, since),
            Mend::All => self.mend_all(),
        }
    }

    /// All other troubles end by themselves before.
    fn mend_all(&mut self) {
        self.bus.loss = None;
        for slot in 0..self.nodes.len() {
            self.nodes[slot].dies_at = None;
            // What has exited or was killed at the last moment may stay away.
            let back = self.nodes[slot].comes_back;
            let last = self.alive().is_empty();
            if self.nodes[slot].member.is_none() && (back || last) {
                self.mend(Mend::Start(slot));
            }
        }
    }

    pub(crate) fn alive(&self) -> Vec<usize> {
        let lives = |slot: &usize| self.nodes[*slot].member.is_some();
        (0..self.nodes.len()).filter(lives).collect()
    }

    fn somebody(&mut self) -> Option<usize> {
        let alive = self.alive();
        (!alive.is_empty()).then(|| self.chance.one_of(&alive))
    }

    /// How long a trouble lasts that begins now.
    fn lasts(&mut self, from: u64, to: u64) -> u64 {
        let until = self.now + self.chance.between(from, to);
        until.min(self.hostile_until)
    }

    /// Until then others may not hear of a node's users.
    pub(crate) fn disturb(&mut self, slots: &[usize], until: u64) {
        let mut disturbed = Vec::new();
        for slot in slots.iter().copied().filter(|slot| *slot < self.plan.slots) {
            self.nodes[slot].troubles += 1;
            disturbed.push((slot, self.nodes[slot].life));
        }
        self.at(until, Happening::Mend(Mend::Sound(disturbed)));
    }

    fn relieve(&mut self, slot: usize, life: u32) {
        let node = &mut self.nodes[slot];
        // A process that began later has forgotten the troubles of the one before.
        if node.life == life && node.troubles > 0 {
            node.troubles -= 1;
            node.sound_since = self.now;
        }
    }

    pub(crate) fn cut(&mut self, ways: Vec<(Peer, Peer)>, until: u64) {
        let mut from: Vec<usize> = ways.iter().map(|(from, _)| *from).collect();
        from.dedup();
        for (from, to) in &ways {
            self.bus.cut(*from, *to);
        }
        self.disturb(&from, until);
        self.at(until, Happening::Mend(Mend::Cut(ways)));
    }

    /// One way between two, or all ways from or to one; or they are only slow.
    fn cut_ways(&mut self) {
        let until = self.lasts(200, 15_000);
        let peers = self.plan.slots + self.plan.consumers;
        let Some(one) = self.somebody() else { return };
        let other = match self.chance.one_in(4) {
            true => self.plan.slots + self.chance.next() as usize % self.plan.consumers,
            false => self.chance.next() as usize % self.plan.slots,
        };
        // Its own messages come back to it, or do not.
        let spares = self.chance.one_in(2).then_some(one);
        let others = (0..peers).filter(|peer| Some(*peer) != spares);
        let ways: Vec<(Peer, Peer)> = match self.chance.between(0, 4) {
            0 => vec![(one, other)],
            1 => vec![(other, one)],
            2 => others.map(|peer| (one, peer)).collect(),
            3 => others.map(|peer| (peer, one)).collect(),
            _ => others
                .filter(|peer| *peer != one)
                .flat_map(|peer| [(one, peer), (peer, one)])
                .collect(),
        };
        self.totals.cut += 1;
        self.say(|| format!("ways fail until {}: {ways:?}", until - crate::plan::BEGIN));
        if self.chance.one_in(4) {
            for (from, to) in &ways {
                self.bus.slow_down(*from, *to);
            }
            self.at(until, Happening::Mend(Mend::Slow(ways)));
        } else {
            self.cut(ways, until);
        }
    }

    /// Two or three parts that do not hear each other, or of which only one hears the other.
    fn fall_apart(&mut self) {
        let until = self.lasts(1_000, 20_000);
        let peers = self.plan.slots + self.plan.consumers;
        let parts = self.chance.between(2, 3);
        let one_way = self.chance.one_in(3);
        let part: Vec<u64> = (0..peers).map(|_| self.chance.next() % parts).collect();
        let mut ways = Vec::new();
        for from in 0..peers {
            for to in 0..peers {
                let apart = match one_way {
                    true => part[from] < part[to],
                    false => part[from] != part[to],
                };
                if apart {
                    ways.push((from, to));
                }
            }
        }
        self.totals.parted += 1;
        self.say(|| {
            format!(
                "falls apart until {}: {part:?}, one way: {one_way}",
                until - crate::plan::BEGIN
            )
        });
        self.cut(ways, until);
    }

    fn lose_the_bus(&mut self) {
        let peers = self.plan.slots + self.plan.consumers;
        let until = self.lasts(50, 12_000);
        let who: Vec<Peer> = match self.chance.one_in(4) {
            // All at once: the server is started anew.
            true => (0..peers).collect(),
            false => vec![self.chance.next() as usize % peers],
        };
        let who: Vec<Peer> = who
            .into_iter()
            .filter(|peer| self.bus.is_up(*peer))
            .collect();
        self.disturb(&who, until);
        for peer in who {
            self.totals.disconnected += 1;
            self.say(|| format!("peer {peer} loses the bus"));
            self.bus.disconnects(peer);
            let now = self.millis();
            if let Some(node) = self.nodes.get_mut(peer)
                && let Some(member) = node.member.as_mut()
            {
                member.bus(false, "", now);
                self.carry_out(peer);
            }
            let late = self.chance.between(0, 300);
            let back = (until + late).min(self.hostile_until);
            self.at(back, Happening::Mend(Mend::Bus(peer)));
        }
    }

    /// A consumer connects for the first time, or anybody again.
    fn reconnect(&mut self, peer: Peer) {
        if self.bus.is_up(peer) {
            return;
        }
        let server = self.chance.next() as u32 % 3;
        let now = self.millis();
        if peer >= self.plan.slots {
            self.bus.connects(peer);
            return self.consumer_connects(peer);
        }
        // A process that has begun since then has connected by itself.
        if let Some(member) = self.nodes[peer].member.as_mut() {
            self.bus.connects(peer);
            member.bus(true, &format!("s{server}"), now);
            self.carry_out(peer);
        }
    }

    fn crash(&mut self) {
        let alive = self.alive();
        let most = alive.len().saturating_sub(1);
        let count = match self.chance.one_in(4) {
            true => most.min(1 + alive.len() / 2),
            false => most.min(1),
        };
        self.totals.crashed_together += u64::from(count > 1);
        for _ in 0..count {
            if let Some(slot) = self.somebody() {
                self.kill(slot);
            }
        }
    }

    /// Kills a process; most come again under the same id, some with a clock that was set back.
    fn kill(&mut self, slot: usize) {
        self.totals.crashed += 1;
        self.stop(slot);
        if self.chance.one_in(4) {
            return;
        }
        let back = self.lasts(50, 12_000);
        let node = &mut self.nodes[slot];
        node.comes_back = true;
        self.totals.restarted += 1;
        if self.chance.one_in(2) {
            let by = self.chance.between(1_000, 7_200_000);
            self.nodes[slot].clock -= by as i64;
            self.totals.stepped_back += 1;
        }
        self.at(back, Happening::Mend(Mend::Start(slot)));
    }

    fn pause(&mut self) {
        let until = self.lasts(100, 20_000);
        let Some(slot) = self.somebody() else { return };
        if self.nodes[slot].paused_until > self.now {
            return;
        }
        self.say(|| {
            format!(
                "node {slot} stands still until {}",
                until - crate::plan::BEGIN
            )
        });
        self.totals.paused += 1;
        self.nodes[slot].paused_until = until;
        self.disturb(&[slot], until);
    }

    /// Some join at once, or one leaves with a Bye.
    fn join_or_leave(&mut self) {
        if self.chance.one_in(2) {
            let empty: Vec<usize> = (0..self.nodes.len())
                .filter(|slot| self.nodes[*slot].member.is_none() && !self.nodes[*slot].comes_back)
                .collect();
            let count = match self.chance.one_in(3) {
                true => empty.len(),
                false => empty.len().min(1),
            };
            for slot in empty.into_iter().take(count) {
                self.totals.joined += 1;
                let within = self.chance.between(0, 400);
                self.at(self.now + within, Happening::Mend(Mend::Start(slot)));
            }
            return;
        }
        let alive = self.alive();
        if alive.len() < 2 {
            return;
        }
        let slot = self.chance.one_of(&alive);
        if self.nodes[slot].takes_clients(self.now) {
            self.leave(slot);
        }
    }

    /// A clean end: clients are handed over or go, then the node says Bye.
    fn leave(&mut self, slot: usize) {
        for user in 0..self.users.len() {
            while let Some(client) = self.users[user]
                .clients
                .iter()
                .position(|it| it.node == slot)
            {
                match self.chance.one_in(3) {
                    true => drop(self.close(user, client)),
                    false => {
                        self.moves(user, client);
                        let still = self.users[user].clients.get(client);
                        if still.is_some_and(|it| it.node == slot) {
                            self.close(user, client);
                        }
                    }
                }
            }
        }
        let now = self.millis();
        let Some(member) = self.nodes[slot].member.as_mut() else {
            return;
        };
        member.leave(now);
        self.carry_out(slot);
        self.totals.left += 1;
        self.stop(slot);
    }

    /// Whoever is the teller at its next such message dies of it.
    fn arm(&mut self) {
        let step = self
            .chance
            .one_of(&[Step::Reload, Step::Change, Step::Change, Step::Mark]);
        for slot in 0..self.nodes.len() {
            self.nodes[slot].dies_at = Some(step);
        }
    }

    /// Whether the teller dies here: with its message still unsaid, or just said.
    pub(crate) fn dies_telling(&mut self, slot: usize, body: &Bytes) -> bool {
        let Some(step) = self.nodes[slot].dies_at else {
            return false;
        };
        let feed = Feed::decode(body).expect("a node tells what can be read");
        let is = match feed.said {
            Said::Reload => Step::Reload,
            Said::Change { .. } => Step::Change,
            Said::Mark => Step::Mark,
        };
        if is != step || !self.is_hostile() || self.alive().len() < 2 {
            return false;
        }
        for node in &mut self.nodes {
            node.dies_at = None;
        }
        self.totals.tellers_died += 1;
        self.say(|| format!("teller {slot} dies at {step:?}"));
        if self.chance.one_in(2) {
            self.hear_the_feed(slot, body);
            self.publish(
                slot,
                tengen_protocol::presence::Channel::Changes,
                body,
                false,
            );
        }
        self.kill(slot);
        true
    }

    /// Another process begins under the id of one that lives.
    fn double(&mut self) {
        let empty = (0..self.nodes.len())
            .find(|slot| self.nodes[*slot].member.is_none() && !self.nodes[*slot].comes_back);
        let (Some(slot), Some(of)) = (empty, self.somebody()) else {
            return;
        };
        let ids: Vec<&tengen_protocol::NodeId> = self.nodes.iter().map(|node| &node.id).collect();
        if ids.iter().filter(|id| ***id == self.nodes[of].id).count() > 1 {
            return;
        }
        self.say(|| format!("slot {slot} takes the id of node {of}"));
        self.totals.doubled += 1;
        self.nodes[slot].id = self.nodes[of].id.clone();
        self.start(slot);
        // Nobody can say which of the two stays, or what the others hear of either until then.
        let until = self.hostile_until;
        self.disturb(&[slot, of], until);
    }
}
