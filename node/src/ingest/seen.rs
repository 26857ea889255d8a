//! Which message ids were delivered in the last seconds, so that a repeated push is dropped.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tengen_bus::push::Target;
use tengen_protocol::Millis;

/// Remembers (target, message id) for a window, at most so many of them: when more are fresh,
/// the oldest is forgotten first. About 140 bytes each.
pub(crate) struct Seen {
    window: Duration,
    max_ids: usize,
    // Keyed by chance at each start, so nobody can craft two targets that meet.
    hasher: RandomState,
    /// With each the clients that its push was queued for: what is answered when it is repeated.
    fresh: HashMap<Key, u32>,
    by_age: VecDeque<(Millis, Key)>,
}

/// Target, hashed, and message id.
type Key = (u64, u128);

/// What [`Seen::note`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// Not seen within the window.
    New,
    /// Not seen, and an id that was still fresh had to be forgotten for it.
    NewAndForgot,
    /// Seen within the window, and queued for so many clients then: drop the push.
    Repeated(u32),
}

impl Seen {
    pub(crate) fn new(window: Duration, max_ids: usize) -> Self {
        Self {
            window,
            max_ids: max_ids.max(1),
            hasher: RandomState::new(),
            fresh: HashMap::new(),
            by_age: VecDeque::new(),
        }
    }

    /// Notes that a push with this id arrived. `now` may not go back. Costs O(1); a push
    /// without an id (0) is not to be noted.
    pub(crate) fn note(&mut self, target: &Target, id: u128, now: Millis) -> Note {
        self.forget_old(now);
        let key = (self.hash(target), id);
        if let Some(clients) = self.fresh.get(&key) {
            return Note::Repeated(*clients);
        }
        let mut note = Note::New;
        if self.fresh.len() >= self.max_ids
            && let Some((_, oldest)) = self.by_age.pop_front()
        {
            self.fresh.remove(&oldest);
            note = Note::NewAndForgot;
        }
        self.fresh.insert(key, 0);
        self.by_age.push_back((now, key));
        note
    }

    /// Remembers for how many clients a push that was new has been queued.
    pub(crate) fn queued(&mut self, target: &Target, id: u128, clients: u32) {
        let key = (self.hash(target), id);
        if let Some(known) = self.fresh.get_mut(&key) {
            *known = clients;
        }
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
            self.fresh = HashMap::new();
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
