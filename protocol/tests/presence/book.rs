//! What nodes said and were asked, kept while a script wants it, and what must be true of every message.

use crate::bus::Peer;
use crate::world::World;
use bytes::Bytes;
use std::collections::BTreeMap;
use tengen_protocol::Uid;
use tengen_protocol::presence::{
    Beat, Channel, Delta, Epoch, Feed, Kinds, Message, Said, SyncAnswer, SyncReq, ToldPage,
};

/// Changes what is published on its way from one to another, or loses it.
pub(crate) type Tamper = Box<dyn FnMut(Peer, Peer, Channel, &Bytes) -> Option<Bytes>>;

/// Each with when, and by whom.
#[derive(Default)]
pub(crate) struct Book {
    /// Whether anything is kept.
    pub(crate) is_open: bool,
    pub(crate) deltas: Vec<(u64, usize, Delta)>,
    pub(crate) beats: Vec<(u64, usize, Beat)>,
    pub(crate) told: Vec<(u64, usize, Said)>,
    pub(crate) asked: Vec<(u64, usize, SyncReq)>,
    /// To whom, too.
    pub(crate) answers: Vec<(u64, usize, Peer, SyncAnswer)>,
    /// Pages of the base, and to whom.
    pub(crate) pages: Vec<(u64, Peer, ToldPage)>,
    /// Who began to load the base.
    pub(crate) loads: Vec<(u64, Peer)>,
    /// Answers come so much later than what is published after them.
    pub(crate) answers_late_ms: u64,
}

/// What a node's deltas have said of its users since the first that had none missing before it.
#[derive(Default)]
pub(crate) struct Announced {
    epoch: Epoch,
    seq: u64,
    users: BTreeMap<Uid, Kinds>,
}

impl Announced {
    /// A user who is announced is another than was announced.
    fn hear(&mut self, slot: usize, delta: &Delta) {
        if (delta.epoch, delta.seq) != (self.epoch, self.seq + 1) {
            self.users.clear();
        }
        (self.epoch, self.seq) = (delta.epoch, delta.seq);
        for (uid, kinds) in &delta.changes {
            let before = self.users.insert(uid.clone(), *kinds);
            assert_ne!(before, Some(*kinds), "node {slot} announces {uid} again");
        }
    }
}

impl World {
    /// A node says this.
    pub(crate) fn note_said(&mut self, slot: usize, channel: Channel, body: &Bytes) {
        assert!(
            self.bus.is_up(slot),
            "node {slot} says something while its bus is down"
        );
        if !self.plan.closely {
            return;
        }
        if channel == Channel::Changes {
            if self.book.is_open {
                let feed = Feed::decode(body).unwrap();
                self.book.told.push((self.now, slot, feed.said));
            }
            return;
        }
        match Message::decode(body).unwrap() {
            Message::Delta(delta) => {
                self.nodes[slot].announced.hear(slot, &delta);
                if self.book.is_open {
                    self.book.deltas.push((self.now, slot, delta));
                }
            }
            Message::Beat(beat) if self.book.is_open => {
                self.book.beats.push((self.now, slot, beat));
            }
            Message::Beat(_) | Message::Bye { .. } => {}
        }
    }

    pub(crate) fn note_asked(&mut self, slot: usize, body: &Bytes) {
        if self.book.is_open {
            let asked = SyncReq::decode(body).unwrap();
            self.book.asked.push((self.now, slot, asked));
        }
    }

    pub(crate) fn note_answer(&mut self, slot: usize, to: Peer, body: &Bytes) {
        if self.book.is_open {
            let answer = SyncAnswer::decode(body).unwrap();
            self.book.answers.push((self.now, slot, to, answer));
        }
    }

    pub(crate) fn note_page(&mut self, to: Peer, body: &Bytes) {
        if self.book.is_open {
            let page = ToldPage::decode(body).unwrap();
            self.book.pages.push((self.now, to, page));
        }
    }

    pub(crate) fn note_load(&mut self, peer: Peer) {
        if self.book.is_open {
            self.book.loads.push((self.now, peer));
        }
    }
}
