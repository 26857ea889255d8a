//! A service that follows the feed from outside: subscribes, loads the base, loses its connection, comes back.

use crate::bus::Peer;
use crate::world::{Happening, What, World};
use std::collections::BTreeSet;
use tengen_protocol::presence::{AskId, Door, Feed, Follower, ToldPage};
use tengen_protocol::{Millis, Uid};

/// How long it waits for an answer.
const LIMIT_MS: u64 = 1_000;

pub(crate) struct Consumer {
    follower: Option<Follower>,
    online: BTreeSet<Uid>,
    timer: Option<u64>,
    asked: BTreeSet<AskId>,
}

impl Consumer {
    pub(crate) fn new() -> Consumer {
        Consumer {
            follower: None,
            online: BTreeSet::new(),
            timer: None,
            asked: BTreeSet::new(),
        }
    }
}

impl World {
    fn consumer(&mut self, peer: Peer) -> &mut Consumer {
        &mut self.consumers[peer - self.plan.slots]
    }

    /// Its connection to the bus is there, for the first time or again.
    pub(crate) fn consumer_connects(&mut self, peer: Peer) {
        let (now, seed) = (self.millis(), self.seed ^ peer as u64);
        let consumer = self.consumer(peer);
        match &mut consumer.follower {
            Some(follower) => {
                // It learns of the outage only when it is over.
                follower.bus(false, now);
                follower.bus(true, now);
            }
            None => {
                let follower = Follower::new(None, seed, now);
                consumer.follower = Some(follower.with_ranges_of(1 + seed % 3));
            }
        }
        self.drive(peer);
    }

    /// It has ended, and begins with nothing.
    pub(crate) fn consumer_begins_again(&mut self, peer: Peer) {
        *self.consumer(peer) = Consumer::new();
        self.consumer_connects(peer);
    }

    pub(crate) fn consumer_happens(&mut self, peer: Peer, what: What) {
        let now = self.millis();
        let consumer = self.consumer(peer);
        let Some(follower) = consumer.follower.as_mut() else {
            return;
        };
        match what {
            What::Says { body, .. } => {
                // A stranger's is no message at all.
                if let Ok(feed) = Feed::decode(&body) {
                    follower.hear(&feed, &mut consumer.online, now);
                }
            }
            What::Answers { id, answer } => {
                if consumer.asked.remove(&id) {
                    let page = answer.map(|body| ToldPage::decode(&body).expect("a page"));
                    let page = page.as_ref().map_err(|why| *why);
                    follower.answered(id.0, page, &mut consumer.online, now);
                }
            }
            What::Tick(at) if consumer.timer == Some(at) => consumer.timer = None,
            What::Tick(_) | What::Asks { .. } | What::Closed { .. } => return,
        }
        self.drive(peer);
    }

    fn drive(&mut self, peer: Peer) {
        let now = self.millis();
        let consumer = self.consumer(peer);
        let Some(follower) = consumer.follower.as_mut() else {
            return;
        };
        if let Some((asked, request)) = follower.take_ask(&consumer.online, now) {
            let first = request.after.is_none();
            consumer.asked.insert(AskId(asked));
            self.totals.based += u64::from(first);
            if first {
                self.note_load(peer);
            }
            self.say(|| format!("consumer {peer} loads {request:?}"));
            let of: Vec<Peer> = (0..self.plan.slots).collect();
            let question = (Door::Told, &request.encode());
            self.ask(peer, AskId(asked), question, &of, LIMIT_MS);
        }
        let consumer = self.consumer(peer);
        let next = consumer
            .follower
            .as_ref()
            .map_or(Millis::MAX, Follower::next);
        if next == Millis::MAX {
            return;
        }
        let at = next.0.max(now.0) + 1;
        if consumer.timer.is_none_or(|set| at < set) {
            consumer.timer = Some(at);
            let what = What::Tick(at);
            let (to, life) = (peer, 0);
            self.at(at, Happening::Within { to, life, what });
        }
    }

    /// At the end each has the truth.
    pub(crate) fn judge_consumers(&self, truth: &BTreeSet<Uid>) {
        for (index, consumer) in self.consumers.iter().enumerate() {
            let other: Vec<&Uid> = truth
                .symmetric_difference(&consumer.online)
                .take(5)
                .collect();
            assert!(other.is_empty(), "consumer {index} has it other: {other:?}");
        }
    }
}
