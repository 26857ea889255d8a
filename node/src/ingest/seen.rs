//! Which message ids were delivered in the last seconds, so that a repeated push is dropped.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tengen_bus::push::Target;
use tengen_protocol::Millis;

/// Remembers (target, message id) for a window, at most so many of them: when more are fresh,
/// the oldest is forgotten first. About 120 bytes each.
pub(crate) struct Seen {
    window: Duration,
    max_ids: usize,
    // Keyed by chance at each start, so nobody can craft two targets that meet.
    hasher: RandomState,
    fresh: HashSet<(u64, u128)>,
    by_age: VecDeque<(Millis, (u64, u128))>,
}

/// What [`Seen::note`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// Not seen within the window.
    New,
    /// Not seen, and an id that was still fresh had to be forgotten for it.
    NewAndForgot,
    /// Seen within the window: drop the push.
    Repeated,
}

impl Seen {
    pub(crate) fn new(window: Duration, max_ids: usize) -> Self {
        Self {
            window,
            max_ids: max_ids.max(1),
            hasher: RandomState::new(),
            fresh: HashSet::new(),
            by_age: VecDeque::new(),
        }
    }

    /// Notes that a push with this id arrived. `now` may not go back. Costs O(1); a push
    /// without an id (0) is not to be noted.
    pub(crate) fn note(&mut self, target: &Target, id: u128, now: Millis) -> Note {
        self.forget_old(now);
        let key = (self.hash(target), id);
        if self.fresh.contains(&key) {
            return Note::Repeated;
        }
        let mut note = Note::New;
        if self.fresh.len() >= self.max_ids
            && let Some((_, oldest)) = self.by_age.pop_front()
        {
            self.fresh.remove(&oldest);
            note = Note::NewAndForgot;
        }
        self.fresh.insert(key);
        self.by_age.push_back((now, key));
        note
    }

    fn forget_old(&mut self, now: Millis) {
        while let Some((at, key)) = self.by_age.front() {
            if now - *at < self.window {
                return;
            }
            self.fresh.remove(key);
            self.by_age.pop_front();
        }
        // A rush of ids is over: give its memory back.
        if self.fresh.capacity() > 4096 {
            self.fresh = HashSet::new();
            self.by_age = VecDeque::new();
        }
    }

    fn hash(&self, target: &Target) -> u64 {
        match target {
            Target::Uid(uid) => self.hasher.hash_one(uid.as_str()),
            Target::Anonymous => self.hasher.hash_one(1_u8),
            Target::All => self.hasher.hash_one(2_u8),
        }
    }
}
