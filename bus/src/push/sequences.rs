//! Which numbers each publisher has used so far: how a lost batch is noticed.

use std::collections::HashMap;

use tengen_protocol::Millis;

/// Publishers remembered at most; a new one pushes the longest silent out.
const MAX_PUBLISHERS: usize = 4096;
/// A publisher silent for longer is forgotten: 10 minutes, far beyond its last empty batch.
const FORGET_AFTER: u64 = 600_000;
/// An empty batch comes at most 4 s after the last full one. Who has listened for longer than
/// that, with a margin, should have heard the full one.
const TAIL_WITHIN: u64 = 6_000;

/// What a batch's number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// The next one, or the first one heard of this publisher.
    Next,
    /// An empty batch that says nothing new.
    Nothing,
    /// `count` batches from number `from` on are lost; the batch itself is good.
    Lost {
        /// The first lost number.
        from: u64,
        /// How many.
        count: u64,
    },
    /// A number used before: what it holds was applied or given up already.
    Repeated,
}

/// The last number of every publisher lately heard. A pure value: [`Sequences::tick`] is its clock.
///
/// Bounded: 4,096 publishers, about 64 bytes each, forgotten after 10 minutes of silence.
#[derive(Debug)]
pub struct Sequences {
    publishers: HashMap<u128, Known>,
    now: Millis,
    since: Millis,
    swept: Millis,
}

#[derive(Debug)]
struct Known {
    last: u64,
    heard: Millis,
}

impl Sequences {
    /// Nothing heard yet; listening since `now`.
    #[must_use]
    pub fn new(now: Millis) -> Sequences {
        Sequences {
            publishers: HashMap::new(),
            now,
            since: now,
            swept: now,
        }
    }

    /// Sets the clock. Call it once a drain, before the messages.
    pub fn tick(&mut self, now: Millis) {
        self.now = self.now.max(now);
        if self.now.0 - self.swept.0 > FORGET_AFTER / 10 {
            self.swept = self.now;
            let now = self.now.0;
            self.publishers
                .retain(|_, known| now - known.heard.0 <= FORGET_AFTER);
        }
    }

    /// Takes note of a batch.
    pub fn observe(&mut self, publisher: u128, seq: u64, empty: bool) -> Observed {
        let now = self.now;
        let Some(known) = self.publishers.get_mut(&publisher) else {
            return self.first(publisher, seq, empty);
        };
        known.heard = now;
        let next = known.last.saturating_add(1);
        if seq > known.last {
            known.last = seq;
        }
        // A full batch is itself number `seq`; an empty one only says that `seq` was used.
        let missing_until = if empty { seq.saturating_add(1) } else { seq };
        if missing_until > next {
            Observed::Lost {
                from: next,
                count: missing_until - next,
            }
        } else if empty {
            Observed::Nothing
        } else if seq >= next {
            Observed::Next
        } else {
            Observed::Repeated
        }
    }

    /// The first of a publisher: what it sent before we listened is not ours to miss.
    fn first(&mut self, publisher: u128, seq: u64, empty: bool) -> Observed {
        if self.publishers.len() >= MAX_PUBLISHERS {
            let longest_silent = self.publishers.iter().min_by_key(|(_, known)| known.heard);
            if let Some(id) = longest_silent.map(|(id, _)| *id) {
                self.publishers.remove(&id);
            }
        }
        self.publishers.insert(
            publisher,
            Known {
                last: seq,
                heard: self.now,
            },
        );
        if !empty {
            Observed::Next
        } else if seq > 0 && self.now.0 - self.since.0 > TAIL_WITHIN {
            // It used this number a few seconds ago, when we were listening already.
            Observed::Lost {
                from: seq,
                count: 1,
            }
        } else {
            Observed::Nothing
        }
    }

    /// Publishers remembered right now.
    #[must_use]
    pub fn publishers(&self) -> usize {
        self.publishers.len()
    }
}

#[cfg(test)]
mod tests;
