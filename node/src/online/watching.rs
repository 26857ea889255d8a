//! What has changed lately in who is online, numbered, and how far each watcher has read.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tengen_protocol::Uid;
use tengen_protocol::presence::{Diff, Kinds, Roster};
use tokio::sync::watch;

/// Changes that are kept while somebody watches: a storm of 20,000 users fits, and costs about 3 MiB.
/// Whoever is further behind loads everything anew.
const MAX_KEPT: usize = 32_768;
/// The same while nobody does, for one whose connection broke a moment ago: some 100 KiB. More would
/// be a hundred bytes for each user who has come, for nobody.
const KEPT_UNWATCHED: usize = 1_024;
/// Users read, or changes taken, at a time while presence is locked: some 100 µs. A watcher that reads
/// slowly holds about so many.
const PAGE: usize = 1_000;

/// The changes of one node's view. They have numbers of their own on each node and at each start,
/// so a place in them means nothing elsewhere.
pub(crate) struct Watching {
    recent: Mutex<Recent>,
    /// Rises with every batch, seen or not: what watchers wait for.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Recent {
    batches: VecDeque<Batch>,
    /// Changes in `batches`.
    kept: usize,
    /// Batches so far.
    told: u64,
    /// Batches so far in which the sets changed.
    n: u64,
}

#[derive(Clone)]
struct Batch {
    /// Of this batch, if the sets changed; else of the one before.
    n: u64,
    diffs: Arc<[Diff]>,
}

impl Default for Watching {
    fn default() -> Self {
        Watching {
            recent: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }
}

impl Watching {
    /// Keeps what has changed, and wakes those who [wait](Self::changed) for it. To be called under the lock of the view,
    /// at the end of whatever changed it: then the view and its number agree for all who look.
    pub(crate) fn tell(&self, diffs: &[Diff]) {
        if diffs.is_empty() {
            return;
        }
        let max_kept = match self.changed.receiver_count() {
            0 => KEPT_UNWATCHED,
            _ => MAX_KEPT,
        };
        let told = {
            let mut recent = self.recent.lock();
            for part in diffs.chunks(PAGE) {
                recent.append(part.into(), max_kept);
            }
            recent.told
        };
        self.changed.send_replace(told);
    }

    /// Whom to wait for: it changes with every batch. As long as somebody has one, much is kept.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

impl Recent {
    fn append(&mut self, diffs: Arc<[Diff]>, max_kept: usize) {
        self.told += 1;
        self.n += u64::from(diffs.iter().any(is_change));
        self.kept += diffs.len();
        let batch = Batch { n: self.n, diffs };
        self.batches.push_back(batch);
        while self.kept > max_kept {
            let Some(oldest) = self.batches.pop_front() else {
                break;
            };
            self.kept -= oldest.diffs.len();
        }
        if self.batches.len() * 4 < self.batches.capacity() {
            self.batches.shrink_to_fit();
        }
    }

    /// The number of the oldest batch that is kept.
    fn oldest(&self) -> u64 {
        self.told + 1 - self.batches.len() as u64
    }

    /// What was told after the batch `told`, about a page of it; `None` = no longer kept.
    fn since(&self, told: u64) -> Option<Vec<Batch>> {
        let skip = (told + 1).checked_sub(self.oldest())?;
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let mut taken = 0;
        let batches = self.batches.iter().skip(skip).take_while(|batch| {
            let room = taken < PAGE;
            taken += batch.diffs.len();
            room
        });
        Some(batches.cloned().collect())
    }

    /// The batch behind which somebody goes on who has seen every change up to `n`.
    fn place_of(&self, n: u64) -> Option<u64> {
        let numbered = |batch: &&Batch| batch.diffs.iter().any(is_change);
        let before = self.n - self.batches.iter().filter(numbered).count() as u64;
        if n < before || n > self.n {
            return None;
        }
        let seen = self.batches.iter().take_while(|batch| batch.n <= n).count();
        Some(self.oldest() - 1 + seen as u64)
    }
}

/// Whether the sets changed, and not only the node that somebody is on.
fn is_change(diff: &Diff) -> bool {
    diff.before != diff.now
}

/// What a watcher is told next. Apply the changes in their order: each says how it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Forget what you had: everything comes anew. The first update says it, and a later one if you
    /// were too slow.
    pub reload: bool,
    /// More of what is there already is still to come: what is here is not everybody yet.
    pub loading: bool,
    /// How many times the sets had changed when this was true. Counted by this node alone, and
    /// without a hole between two updates unless the second is a reload.
    pub n: u64,
    /// Whoever came, went or is reached by other transports now. While loading, those too who had
    /// come before: from [`Kinds::NONE`] to what they are.
    pub changes: Vec<Diff>,
}

/// How far one watcher has read. It holds nothing of what it has not read yet.
#[derive(Debug)]
pub(crate) struct Cursor {
    /// Batches read.
    told: u64,
    stage: Stage,
    /// Moves between nodes count as changes.
    places: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Begins,
    /// Everybody up to this uid has been told; changes of those behind it come with their page.
    Loads(Uid),
    Follows,
}

impl Cursor {
    /// A watcher that has seen nothing.
    pub(crate) fn new() -> Cursor {
        Cursor {
            told: 0,
            stage: Stage::Begins,
            places: false,
        }
    }

    /// One that has seen everything so far, and is told of moves between nodes too, as a change to
    /// the same kinds.
    pub(crate) fn of_places(watching: &Watching) -> Cursor {
        Cursor {
            told: watching.recent.lock().told,
            stage: Stage::Follows,
            places: true,
        }
    }

    /// A watcher that has seen everything up to the change `n` of this node; `None` when what
    /// followed is not kept any more.
    pub(crate) fn after(watching: &Watching, n: u64) -> Option<Cursor> {
        let told = watching.recent.lock().place_of(n)?;
        Some(Cursor {
            told,
            stage: Stage::Follows,
            places: false,
        })
    }

    /// Everybody has been told who was there at the beginning.
    pub(crate) fn is_loaded(&self) -> bool {
        self.stage == Stage::Follows
    }

    /// What is new; `None` = nothing. To be called under the lock of the view that `roster` is.
    ///
    /// Tells about a page of users, or of changes, at a time; there may be more at once.
    pub(crate) fn step(&mut self, watching: &Watching, roster: &Roster) -> Option<Update> {
        let mut update = Update::default();
        while !self.advance(watching, &mut update) && update.changes.is_empty() {}
        let loads = self.stage != Stage::Follows;
        update.loading = loads;
        // The next page is as of now, so what is before it has to be, too.
        if loads && self.told == watching.recent.lock().told {
            self.load(roster, &mut update);
        }
        (loads || !update.changes.is_empty()).then_some(update)
    }

    /// Takes about a page of what was told, or begins anew; true = that was all.
    fn advance(&mut self, watching: &Watching, update: &mut Update) -> bool {
        let (told, n, missed) = {
            let recent = watching.recent.lock();
            (recent.told, recent.n, recent.since(self.told))
        };
        update.n = n;
        let Some(batches) = missed.filter(|_| self.stage != Stage::Begins) else {
            self.stage = Stage::Begins;
            update.reload = true;
            self.told = told;
            return true;
        };
        self.collect(&batches, update);
        self.told += batches.len() as u64;
        if let Some(last) = batches.last() {
            update.n = last.n;
        }
        self.told == told
    }

    fn collect(&self, batches: &[Batch], update: &mut Update) {
        let diffs = batches.iter().flat_map(|batch| batch.diffs.iter());
        let wanted = diffs.filter(|diff| {
            let loaded = match &self.stage {
                Stage::Begins => false,
                Stage::Loads(until) => diff.uid <= *until,
                Stage::Follows => true,
            };
            loaded && (self.places || is_change(diff))
        });
        update.changes.extend(wanted.cloned());
    }

    fn load(&mut self, roster: &Roster, update: &mut Update) {
        let after = match &self.stage {
            Stage::Loads(uid) => Some(uid),
            Stage::Begins | Stage::Follows => None,
        };
        let page = roster.page(after, PAGE, None);
        self.stage = page.next.map_or(Stage::Follows, Stage::Loads);
        update.loading = !self.is_loaded();
        let there = page.users.into_iter().map(|(uid, now)| Diff {
            uid,
            before: Kinds::NONE,
            now,
        });
        update.changes.extend(there);
    }
}

#[cfg(test)]
mod tests;
