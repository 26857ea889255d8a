//! How a node takes pushes: one queue in the order of arrival, numbers checked, repeats dropped, fences passed.

use super::ForNode;
use super::asking::{Came, ReplyTo};
use super::holding::Cutting;
use crate::bus::{Face, Message};
use crate::pushing::Push;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use tengen_protocol::rules::{Rule, holds};
use tengen_protocol::server::{Pushed, Standing};
use tengen_protocol::takeover::{Forward, Identity, Journal};
use tengen_protocol::{CloseCode, Codec, Millis, SessionId, Target, Uid};

/// How long a message id is remembered (design §4).
const ID_WINDOW: u64 = 10_000;
/// Who has listened for longer than this should have heard the batch that an empty one repeats.
const TAIL_WITHIN: u64 = 6_000;
/// How long a fence may be under way.
const FENCE_MS: u64 = 500;

/// What waits for a fence.
#[derive(Debug)]
pub(crate) enum Fenced {
    Interest,
    Kick(Uid),
    Cut(Cutting),
}

#[derive(Default)]
pub(crate) struct Ingest {
    queue: VecDeque<Message>,
    taken_at: u64,
    since: u64,
    sequences: BTreeMap<u128, u64>,
    seen: HashMap<(u128, Target), u64>,
    fences: BTreeMap<u64, Fenced>,
    pub(crate) journal: Journal,
    gap_owed: bool,
}

impl Ingest {
    pub(crate) fn new(now: Millis) -> Ingest {
        Ingest {
            since: now.0,
            ..Ingest::default()
        }
    }
}

impl World {
    /// The node takes nothing of what it hears before then.
    pub(crate) fn ingest_lags(&mut self, node: usize, until: u64) {
        let ingest = &mut self.nodes[node].ingest;
        ingest.taken_at = ingest.taken_at.max(until);
    }

    pub(crate) fn heard(&mut self, node: usize, message: Message) {
        match message {
            Message::Batch { .. } | Message::Plain(_) | Message::Fence { .. } => {
                let lag = self.chance.between(0, self.plan.ingest_lag);
                let ingest = &mut self.nodes[node].ingest;
                ingest.taken_at = ingest.taken_at.max(self.now + lag);
                ingest.queue.push_back(message);
                let at = ingest.taken_at;
                self.at_node(at, node, ForNode::Ingest);
            }
            Message::Kick(uid) => self.fence(node, Fenced::Kick(uid)),
            Message::Request {
                face,
                from,
                to,
                id,
                body,
            } => {
                let everyone = to.is_none();
                if everyone && from == node {
                    return;
                }
                let reply = ReplyTo {
                    peer: from,
                    id,
                    everyone,
                };
                match face {
                    Face::Takeover | Face::Session => self.asked_as_holder(node, reply, &body),
                    Face::Relay | Face::Who => self.asked_as_home(node, reply, &body),
                }
            }
            Message::Answer { id, body, .. } => {
                let came = body.map_or(Came::NoResponders, Came::Answer);
                self.answered(node, id, came);
            }
            Message::Forward { body, .. } => self.forwarded(node, &body),
        }
    }

    /// Takes the next message of the node's own queue.
    pub(crate) fn ingest(&mut self, node: usize) {
        let Some(message) = self.nodes[node].ingest.queue.pop_front() else {
            return;
        };
        match message {
            Message::Batch {
                publisher,
                seq,
                pushes,
            } => {
                let empty = pushes.is_empty();
                let now = self.now;
                let ingest = &mut self.nodes[node].ingest;
                let last = ingest.sequences.get(&publisher).copied();
                let long = now - ingest.since > TAIL_WITHIN;
                let lost = match last {
                    Some(last) if empty => seq > last,
                    Some(last) => seq > last + 1,
                    None => empty && seq > 0 && long,
                };
                let repeated = last.is_some_and(|last| seq <= last);
                ingest
                    .sequences
                    .insert(publisher, last.map_or(seq, |last| last.max(seq)));
                if lost {
                    self.say(|| format!("node {node} lacks a batch before {seq} of {publisher}"));
                    self.gap(node, "lost");
                }
                if repeated {
                    return;
                }
                for (index, push) in pushes.iter().enumerate() {
                    let place = (publisher, seq, index as u16);
                    self.deliver(node, push, &push.identity(Some(place)));
                }
            }
            Message::Plain(push) => self.take_plain(node, &push),
            Message::Fence { nonce, .. } => {
                let fenced = self.nodes[node].ingest.fences.remove(&nonce);
                if let Some(fenced) = fenced {
                    self.fenced(node, fenced, true);
                }
            }
            other => panic!("{other:?} is no push"),
        }
    }

    fn take_plain(&mut self, node: usize, push: &Rc<Push>) {
        // A node remembers the ids of its own users' pushes alone: strangers are dropped before.
        let ours = self.nodes[node]
            .homes
            .values()
            .any(|home| push.target.means(home.session.uid()));
        if !ours {
            let journal = &mut self.nodes[node].ingest.journal;
            let identity = journal.name(push.identity(None), Millis(self.now));
            return journal.note(&push.target, &identity, Millis(self.now));
        }
        if push.message_id != 0 {
            let now = self.now;
            let seen = &mut self.nodes[node].ingest.seen;
            seen.retain(|_, at| now - *at < ID_WINDOW);
            if seen
                .insert((push.message_id, push.target.clone()), now)
                .is_some()
            {
                return;
            }
        }
        self.deliver(node, push, &push.identity(None));
    }

    fn deliver(&mut self, node: usize, push: &Push, identity: &Identity) {
        let journal = &self.nodes[node].ingest.journal;
        let identity = &journal.name(*identity, Millis(self.now));
        let bounds = &self.plan.bounds;
        let mut woken = Vec::new();
        let mut slow = Vec::new();
        let mut on = BTreeSet::new();
        let mut passing = Vec::new();
        self.say(|| format!("node {node} applies push {:?} {identity:?}", push.name));
        for home in self.nodes[node].homes.values_mut() {
            let session = &mut home.session;
            if !push.target.means(session.uid()) || !push.filter.admits(session.client()) {
                continue;
            }
            if push.target == Target::All && !World::hears_all(session) {
                continue;
            }
            let frame = push.frame(session.codec());
            match session.push(frame, identity, bounds) {
                Pushed::Over | Pushed::Known | Pushed::Held | Pushed::Elsewhere => {}
                Pushed::Queued => woken.push(session.id().clone()),
                Pushed::Slow => {
                    slow.push(session.id().clone());
                    woken.push(session.id().clone());
                }
            }
            on.extend(session.forwards_to().cloned());
            if session.standing() != Standing::Home {
                passing.push(session.id().clone());
            }
            // One that was on its way keeps more beside its queue: a cut, held forwards.
            let most = if home.arrived || session.standing() != Standing::Home {
                2 * bounds.max_queue_bytes + (64 << 10)
            } else {
                bounds.max_queue_bytes
            };
            assert!(session.queue_bytes() <= most, "a queue grew over its bound");
        }
        for session in slow {
            self.excuse(&session);
        }
        let it = &mut self.nodes[node].ingest;
        it.journal.note(&push.target, identity, Millis(self.now));
        for id in passing {
            self.pass_on(node, &id);
        }
        let from = self.nodes[node].id.clone();
        for to in on {
            let forward = Forward::Push {
                from: from.clone(),
                target: push.target.clone(),
                filter: push.filter.clone(),
                identity: *identity,
                codec: Codec::Json,
                event: push.event.clone(),
            };
            self.forward(node, &to, &forward);
        }
        for id in woken {
            self.wake_soon(node, &id);
        }
    }

    pub(crate) fn gap(&mut self, node: usize, reason: &str) {
        let bounds = &self.plan.bounds;
        let mut woken = Vec::new();
        let mut on = BTreeSet::new();
        for home in self.nodes[node].homes.values_mut() {
            home.session.gap(reason, bounds);
            if home.session.standing() == Standing::Home {
                let told = home.session.queue_items();
                home.session.gap(reason, bounds);
                assert_eq!(home.session.queue_items(), told, "one hole, two gaps");
            }
            woken.push(home.session.id().clone());
            on.extend(home.session.forwards_to().cloned());
        }
        for to in on {
            let forward = Forward::Gap {
                from: self.nodes[node].id.clone(),
                target: Target::All,
                reason: reason.to_owned(),
                session: None,
            };
            self.forward(node, &to, &forward);
        }
        for id in woken {
            self.wake_soon(node, &id);
        }
    }

    /// Sends something behind everything that is under way to this node.
    pub(crate) fn fence(&mut self, node: usize, fenced: Fenced) {
        self.nonces += 1;
        let nonce = self.nonces;
        self.nodes[node].ingest.fences.insert(nonce, fenced);
        if self.bus.is_up(node) {
            self.send(node, Message::Fence { node, nonce });
        }
        self.at_node(self.now + FENCE_MS, node, ForNode::FenceLate(nonce));
    }

    pub(crate) fn fence_late(&mut self, node: usize, nonce: u64) {
        if let Some(fenced) = self.nodes[node].ingest.fences.remove(&nonce) {
            self.fenced(node, fenced, false);
        }
    }

    fn fenced(&mut self, node: usize, fenced: Fenced, passed: bool) {
        match fenced {
            Fenced::Interest if passed => self.interest_confirmed(node),
            Fenced::Interest => self.confirm_interest(node),
            Fenced::Kick(uid) => self.kick_here(node, &uid),
            Fenced::Cut(cutting) => self.cut_now(node, &cutting, passed),
        }
    }

    fn kick_here(&mut self, node: usize, uid: &Uid) {
        let mut kicked = Vec::new();
        for home in self.nodes[node].homes.values_mut() {
            let here = home.session.standing() != Standing::Moved;
            if here && home.session.uid() == Some(uid) && !home.session.is_over() {
                home.session.close(CloseCode::KICKED, "kicked");
                kicked.push(home.session.id().clone());
            }
        }
        for id in kicked {
            self.wake_soon(node, &id);
            self.ledger.totals.kicked += 1;
        }
    }

    /// A round trip through the own push subscription proves that pushes are heard again.
    pub(crate) fn confirm_interest(&mut self, node: usize) {
        if self.bus.is_up(node) && !self.nodes[node].confirmed {
            self.fence(node, Fenced::Interest);
        }
    }

    fn interest_confirmed(&mut self, node: usize) {
        if !self.bus.is_up(node) {
            return;
        }
        let it = &mut self.nodes[node];
        it.confirmed = true;
        if std::mem::take(&mut it.ingest.gap_owed) && holds(Rule::GapAfterInterest) {
            self.gap(node, "bus-down");
        }
        self.pay_gaps(node);
        self.take_waiting_hellos(node);
    }

    /// The node has noticed that its connection to the bus is gone.
    pub(crate) fn bus_lost(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        it.confirmed = false;
        it.ingest.gap_owed = true;
        it.ingest
            .fences
            .retain(|_, fenced| !matches!(fenced, Fenced::Interest));
        if !holds(Rule::GapAfterInterest) {
            self.gap(node, "bus-down");
        }
    }
}

/// The sessions of a node that are wanted by nobody any more.
pub(crate) fn over(homes: &BTreeMap<SessionId, super::Home>) -> Vec<SessionId> {
    let over = homes.iter().filter(|(_, home)| {
        home.session.is_over() && home.wire.is_none() && home.session.inbox_items() == 0
    });
    over.map(|(id, _)| id.clone()).collect()
}
