//! What does not belong on the bus: garbage, unknown versions, messages that are late, and a liar whose digest never matches.

use crate::trouble::Mend;
use crate::world::{Happening, World};
use bytes::Bytes;
use tengen_protocol::NodeId;
use tengen_protocol::presence::{Beat, Channel, Epoch, Message};

/// A node whose digest does not match is asked so often at once, ...
const MOST_ASKED: u64 = 6;
/// ... and then no more often than this.
const ASKED_EVERY_MS: u64 = 4_000;

impl World {
    /// Somebody says something, to all.
    pub(crate) fn stranger(&mut self) {
        if !self.is_hostile() {
            return;
        }
        let pause = self.chance.between(50, 1_000);
        self.at(self.now + pause, Happening::Stranger);
        let channel = self.chance.one_of(&[Channel::Presence, Channel::Changes]);
        let (channel, body) = match self.chance.between(0, 4) {
            0 => (channel, self.garbage()),
            // A version that nobody knows yet.
            1 => (
                Channel::Presence,
                Bytes::from_static(&[0x83, 0x02, 0x01, 0x01]),
            ),
            2 => (Channel::Presence, self.lie()),
            _ if self.heard.is_empty() => return,
            3 => {
                let at = self.chance.next() as usize % self.heard.len();
                let (channel, body) = self.heard[at].clone();
                let length = self.chance.next() as usize % body.len();
                (channel, body.slice(..length))
            }
            // Deltas and beats of a while ago, perhaps of a process that is no more.
            _ => {
                let (channel, body) = self.heard.swap_remove(0);
                if channel == Channel::Changes {
                    return;
                }
                (channel, body)
            }
        };
        self.totals.strange += 1;
        let from = self.chance.next() as usize % self.plan.slots;
        self.publish(from, channel, &body, true);
    }

    fn garbage(&mut self) -> Bytes {
        let length = self.chance.between(0, 60);
        (0..length).map(|_| self.chance.next() as u8).collect()
    }

    /// A beat of a node that nobody can ask, with a digest that matches nothing.
    fn lie(&mut self) -> Bytes {
        let beat = Beat {
            node: NodeId::parse("liar").unwrap(),
            epoch: Epoch(self.chance.between(1, 1 << 41)),
            seq: self.chance.between(0, 5),
            digest: self.chance.next(),
            users: self.chance.between(0, 9),
            anonymous: [0, 0],
            ready: false,
            server_id: "s9".into(),
            key_fingerprint: 0,
            at: self.millis(),
        };
        Message::Beat(beat).encode()
    }

    /// For a while what a node says of its users is not what it has.
    pub(crate) fn sicken(&mut self) {
        let until = self.now + self.chance.between(5_000, 20_000);
        let alive = self.alive();
        if until > self.hostile_until || alive.is_empty() {
            return;
        }
        let slot = self.chance.one_of(&alive);
        if self.nodes[slot].sick_until > self.now {
            return;
        }
        self.totals.sick += 1;
        self.say(|| format!("node {slot} says wrong digests"));
        self.nodes[slot].sick_until = until;
        self.nodes[slot].asked_by.clear();
        self.at(until, Happening::Mend(Mend::Healed(slot, self.now)));
    }

    /// A beat of a sick node, with a digest that its users do not have.
    pub(crate) fn falsified(&self, slot: usize, body: &Bytes) -> Option<Bytes> {
        if self.nodes[slot].sick_until <= self.now {
            return None;
        }
        match Message::decode(body) {
            Ok(Message::Beat(beat)) => {
                let digest = beat.digest ^ 1;
                Some(Message::Beat(Beat { digest, ..beat }).encode())
            }
            _ => None,
        }
    }

    /// It was asked for all it has a few times, and then less and less often.
    pub(crate) fn judge_healed(&mut self, slot: usize, since: u64) {
        let bound = MOST_ASKED + (self.now - since) / ASKED_EVERY_MS;
        // What gets lost is asked for too.
        if self.plan.loss.is_none() && !self.plan.links && !self.plan.bus {
            let asked = &self.nodes[slot].asked_by;
            let storm = asked.iter().find(|(_, count)| **count > bound);
            assert!(
                storm.is_none(),
                "node {slot} is asked again and again: {storm:?}"
            );
        }
    }
}
