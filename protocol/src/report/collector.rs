//! Puts the counts of many nodes together and says when a report is whole, or has waited long enough.

use std::collections::{BTreeSet, HashMap};

use smallvec::SmallVec;

use super::{Report, ReportId, SETTLE_MS, WAIT_MS};
use crate::ids::NodeId;
use crate::millis::Millis;

/// Equal requests that share a report, and nodes that count for one: more than any cluster has. Beyond
/// it they are refused like further reports, or one report could take all the memory there is.
pub(super) const MAX_SHARING: usize = 1_024;

/// No further report can be collected now; its asker gets no answer from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many reports are under way")]
pub struct Full;

/// The reports that this node puts together. `A` says where an answer goes.
///
/// A report is opened by the push itself, which every node hears, and never by a count: so it is
/// answered once, also when a count comes long after. Counts that come before the push wait for
/// it. Bounded by a number of reports, [`WAIT_MS`] each. A call costs O(log n).
#[derive(Debug)]
pub struct Collector<A> {
    max: usize,
    under_way: HashMap<ReportId, Gathering<A>>,
    /// When each of them is over.
    due: BTreeSet<(Millis, ReportId)>,
    answers: Vec<(A, Report)>,
}

#[derive(Debug)]
struct Gathering<A> {
    /// Empty while only counts have come. More than one: equal requests at once.
    askers: SmallVec<[A; 1]>,
    counted: SmallVec<[(NodeId, u64); 2]>,
    /// Who has not counted yet.
    expected: SmallVec<[NodeId; 2]>,
    /// Nobody is expected: then it is not whole before its time.
    settling: bool,
    due: Millis,
}

impl<A> Gathering<A> {
    fn until(due: Millis) -> Gathering<A> {
        Gathering {
            askers: SmallVec::new(),
            counted: SmallVec::new(),
            expected: SmallVec::new(),
            settling: false,
            due,
        }
    }

    fn is_whole(&self) -> bool {
        !self.askers.is_empty() && self.expected.is_empty() && !self.settling
    }

    fn report(&self) -> Report {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        Report {
            clients: (self.counted.iter())
                .fold(0, |sum, (_, clients)| sum.saturating_add(*clients)),
            nodes: count(self.counted.len()),
            missing: count(self.expected.len()),
        }
    }
}

impl<A> Collector<A> {
    /// None under way, and never more than `max`.
    pub fn new(max: usize) -> Collector<A> {
        Collector {
            max,
            under_way: HashMap::new(),
            due: BTreeSet::new(),
            answers: Vec::new(),
        }
    }

    /// The push has come here, this node is to answer `asker`, and `expected` are to count: those
    /// that the user is connected to, this one included where it is one of them.
    ///
    /// # Errors
    /// [`Full`]; nothing is kept.
    pub fn open(
        &mut self,
        id: ReportId,
        asker: A,
        expected: impl IntoIterator<Item = NodeId>,
        now: Millis,
    ) -> Result<(), Full> {
        let gathering = self.gathering(id, now)?;
        if gathering.askers.len() >= MAX_SHARING {
            return Err(Full);
        }
        gathering.askers.push(asker);
        if gathering.askers.len() > 1 {
            return Ok(());
        }
        let mut settle = true;
        for node in expected {
            settle = false;
            let counted = gathering.counted.iter().any(|(other, _)| *other == node);
            if !counted && !gathering.expected.contains(&node) {
                gathering.expected.push(node);
            }
        }
        gathering.settling = settle;
        let (before, due) = (
            gathering.due,
            now.plus(if settle { SETTLE_MS } else { WAIT_MS }),
        );
        gathering.due = due;
        self.due.remove(&(before, id));
        self.due.insert((due, id));
        self.finish(id, false);
        Ok(())
    }

    /// `node` has put a push in line for `clients`. Its first word counts.
    ///
    /// # Errors
    /// [`Full`]; the count is not kept.
    pub fn count(
        &mut self,
        id: ReportId,
        node: &NodeId,
        clients: u64,
        now: Millis,
    ) -> Result<(), Full> {
        let gathering = self.gathering(id, now)?;
        if gathering.counted.iter().all(|(other, _)| other != node) {
            if gathering.counted.len() >= MAX_SHARING {
                return Err(Full);
            }
            gathering.counted.push((node.clone(), clients));
            gathering.expected.retain(|other| other != node);
        }
        self.finish(id, false);
        Ok(())
    }

    /// Ends what has waited long enough. Returns how many counts were for reports that nobody asked
    /// this node for, or asked for long before.
    pub fn tick(&mut self, now: Millis) -> u64 {
        let mut strays = 0;
        while let Some((due, id)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            if !self.finish(id, true) {
                self.due.remove(&(due, id));
                strays += (self.under_way.remove(&id)).map_or(0, |left| left.counted.len() as u64);
            }
        }
        strays
    }

    /// When to call [`Collector::tick`] next; `None` while nothing is under way.
    pub fn next(&self) -> Option<Millis> {
        self.due.first().map(|(due, _)| *due)
    }

    /// The answers that are due: each asker once.
    pub fn take_answers(&mut self) -> Vec<(A, Report)> {
        std::mem::take(&mut self.answers)
    }

    /// Reports and early counts under way.
    pub fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    fn gathering(&mut self, id: ReportId, now: Millis) -> Result<&mut Gathering<A>, Full> {
        if !self.under_way.contains_key(&id) {
            if self.under_way.len() >= self.max {
                return Err(Full);
            }
            self.due.insert((now.plus(WAIT_MS), id));
        }
        let gathering = self.under_way.entry(id);
        Ok(gathering.or_insert_with(|| Gathering::until(now.plus(WAIT_MS))))
    }

    /// Answers a report that is whole, or whose time is over.
    fn finish(&mut self, id: ReportId, over: bool) -> bool {
        let done = self
            .under_way
            .get(&id)
            .is_some_and(|it| it.is_whole() || (over && !it.askers.is_empty()));
        if done && let Some(gathering) = self.under_way.remove(&id) {
            self.due.remove(&(gathering.due, id));
            let report = gathering.report();
            let answers = gathering.askers.into_iter().map(|asker| (asker, report));
            self.answers.extend(answers);
        }
        done
    }
}
