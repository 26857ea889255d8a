//! Every rule by which a node knows the others, one by one: against nodes that are only scripts.

mod bad_input;
mod hearing_oneself;
mod losing;
mod syncing;
mod telling;
mod view;

use std::collections::BTreeMap;

use super::{Diff, Heard, NotReady, Roster};
use crate::ids::{NodeId, Uid};
use crate::millis::Millis;
use crate::presence::{
    Beat, Delta, Epoch, Kinds, Message, Options, Snapshot, SyncAnswer, SyncReq, Unanswered, Users,
    digest_of,
};

fn node(id: &str) -> NodeId {
    NodeId::parse(id).expect("a node id")
}

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("a uid")
}

/// Another node, as it would speak.
#[derive(Clone, Debug)]
struct Other {
    id: NodeId,
    epoch: u64,
    seq: u64,
    users: BTreeMap<String, Kinds>,
    ready: bool,
    /// All deltas so far.
    said: Vec<Delta>,
}

impl Other {
    fn new(id: &str, epoch: u64) -> Other {
        Other {
            id: node(id),
            epoch,
            seq: 0,
            users: BTreeMap::new(),
            ready: true,
            said: Vec::new(),
        }
    }

    /// Its next delta.
    fn delta(&mut self, changes: &[(&str, Kinds)]) -> Message {
        self.seq += 1;
        for (user, kinds) in changes {
            if kinds.is_none() {
                self.users.remove(*user);
            } else {
                self.users.insert((*user).to_owned(), *kinds);
            }
        }
        let delta = Delta {
            node: self.id.clone(),
            epoch: Epoch(self.epoch),
            seq: self.seq,
            changes: changes
                .iter()
                .map(|(user, kinds)| (uid(user), *kinds))
                .collect(),
        };
        self.said.push(delta.clone());
        Message::Delta(delta)
    }

    fn beat(&self) -> Message {
        Message::Beat(self.beat_itself())
    }

    fn beat_itself(&self) -> Beat {
        let users = self.users.iter();
        Beat {
            node: self.id.clone(),
            epoch: Epoch(self.epoch),
            seq: self.seq,
            digest: users.fold(0, |sum, (user, kinds)| sum ^ digest_of(user, *kinds)),
            users: self.users.len() as u64,
            anonymous: [0; 2],
            ready: self.ready,
            server_id: "s1".into(),
            key_fingerprint: 7,
            at: Millis(0),
        }
    }

    fn bye(&self) -> Message {
        Message::Bye {
            node: self.id.clone(),
            epoch: Epoch(self.epoch),
        }
    }

    /// The deltas behind `have`, or a part of at most `size` users.
    fn answer(&self, ask: &SyncReq, size: usize) -> SyncAnswer {
        if ask.epoch != Epoch(self.epoch) {
            return SyncAnswer::Other {
                epoch: Epoch(self.epoch),
            };
        }
        if let (Some(have), 0) = (ask.have_seq, ask.part) {
            let missing = self.said.iter().filter(|delta| delta.seq > have);
            return SyncAnswer::Deltas(missing.cloned().collect());
        }
        let mut users = Users::default();
        let after = ask.after.as_ref().map_or("", Uid::as_str);
        let mut rest = self.users.iter().filter(|(user, _)| user.as_str() > after);
        for (user, kinds) in rest.by_ref().take(size) {
            users.push(user, *kinds);
        }
        let more = u32::from(rest.next().is_some());
        SyncAnswer::Part(Snapshot {
            node: self.id.clone(),
            epoch: Epoch(self.epoch),
            seq: ask.have_seq.unwrap_or(self.seq),
            part: ask.part,
            of: ask.part + 1 + more,
            users,
            bans: Vec::new(),
        })
    }
}

/// A node under test, and its clock.
struct Node {
    roster: Roster,
    now: Millis,
    beaten: Millis,
    /// Whether its own beats come back.
    echo: bool,
}

impl Node {
    /// Epoch 1,000, at a moment when everything is possible.
    fn new(id: &str) -> Node {
        let now = Millis(100_000);
        let options = Options::new(node(id));
        let mut roster = Roster::new(node(id), &options, 1, now);
        roster.begin(Epoch(1_000), now);
        Node {
            roster,
            now,
            beaten: Millis(0),
            echo: true,
        }
    }

    /// One that has heard itself and nobody else for so long that it is ready.
    fn ready(id: &str) -> Node {
        let mut me = Node::new(id);
        me.pass(4_000);
        assert_eq!(me.roster.ready(), Ok(()));
        me
    }

    fn hear(&mut self, message: Message) -> Heard {
        self.roster.hear(message, self.now)
    }

    /// One's own beat, which comes back if it may.
    fn beat(&mut self) -> Beat {
        let beat = self.roster.beat(&"s1".into(), self.now);
        self.beaten = self.now;
        if self.echo {
            assert_eq!(self.hear(Message::Beat(beat.clone())), Heard::OwnEcho);
        }
        beat
    }

    /// Time passes as a driver lets it, while nobody else says anything.
    fn pass(&mut self, millis: u64) {
        self.pass_with(millis, &[]);
    }

    /// The same while these beat.
    fn pass_with(&mut self, millis: u64, others: &[&Other]) {
        let end = self.now.plus(millis);
        loop {
            if self.now >= self.beaten.plus(1_000) {
                self.beat();
                for other in others {
                    self.hear(other.beat());
                }
            }
            self.roster.tick(self.now);
            if self.now >= end {
                return;
            }
            let next = self.roster.next().max(self.now.plus(1));
            let next = next.min(self.beaten.plus(1_000).max(self.now.plus(1)));
            self.now = next.min(end);
        }
    }

    /// Whom it asks within a second, if anybody.
    fn asks(&mut self) -> Vec<(NodeId, SyncReq)> {
        for _ in 0..100 {
            let asks = self.roster.take_asks(self.now);
            if !asks.is_empty() {
                return asks;
            }
            self.pass(10);
        }
        Vec::new()
    }

    /// The one question that it has now.
    fn ask(&mut self) -> SyncReq {
        let asks = self.asks();
        assert_eq!(asks.len(), 1, "{asks:?}");
        asks.into_iter().next().expect("one").1
    }

    fn answer(&mut self, other: &Other, answer: SyncAnswer) {
        self.roster.answered(&other.id, Ok(answer), self.now);
    }

    fn unanswered(&mut self, other: &Other, why: Unanswered) {
        self.roster.answered(&other.id, Err(why), self.now);
    }

    /// Answers all that it asks, in parts of two users, until it asks no more.
    fn sync(&mut self, others: &[&Other]) {
        loop {
            let asks = self.asks();
            if asks.is_empty() {
                return;
            }
            for (id, ask) in asks {
                let other = others.iter().find(|other| other.id == id).expect("known");
                let answer = other.answer(&ask, 2);
                self.roster.answered(&id, Ok(answer), self.now);
            }
        }
    }

    /// Everybody in the view, as `alice:ws@n2+n3`.
    fn view(&self) -> Vec<String> {
        let page = self.roster.page(None, 1_000, None);
        assert_eq!(page.next, None);
        let users = page.users.iter().map(|(user, kinds)| {
            let nodes = self.roster.uid(user).map(|(node, _)| node.as_str());
            let mut nodes: Vec<_> = nodes.collect();
            nodes.sort_unstable();
            format!("{user}:{kinds}@{}", nodes.join("+"))
        });
        users.collect()
    }

    fn diffs(&mut self) -> Vec<(String, Kinds, Kinds)> {
        let diffs = self.roster.take_diffs();
        let diff = |diff: Diff| (diff.uid.to_string(), diff.before, diff.now);
        diffs.into_iter().map(diff).collect()
    }
}

const WS: Kinds = Kinds::WS;
const POLL: Kinds = Kinds::POLL;
const BOTH: Kinds = Kinds::BOTH;
const GONE: Kinds = Kinds::NONE;
