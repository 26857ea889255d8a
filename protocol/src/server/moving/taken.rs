//! What a session that came from another node remembers of it for a while: which pushes it has already, and which are still to come.

mod passing;
mod stream;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::ids::NodeId;
use crate::millis::Millis;
use crate::out_frame::OutFrame;
use crate::rules::{Rule, holds};
use crate::takeover::{Applied, Copies, HOLD_MS, Identity, holder_is_ahead_by};

use stream::Stream;

/// Own copies of pushes without a number that are remembered, so that their forwards are known.
const MAX_OWN: usize = 4096;

/// For how long a message id stands for one push.
const MESSAGE_MS: u64 = 10_000;

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
    streams: BTreeMap<u128, Stream>,
    /// Message ids that the holder had, and until when each stands for one push.
    messages: BTreeMap<u128, Millis>,
    /// Message ids of own copies since.
    own_messages: BTreeSet<u128>,
    /// Own copies that are second copies, by content.
    second: BTreeMap<u128, u64>,
    /// How many of them came.
    doubled: BTreeMap<u128, usize>,
    /// Own copies by content that no forward has been matched with.
    unmatched: VecDeque<u128>,
    /// Forwards in the queue whose own copy may come.
    let_out: Vec<Identity>,
    held: VecDeque<Held>,
    held_bytes: usize,
    /// What this node heard before and the holder had not, by message id and by content.
    missing_messages: BTreeSet<u128>,
    missing_contents: u64,
    /// The holder is dead.
    given_up: bool,
    /// What the holder had of pushes without number, and what this node had heard before it
    /// registered: for the next taker.
    contents: Vec<(u128, Millis)>,
    registered: Millis,
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
        holder: NodeId,
        applied: Applied,
        cut: Millis,
        before: &Applied,
        registered: Millis,
    ) -> Taken {
        let mut streams: BTreeMap<u128, Stream> = BTreeMap::new();
        for (publisher, upto) in applied.publishers {
            let newest = upto.last;
            let stream = Stream {
                holder: upto,
                newest,
                ..Stream::default()
            };
            streams.insert(publisher, stream);
        }
        for (publisher, upto) in &before.publishers {
            let stream = streams.entry(*publisher).or_insert_with(Stream::default);
            stream.heard = Some(upto.last);
        }
        let clock = |at: Millis, age: u64| Millis(at.0.saturating_sub(age));
        let had: BTreeSet<u128> = applied.messages.iter().map(|(id, _)| *id).collect();
        let messages = applied.messages.iter();
        let contents = applied.contents.iter();
        let contents: Vec<_> = contents.map(|(id, age)| (*id, clock(cut, *age))).collect();
        let mut taken = Taken {
            holder,
            until: Millis::MAX,
            streams,
            messages: messages
                .map(|(id, age)| (*id, clock(cut, *age).plus(MESSAGE_MS)))
                .collect(),
            own_messages: BTreeSet::new(),
            second: BTreeMap::new(),
            doubled: BTreeMap::new(),
            unmatched: VecDeque::new(),
            let_out: applied.singles,
            held: VecDeque::new(),
            held_bytes: 0,
            missing_messages: before.messages.iter().map(|(id, _)| *id).collect(),
            missing_contents: 0,
            given_up: false,
            contents,
            registered,
        };
        taken.missing_messages.retain(|id| !had.contains(id));
        taken.match_contents(before, clock(cut, applied.reach_ms), registered);
        taken
    }

    fn match_contents(&mut self, before: &Applied, since: Millis, registered: Millis) {
        let mut copies: BTreeMap<u128, (Copies, Copies)> = BTreeMap::new();
        for (id, at) in &self.contents {
            copies.entry(*id).or_default().0.at.push(at.0);
        }
        for (id, age) in &before.contents {
            let at = registered.0.saturating_sub(*age);
            copies.entry(*id).or_default().1.at.push(at);
        }
        for (id, (mut holder, mut taker)) in copies {
            holder.since = since.0;
            taker.since = registered.0.saturating_sub(before.reach_ms);
            let ahead = holder_is_ahead_by(&holder, &taker, registered.0);
            if ahead < 0 {
                self.missing_contents += ahead.unsigned_abs();
            } else if ahead > 0 {
                let all = if holds(Rule::EqualsMatchOneForOne) {
                    ahead.unsigned_abs()
                } else {
                    u64::MAX
                };
                self.second.insert(id, all);
            }
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Pushes that this node dropped as a stranger's are still to be forwarded.
    pub(super) fn is_missing(&self) -> bool {
        if self.given_up {
            return false;
        }
        self.missing_contents > 0
            || !self.missing_messages.is_empty()
            || self.streams.values().any(|stream| stream.is_missing())
    }

    /// What is missing will not come. Says whether anything was.
    pub(super) fn give_up_missing(&mut self) -> bool {
        let missing = self.is_missing();
        self.missing_contents = 0;
        self.missing_messages.clear();
        self.given_up = true;
        missing
    }

    /// Takes an own copy of a push.
    pub(super) fn own(&mut self, identity: &Identity) -> Own {
        if self.has(identity) {
            return Own::Known;
        }
        if let Some(message) = identity.message() {
            self.own_messages.insert(message);
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
                let stream = self
                    .streams
                    .entry(publisher)
                    .or_insert_with(Stream::default);
                stream.came(place);
            }
            None => {
                if self.take_held(|held| held.identity == *identity).is_none()
                    && let Identity::Content(content) = identity
                {
                    if self.unmatched.len() >= MAX_OWN {
                        self.unmatched.pop_front();
                    }
                    self.unmatched.push_back(*content);
                }
            }
        }
        Own::Append(first)
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
        if self.has_message(identity) {
            return true;
        }
        if let Identity::Content(content) = identity
            && let Some(left) = self.second.get_mut(content)
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.second.remove(content);
            }
            *self.doubled.entry(*content).or_default() += 1;
            return true;
        }
        false
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

    /// Takes a push that the holder forwarded.
    pub(super) fn forwarded(
        &mut self,
        identity: Identity,
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
        let mut will_come = true;
        match identity {
            Identity::Batched { .. } => {
                let Some((publisher, place)) = identity.place() else {
                    return Forwarded::Known;
                };
                let stream = self
                    .streams
                    .entry(publisher)
                    .or_insert_with(Stream::default);
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
            Identity::Content(content) => {
                if let Some(index) = self.unmatched.iter().position(|own| *own == content) {
                    self.unmatched.remove(index);
                    return Forwarded::Known;
                }
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

    pub(super) fn take_all_held(&mut self) -> Vec<Held> {
        self.held_bytes = 0;
        std::mem::take(&mut self.held).into()
    }

    fn take_held(&mut self, wanted: impl FnMut(&Held) -> bool) -> Option<Held> {
        let index = self.held.iter().position(wanted)?;
        let held = self.held.remove(index)?;
        self.held_bytes -= held.item.len();
        Some(held)
    }

    /// Whether nothing of its publisher can be missing between the queue's end and this push.
    pub(super) fn is_next(&self, identity: &Identity) -> bool {
        let Some((publisher, place)) = identity.place() else {
            return false;
        };
        let newest = self.streams.get(&publisher).map(|stream| stream.newest);
        newest.unwrap_or_default().is_followed_by(place) || !holds(Rule::HeldStandsBehindGap)
    }

    /// Whether something later of its publisher is in line already.
    pub(super) fn is_behind(&self, identity: &Identity) -> bool {
        let Some((publisher, place)) = identity.place() else {
            return false;
        };
        let stream = self.streams.get(&publisher);
        stream.is_some_and(|stream| stream.newest > place)
    }

    /// A push is in line now.
    pub(super) fn appended(&mut self, identity: &Identity, forwarded: bool) {
        if let Some((publisher, place)) = identity.place() {
            let stream = self
                .streams
                .entry(publisher)
                .or_insert_with(Stream::default);
            stream.newest = stream.newest.max(place);
        }
        if forwarded {
            if let Some(message) = identity.message() {
                self.missing_messages.remove(&message);
            }
            if let Identity::Content(_) = identity {
                self.missing_contents = self.missing_contents.saturating_sub(1);
            }
            self.let_out.push(*identity);
        }
    }
}
