//! What a session that came from another node remembers of it for a while: which pushes it has already, and which are still to come.

mod equal;
mod order;
mod passing;
mod stream;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::ids::NodeId;
use crate::millis::Millis;
use crate::out_frame::OutFrame;
use crate::rules::{Rule, holds};
use crate::takeover::{Applied, HOLD_MS, Identity};

use equal::Equals;
use stream::Stream;

/// For how long a message id stands for one push.
const MESSAGE_MS: u64 = 10_000;

/// How much later than a forward this node's own copy may come.
const LATE_MS: u64 = 10_000;

/// A message id that this node heard longer ago, and the holder does not know, the holder has
/// forgotten: between the registration and the cut there are up to 2.5 s.
const MISSED_MS: u64 = MESSAGE_MS - 3_000;

/// A forwarded push that waits for this node's own copy.
#[derive(Clone, Debug)]
pub(in crate::server) struct Held {
    pub(super) identity: Identity,
    pub(super) item: OutFrame,
    pub(super) until: Millis,
}

/// The memory of a takeover. Dropped some seconds after it.
#[derive(Debug)]
pub(in crate::server) struct Taken {
    pub(super) holder: NodeId,
    /// Nothing more is forwarded from then on.
    pub(super) until: Millis,
    /// Where the queue ended that came from the holder.
    pub(super) end: u64,
    streams: BTreeMap<u128, Stream>,
    /// Message ids that the holder had, and until when each stands for one push.
    messages: BTreeMap<u128, Millis>,
    /// Message ids of own copies since.
    own_messages: BTreeSet<u128>,
    equals: Equals,
    /// Forwards in the queue whose own copy may come.
    let_out: Vec<Identity>,
    held: VecDeque<Held>,
    held_bytes: usize,
    /// Message ids that this node heard before and the holder had not.
    missing_messages: BTreeSet<u128>,
    /// The holder is dead.
    given_up: bool,
    /// Where the queue ended behind the newest push without a number, if it was put there here.
    other_at: u64,
    /// A gap that the session came with says that the holder had missed something.
    pub(super) holder_missed: bool,
    /// A gap has said that pushes without a number come before what is still to be forwarded.
    told_missing: bool,
}

/// What an own copy is to the session.
pub(super) enum Own {
    /// It has it.
    Known,
    /// It goes in line, behind those forwards: their own copies will not come any more.
    Append(Vec<Held>),
}

/// What a forward is to the session.
pub(super) enum Forwarded {
    Known,
    Held,
    /// Its own copy cannot come: it goes in line now.
    LetOut(Held),
}

impl Taken {
    /// `applied` is the holder's, whose cut was made at `cut`; `before` is what this node's journal
    /// said when the session was `registered`.
    pub(super) fn new(
        here: &NodeId,
        holder: NodeId,
        applied: Applied,
        cut: Millis,
        before: &Applied,
        registered: Millis,
    ) -> Taken {
        let equals = Equals::new(here, &holder, &applied, cut, before, registered);
        let mut streams: BTreeMap<u128, Stream> = BTreeMap::new();
        for (publisher, upto) in applied.publishers {
            let singles = applied.singles.iter().filter_map(Identity::place);
            let singles = singles.filter(|(other, _)| *other == publisher);
            let stream = Stream::of_holder(upto, singles.map(|(_, place)| place));
            streams.insert(publisher, stream);
        }
        for (publisher, upto) in &before.publishers {
            let stream = streams.entry(*publisher).or_default();
            stream.heard = Some(upto.last);
        }
        let clock = |at: Millis, age: u64| Millis(at.0.saturating_sub(age));
        let had: BTreeSet<u128> = applied.messages.iter().map(|(id, _)| *id).collect();
        let messages = applied.messages.iter();
        let mut taken = Taken {
            holder,
            until: Millis::MAX,
            end: 0,
            streams,
            messages: messages
                .map(|(id, age)| (*id, clock(cut, *age).plus(MESSAGE_MS)))
                .collect(),
            own_messages: BTreeSet::new(),
            equals,
            let_out: applied.singles,
            held: VecDeque::new(),
            held_bytes: 0,
            missing_messages: before
                .messages
                .iter()
                .filter(|(_, age)| *age <= MISSED_MS)
                .map(|(id, _)| *id)
                .collect(),
            given_up: false,
            other_at: 0,
            holder_missed: false,
            told_missing: false,
        };
        taken.missing_messages.retain(|id| !had.contains(id));
        taken
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Pushes that this node dropped as a stranger's are still to be forwarded.
    pub(super) fn is_missing(&self) -> bool {
        if self.given_up {
            return false;
        }
        self.lacks_others() || self.streams.values().any(|stream| stream.is_missing())
    }

    /// Whatever is missing will not come.
    pub(super) fn given_up(&self) -> bool {
        self.given_up
    }

    /// Goes on where an earlier memory of this session at this node ended; gives what it held.
    pub(super) fn resume(&mut self, mut before: Taken) -> Vec<Held> {
        self.equals.resume(&before.equals);
        before.held_bytes = 0;
        before.held.into()
    }

    /// What is missing will not come. Says whether anything was.
    pub(super) fn give_up_missing(&mut self) -> bool {
        let missing = self.is_missing();
        self.missing_messages.clear();
        self.given_up = true;
        missing
    }

    /// Takes an own copy of a push.
    pub(super) fn own(&mut self, identity: &Identity) -> Own {
        if let Identity::Counted { content, count } = *identity {
            return self.own_content(content, count);
        }
        if let Some(message) = identity.message() {
            // Known or not: it may be forwarded once more, for another session of the user.
            self.own_messages.insert(message);
        }
        if self.has(identity) {
            return Own::Known;
        }
        if let Some(message) = identity.message() {
            self.missing_messages.remove(&message);
        }
        let mut first = Vec::new();
        match identity.place() {
            Some((publisher, place)) => {
                // The same may have come by two ways.
                while self.take_held(|held| held.identity == *identity).is_some() {}
                // The publisher's own order: what comes before and is not here will not come.
                let earlier = |held: &Held| {
                    held.identity
                        .place()
                        .is_some_and(|(other, earlier)| other == publisher && earlier < place)
                };
                while let Some(held) = self.take_held(earlier) {
                    first.push(held);
                }
                let stream = self.streams.entry(publisher).or_default();
                stream.came(place);
            }
            None => while self.take_held(|held| held.identity == *identity).is_some() {},
        }
        Own::Append(first)
    }

    fn own_content(&mut self, content: u128, count: u64) -> Own {
        let index = self.equals.own(content, count);
        if self.equals.has(content, index) && holds(Rule::SideBufferLessApplied) {
            return Own::Known;
        }
        let equal = Identity::Equal { content, index };
        self.take_held(|held| held.identity == equal);
        self.equals.appended(content, index);
        Own::Append(Vec::new())
    }

    /// Whether an own copy is a second one.
    fn has(&mut self, identity: &Identity) -> bool {
        if holds(Rule::LateCopyIsDropped)
            && let Some(index) = self.let_out.iter().position(|out| out == identity)
        {
            self.let_out.swap_remove(index);
            if let Some((publisher, place)) = identity.place()
                && let Some(stream) = self.streams.get_mut(&publisher)
            {
                stream.came(place);
            }
            return true;
        }
        if !holds(Rule::SideBufferLessApplied) {
            return false;
        }
        if let Some((publisher, place)) = identity.place()
            && let Some(stream) = self.streams.get_mut(&publisher)
            && stream.holder.has(place)
        {
            stream.came(place);
            return true;
        }
        self.has_message(identity)
    }

    /// Whether the holder had it, or it came by a forward, under the same message id. Own copies
    /// under one id are one another's business, and settled before they come here.
    fn has_message(&self, identity: &Identity) -> bool {
        let Some(message) = identity.message() else {
            return false;
        };
        let let_out = || {
            self.let_out
                .iter()
                .any(|out| out.message() == Some(message))
        };
        holds(Rule::MessageIdMatches) && (self.messages.contains_key(&message) || let_out())
    }

    /// Takes a push that a former holder forwarded.
    pub(super) fn forwarded(
        &mut self,
        from: &NodeId,
        mut identity: Identity,
        item: OutFrame,
        now: Millis,
    ) -> Forwarded {
        let own = identity.message();
        let own = own.is_some_and(|message| self.own_messages.contains(&message));
        let message = identity.message();
        let again = |held: &Held| message.is_some() && held.identity.message() == message;
        if own || self.has_message(&identity) || self.held.iter().any(again) {
            return Forwarded::Known;
        }
        let will_come;
        match identity {
            Identity::Batched { .. } => {
                let Some((publisher, place)) = identity.place() else {
                    return Forwarded::Known;
                };
                let stream = self.streams.entry(publisher).or_default();
                will_come = !stream.dropped(place);
                let came = will_come && stream.own >= Some(place);
                let again = |held: &Held| held.identity == identity;
                if came
                    || stream.holder.has(place)
                    || self.let_out.contains(&identity)
                    || self.held.iter().any(again)
                {
                    return Forwarded::Known;
                }
            }
            Identity::Message(message) => will_come = !self.missing_messages.contains(&message),
            // Nobody counted it, so nobody can tell it from another.
            Identity::Content(_) => will_come = false,
            Identity::Counted { .. } | Identity::Equal { .. } => {
                let (content, index) = match identity {
                    Identity::Counted { content, count } => {
                        (content, self.equals.others(content, from, count))
                    }
                    Identity::Equal { content, index } => (content, index),
                    _ => return Forwarded::Known,
                };
                identity = Identity::Equal { content, index };
                let again = |held: &Held| held.identity == identity;
                if self.equals.has(content, index) || self.held.iter().any(again) {
                    return Forwarded::Known;
                }
                will_come = !self.equals.dropped(content, index);
            }
        }
        let held = Held {
            identity,
            item,
            until: now.plus(HOLD_MS),
        };
        if !will_come || !holds(Rule::ForwardIsHeld) {
            return Forwarded::LetOut(held);
        }
        self.held_bytes += held.item.len();
        self.held.push_back(held);
        Forwarded::Held
    }

    /// Those whose time is over, in the order in which they came.
    pub(super) fn due(&mut self, now: Millis) -> Vec<Held> {
        self.messages.retain(|_, until| *until > now);
        let mut due = Vec::new();
        while let Some(held) = self.take_held(|held| held.until <= now) {
            due.push(held);
        }
        due
    }

    pub(super) fn next_due(&self) -> Millis {
        let due = self.held.front().map(|held| held.until);
        due.unwrap_or(Millis::MAX)
    }

    fn take_held(&mut self, wanted: impl FnMut(&Held) -> bool) -> Option<Held> {
        let index = self.held.iter().position(wanted)?;
        let held = self.held.remove(index)?;
        self.held_bytes -= held.item.len();
        Some(held)
    }

    /// A push is in line now, which ends at `end`.
    pub(super) fn appended(&mut self, identity: &Identity, end: u64) {
        if let Some((publisher, place)) = identity.place() {
            let stream = self.streams.entry(publisher).or_default();
            stream.appended(place, end);
        } else {
            self.other_at = end;
        }
    }

    /// The same of a forward. Its own copy may come much later, when this node is behind with what
    /// it hears: the memory of it lasts.
    pub(super) fn appended_forward(&mut self, forward: &Held, end: u64) {
        let identity = &forward.identity;
        self.appended(identity, end);
        if let Some(message) = identity.message() {
            self.missing_messages.remove(&message);
        }
        match *identity {
            Identity::Equal { content, index } => self.equals.appended(content, index),
            _ => self.let_out.push(*identity),
        }
        self.until = self.until.max(forward.until.plus(LATE_MS));
    }
}
