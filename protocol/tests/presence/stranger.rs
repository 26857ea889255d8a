//! What does not belong on the bus: garbage, unknown versions, messages that are late, and a liar whose digest never matches.

use crate::world::{Happening, World};
use bytes::Bytes;
use tengen_protocol::NodeId;
use tengen_protocol::presence::{Beat, Channel, Epoch, Message};

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
}
