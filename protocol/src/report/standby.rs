//! The second in line for each report: when the first one is silent it puts the report together, from what the others remember.

use std::collections::{BTreeSet, HashMap, VecDeque};

use smallvec::SmallVec;

use super::ReportId;
use super::collector::MAX_SHARING;
use crate::ids::NodeId;
use crate::millis::Millis;

/// So long the second in line waits for the first one's word that it has answered, in
/// milliseconds: twice what the first one may take.
pub const STANDBY_MS: u64 = 500;

/// A node remembers what it counted for so long, in milliseconds: until a second in line has asked.
/// And the second in line a word that overtook its push.
const REMEMBER_MS: u64 = 2_000;

/// The reports that another node is to answer, and this one if that one does not. `A` says where
/// an answer goes.
///
/// Bounded: what does not fit is not stood by for, and then only the first one answers. A call
/// costs O(log n).
#[derive(Debug)]
pub struct Standby<A> {
    max: usize,
    reports: HashMap<ReportId, State<A>>,
    due: BTreeSet<(Millis, ReportId)>,
}

#[derive(Debug)]
enum State<A> {
    Waiting(Waiting<A>),
    /// So many words of the first one overtook their pushes.
    Ahead {
        words: u32,
        due: Millis,
    },
}

#[derive(Debug)]
struct Waiting<A> {
    /// More than one: equal requests at once, each with a word of its own.
    askers: SmallVec<[A; 1]>,
    expected: SmallVec<[NodeId; 2]>,
    due: Millis,
}

/// A report that the first in line has not answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Orphan<A> {
    /// Its name.
    pub id: ReportId,
    /// Where the answer goes.
    pub askers: SmallVec<[A; 1]>,
    /// Who was to count.
    pub expected: SmallVec<[NodeId; 2]>,
}

impl<A> Standby<A> {
    /// None yet, and never more than `max`.
    pub fn new(max: usize) -> Standby<A> {
        Standby {
            max,
            reports: HashMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// The push has come here, and another node is to answer `asker`.
    pub fn stand_by(
        &mut self,
        id: ReportId,
        asker: A,
        expected: impl IntoIterator<Item = NodeId>,
        now: Millis,
    ) {
        let due = now.plus(STANDBY_MS);
        match self.reports.get_mut(&id) {
            // Beyond it the first one refuses, too.
            Some(State::Waiting(waiting)) if waiting.askers.len() >= MAX_SHARING => {}
            Some(State::Waiting(waiting)) => waiting.askers.push(asker),
            Some(State::Ahead { words, .. }) if *words > 1 => *words -= 1,
            Some(&mut State::Ahead { due, .. }) => self.forget(id, due),
            None => {
                let waiting = Waiting {
                    askers: SmallVec::from_iter([asker]),
                    expected: expected.into_iter().collect(),
                    due,
                };
                self.keep(id, State::Waiting(waiting), due);
            }
        }
    }

    /// The first in line has answered one asker.
    pub fn answered(&mut self, id: ReportId, now: Millis) {
        match self.reports.get_mut(&id) {
            Some(State::Waiting(waiting)) => {
                waiting.askers.pop();
                if waiting.askers.is_empty() {
                    let due = waiting.due;
                    self.forget(id, due);
                }
            }
            Some(State::Ahead { words, .. }) => *words = words.saturating_add(1),
            None => {
                // A node that is behind with its pushes must not answer them all again.
                let due = now.plus(REMEMBER_MS);
                self.keep(id, State::Ahead { words: 1, due }, due);
            }
        }
    }

    /// What has waited long enough for the first one.
    pub fn tick(&mut self, now: Millis) -> Vec<Orphan<A>> {
        let mut orphans = Vec::new();
        while let Some((due, id)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.due.remove(&(due, id));
            if let Some(State::Waiting(waiting)) = self.reports.remove(&id) {
                let Waiting {
                    askers, expected, ..
                } = waiting;
                orphans.push(Orphan {
                    id,
                    askers,
                    expected,
                });
            }
        }
        orphans
    }

    /// When to call [`Standby::tick`] next; `None` while there is nothing.
    pub fn next(&self) -> Option<Millis> {
        self.due.first().map(|(due, _)| *due)
    }

    /// How many it stands by for, and words that came early.
    pub fn len(&self) -> usize {
        self.reports.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }

    fn keep(&mut self, id: ReportId, state: State<A>, due: Millis) {
        if self.reports.len() < self.max {
            self.reports.insert(id, state);
            self.due.insert((due, id));
        }
    }

    fn forget(&mut self, id: ReportId, due: Millis) {
        self.reports.remove(&id);
        self.due.remove(&(due, id));
    }
}

/// What this node has counted for others in the last two seconds, for a second in line that asks.
#[derive(Debug)]
pub struct Counted {
    max: usize,
    line: VecDeque<(Millis, ReportId)>,
    /// With when it was counted last.
    clients: HashMap<ReportId, (Millis, u64)>,
}

impl Counted {
    /// Nothing, and never more than the last `max`.
    pub fn new(max: usize) -> Counted {
        Counted {
            max,
            line: VecDeque::new(),
            clients: HashMap::new(),
        }
    }

    /// Remembers a count; of equal requests the last one. O(1) but for what it forgets.
    pub fn remember(&mut self, id: ReportId, clients: u64, now: Millis) {
        let old = |(at, _): &(Millis, ReportId)| at.plus(REMEMBER_MS) <= now;
        while self.line.front().is_some_and(old) || self.line.len() >= self.max.max(1) {
            let Some((at, id)) = self.line.pop_front() else {
                break;
            };
            if self.clients.get(&id).is_some_and(|(last, _)| *last <= at) {
                self.clients.remove(&id);
            }
        }
        self.line.push_back((now, id));
        self.clients.insert(id, (now, clients));
    }

    /// What was counted for `id`.
    pub fn of(&self, id: ReportId) -> Option<u64> {
        self.clients.get(&id).map(|(_, clients)| *clients)
    }
}
