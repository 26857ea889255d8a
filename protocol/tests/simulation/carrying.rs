//! The bus carries messages from one end to the others, late, twice or not at all; what was lost without a trace is noted.

use crate::bus::{Audience, Message, Passage, Peer};
use crate::node::ForNode;
use crate::world::{Happening, World};

impl World {
    /// Publishes; what is under way when a connection breaks is lost.
    pub(crate) fn send(&mut self, from: Peer, message: Message) {
        if self.bus.is_loose() {
            let audience = self.bus.audience(&message);
            return self.fan_out(Some(from), &audience, &message);
        }
        let at = self.bus.upwards(from, self.now, &mut self.chance);
        let epoch = self.bus.epoch(from);
        let passage = Passage::AtServer {
            from,
            epoch,
            message,
        };
        self.at(at, Happening::Bus(passage));
    }

    pub(crate) fn passes(&mut self, passage: Passage) {
        match passage {
            Passage::AtServer {
                from,
                epoch,
                message,
            } => {
                if !self.bus.is_current(from, epoch) {
                    return self.lost_on_the_way(&message);
                }
                let audience = self.bus.audience(&message);
                self.fan_out(None, &audience, &message);
            }
            Passage::Arrives { to, epoch, message } => {
                if self.bus.is_current(to, epoch) && to < self.nodes.len() {
                    self.at_node(self.now, to, ForNode::Heard(message));
                }
            }
        }
    }

    fn lost_on_the_way(&mut self, message: &Message) {
        match message {
            Message::Batch { pushes, .. } => {
                for push in pushes.iter() {
                    self.ledger.pushes.lost(push.name);
                }
            }
            Message::Plain(push) => self.ledger.pushes.lost(push.name),
            _ => {}
        }
    }

    fn fan_out(&mut self, from: Option<Peer>, audience: &Audience, message: &Message) {
        for to in self.bus.listeners(audience) {
            if !self.bus.is_up(to) {
                self.say_nobody(message, to);
                continue;
            }
            // The first of a publisher nobody can miss: it may have been before one's time.
            let batch = matches!(message, Message::Batch { publisher, .. }
                if self.known.contains(&(*publisher, to)));
            let faulty = self.plan.bus_faults && batch && self.is_hostile();
            let copies = match () {
                () if faulty && self.chance.one_in(80) => 0,
                () if faulty && self.chance.one_in(80) => 2,
                () => 1,
            };
            let copies = if self.goes_astray(message) { 0 } else { copies };
            self.may_be_missed(to, message, copies > 0);
            if matches!(message, Message::Fence { .. }) && self.is_hasty(4) {
                let late = self.haste.between(300, 2_000);
                self.bus.holds_up(to, self.now + late);
            }
            for _ in 0..copies {
                let at = match from {
                    Some(from) => self.bus.straight(from, to, self.now, &mut self.chance),
                    None => self.bus.downwards(to, self.now, &mut self.chance),
                };
                let passage = Passage::Arrives {
                    to,
                    epoch: self.bus.epoch(to),
                    message: message.clone(),
                };
                self.at(at, Happening::Bus(passage));
            }
        }
    }

    /// A lost batch is noticed by the next of its publisher.
    fn may_be_missed(&mut self, to: Peer, message: &Message, comes: bool) {
        let Message::Batch {
            publisher, pushes, ..
        } = message
        else {
            return;
        };
        if comes {
            self.known.insert((*publisher, to));
            self.unnoticed.remove(&(*publisher, to));
        } else {
            let lost = self.unnoticed.entry((*publisher, to)).or_default();
            lost.extend(pushes.iter().map(|push| push.name));
        }
    }

    /// A publisher died before it could say its last number once more: what was lost at its end,
    /// nobody can know.
    pub(crate) fn is_never_noticed(&mut self, publisher: u128) {
        let lost = self.unnoticed.extract_if(.., |(of, _), _| *of == publisher);
        for name in lost.flat_map(|(_, names)| names) {
            self.ledger.pushes.lost(name);
        }
    }

    /// A question about a session, or its answer, gets lost.
    fn goes_astray(&mut self, message: &Message) -> bool {
        let question = matches!(message, Message::Request { .. } | Message::Answer { .. });
        question && self.is_hasty(8)
    }

    /// The bus knows that nobody listens.
    fn say_nobody(&mut self, message: &Message, at: Peer) {
        let Message::Request {
            from,
            to: Some(_),
            id,
            ..
        } = message
        else {
            return;
        };
        let answer = Message::Answer {
            to: *from,
            id: *id,
            body: None,
        };
        self.fan_out(Some(at), &Audience::One(*from), &answer);
    }
}
