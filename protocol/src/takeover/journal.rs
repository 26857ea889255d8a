//! What a node has applied lately: its answer to "which pushes do you have already?".

use std::collections::{HashMap, HashSet, VecDeque};

use xxhash_rust::xxh3::xxh3_64;

use super::applied::{Applied, HeardContent};
use super::{Identity, Place};
use crate::ids::Uid;
use crate::millis::Millis;
use crate::target::Target;

/// Publishers remembered at most; a new one pushes the longest silent out.
const MAX_PUBLISHERS: usize = 4096;
/// A publisher silent for longer is forgotten: as long as its numbers are watched at all.
const FORGET_PUBLISHER_MS: u64 = 600_000;
/// A push without number and message id is remembered for this long: by so much less a second may
/// one node lag behind another, after a pause for instance.
const CONTENTS_MS: u64 = 10_000;
/// The newest of them that go into one answer, so that a flood makes no move expensive.
const MAX_CONTENTS: usize = 4_096;
/// A count is remembered for this long at least, unless very many are fresh: longer than any session
/// remembers where it came from.
const COUNTS_MS: u64 = 30_000;
/// More than anybody can hear of one content in a millisecond.
const COUNTS_PER_MS: u64 = 1_000;
/// A message id is remembered for this long: within it, the same id is the same push.
const MESSAGES_MS: u64 = 10_000;
/// Contents, and message ids, remembered at most: some 4 MiB each.
const MAX_OTHERS: usize = 65_536;

/// What a node has applied lately: per publisher the last place, of other pushes their identity.
///
/// Note **every** push here, a stranger's too: who takes a session over must know what it heard
/// and dropped before the session was registered. And note it *after* all sessions have got it:
/// what a session has beyond its node's journal it knows itself, but not the reverse. Note
/// repeats of a message id as well: they change nothing but the place of their publisher.
///
/// Bounded: 4,096 publishers; 65,536 contents and as many message ids, of 10 s.
#[derive(Debug, Default)]
pub struct Journal {
    publishers: HashMap<u128, (Place, Millis)>,
    contents: Lately<(u128, u64)>,
    messages: Lately<u128>,
    /// The same message ids: each is noted once in its time.
    fresh: HashSet<(Target, u128)>,
    /// How often each content was heard, and when last.
    counts: HashMap<u128, (u64, Millis)>,
}

#[derive(Debug)]
struct Lately<T> {
    by_age: VecDeque<(Millis, Target, T)>,
    /// The marks of their targets: to look for one user's among 65,536 is to go through 512 KiB.
    marks: VecDeque<u64>,
    /// The newest that had to be forgotten before its time.
    lost_until: Option<Millis>,
}

impl<T> Default for Lately<T> {
    fn default() -> Self {
        Lately {
            by_age: VecDeque::new(),
            marks: VecDeque::new(),
            lost_until: None,
        }
    }
}

/// The marks of those who are not one user. A user may have one of them too: marks only rule out.
const ANONYMOUS: u64 = 0;
const ALL: u64 = 1;

fn mark(target: &Target) -> u64 {
    match target {
        Target::Uid(uid) => mark_of(uid),
        Target::Anonymous => ANONYMOUS,
        Target::All => ALL,
    }
}

fn mark_of(uid: &Uid) -> u64 {
    xxh3_64(uid.as_str().as_bytes())
}

impl<T: Copy> Lately<T> {
    /// Takes out one that must not be kept when another is noted now.
    fn make_room(&mut self, now: Millis, keep_ms: u64) -> Option<(Target, T)> {
        let (at, ..) = self.by_age.front()?;
        let old = now.since(*at).as_millis() as u64 > keep_ms;
        if !old && self.by_age.len() < MAX_OTHERS {
            return None;
        }
        if !old {
            self.lost_until = Some(*at);
        }
        self.marks.pop_front();
        let (_, target, id) = self.by_age.pop_front()?;
        Some((target, id))
    }

    fn note(&mut self, target: &Target, id: T, now: Millis) {
        self.by_age.push_back((now, target.clone(), id));
        self.marks.push_back(mark(target));
    }

    /// The ids that may concern a session of `uid`, oldest first, with their age.
    fn of(&self, uid: Option<&Uid>, now: Millis, keep_ms: u64) -> Vec<(T, u64)> {
        let own = uid.map_or(ANONYMOUS, mark_of);
        let marks = self.marks.iter().enumerate();
        let likely = marks.filter(|(_, mark)| **mark == own || **mark == ALL);
        let aged = likely.filter_map(|(index, _)| {
            let (at, target, id) = self.by_age.get(index)?;
            let age = now.since(*at).as_millis() as u64;
            Some((target, *id, age))
        });
        aged.filter(|(target, _, age)| *age <= keep_ms && target.means(uid))
            .map(|(_, id, age)| (id, age))
            .collect()
    }

    fn reach(&self, now: Millis, keep_ms: u64) -> u64 {
        self.lost_until.map_or(keep_ms, |lost| {
            keep_ms.min(now.since(lost).as_millis() as u64)
        })
    }
}

impl Journal {
    /// Nothing applied yet.
    pub fn new() -> Journal {
        Journal::default()
    }

    /// Takes note of a push that was put in line for all sessions here that it is for. `now` may
    /// not go back. O(1).
    pub fn note(&mut self, target: &Target, identity: &Identity, now: Millis) {
        if let Some((publisher, place)) = identity.place() {
            self.note_place(publisher, place, now);
        }
        if let Some(message) = identity.message() {
            self.note_message(target, message, now);
        }
        if let Identity::Counted { content, count } = self.name(*identity, now) {
            self.note_count(content, count, now);
            while self.contents.make_room(now, CONTENTS_MS).is_some() {}
            self.contents.note(target, (content, count), now);
        }
    }

    /// Names a push by which of its equals it is, if only its content names it; any other stays as it
    /// is. To be asked before the push is put in line for the sessions, which tell equals apart by it.
    pub fn name(&self, identity: Identity, now: Millis) -> Identity {
        let Identity::Content(content) = identity else {
            return identity;
        };
        // Never a count that was there before, even if that has been forgotten.
        let start = now.0.saturating_mul(COUNTS_PER_MS);
        let count = self.counts.get(&content);
        let count = count.map_or(start, |(count, _)| count.saturating_add(1));
        Identity::Counted { content, count }
    }

    /// A message id is as old as its first copy, here as where a session of the user drops the
    /// others: else a node of strangers remembers it for longer than the one that has the session,
    /// and waits, once it takes that, for a push which was delivered long ago.
    fn note_message(&mut self, target: &Target, message: u128, now: Millis) {
        // At its full age the id is another push already, as it is for the sessions.
        while let Some(old) = self.messages.make_room(now, MESSAGES_MS - 1) {
            self.fresh.remove(&old);
        }
        if self.fresh.insert((target.clone(), message)) {
            self.messages.note(target, message, now);
        }
    }

    fn note_count(&mut self, content: u128, count: u64, now: Millis) {
        if self.counts.len() >= MAX_OTHERS && !self.counts.contains_key(&content) {
            self.counts
                .retain(|_, (_, heard)| now.since(*heard).as_millis() as u64 <= COUNTS_MS);
            if self.counts.len() >= MAX_OTHERS {
                self.counts.clear();
            }
        }
        self.counts.insert(content, (count, now));
    }

    fn note_place(&mut self, publisher: u128, place: Place, now: Millis) {
        if let Some((last, heard)) = self.publishers.get_mut(&publisher) {
            *last = place.max(*last);
            *heard = now;
            return;
        }
        if self.publishers.len() >= MAX_PUBLISHERS {
            self.forget_silent(now);
        }
        self.publishers.insert(publisher, (place, now));
    }

    /// Makes room: all that were silent for long, or else the eighth that was silent longest, so
    /// that a flood of new publishers costs each of them little.
    fn forget_silent(&mut self, now: Millis) {
        self.publishers
            .retain(|_, (_, heard)| now.since(*heard).as_millis() as u64 <= FORGET_PUBLISHER_MS);
        if self.publishers.len() >= MAX_PUBLISHERS {
            let heard = self.publishers.iter().map(|(id, (_, heard))| (*heard, *id));
            let mut silent: Vec<(Millis, u128)> = heard.collect();
            let (oldest, ..) = silent.select_nth_unstable(MAX_PUBLISHERS / 8);
            for (_, publisher) in oldest {
                self.publishers.remove(publisher);
            }
        }
    }

    /// What has been applied that may concern a session of `uid`. Goes through
    /// what is remembered: some 0.8 ms when that is all it can be (`benches/journal.rs`).
    pub fn extract(&self, uid: Option<&Uid>, now: Millis) -> Applied {
        let publishers = self.publishers.iter();
        let mut contents = self.contents.of(uid, now, CONTENTS_MS);
        let mut reach = self.contents.reach(now, CONTENTS_MS);
        let old = contents.len().saturating_sub(MAX_CONTENTS);
        if let Some((_, age)) = contents.drain(..old).next_back() {
            reach = reach.min(age);
        }
        let heard = |((content, count), age)| HeardContent {
            content,
            count,
            age,
        };
        Applied::new(
            publishers.map(|(publisher, (place, _))| (*publisher, *place)),
            self.messages.of(uid, now, MESSAGES_MS),
            contents.into_iter().map(heard).collect(),
            reach,
        )
    }
}
