//! Which of several equal pushes a session that came from another node has.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::ids::NodeId;
use crate::millis::Millis;
use crate::rules::{Rule, holds};
use crate::takeover::{Applied, Base, Copies, Equal, FIRST, HeardContent, holder_is_ahead_by};

/// Contents remembered at most, the newest: beyond it, pushes are what they seem.
const MAX_CONTENTS: usize = 4096;

/// Pushes without a name, by content.
#[derive(Debug, Default)]
pub(super) struct Equals {
    by_content: BTreeMap<u128, Equal>,
    /// The same contents, oldest first.
    by_age: VecDeque<u128>,
    /// The last that this node heard before it registered the session, which got none of these by
    /// itself.
    heard: BTreeMap<u128, u64>,
    /// How many of those the session has not.
    missing: u64,
}

/// What two nodes heard of one content, by the clock of the taker.
#[derive(Default)]
struct Both<'a> {
    theirs: Copies,
    ours: Copies,
    their_last: Option<&'a HeardContent>,
    our_last: Option<&'a HeardContent>,
}

impl Equals {
    /// Aligns the counts of this node, `here`, to those of the holder.
    pub(super) fn new(
        here: &NodeId,
        holder: &NodeId,
        applied: &Applied,
        cut: Millis,
        before: &Applied,
        registered: Millis,
    ) -> Equals {
        let mut both: BTreeMap<u128, Both<'_>> = BTreeMap::new();
        for content in applied.equals.keys() {
            both.entry(*content).or_default();
        }
        for heard in &applied.contents {
            let both = both.entry(heard.content).or_default();
            both.theirs.at.push(cut.0.saturating_sub(heard.age));
            both.their_last = Some(heard);
        }
        for heard in &before.contents {
            let both = both.entry(heard.content).or_default();
            both.ours.at.push(registered.0.saturating_sub(heard.age));
            both.our_last = Some(heard);
        }
        let mut equals = Equals::default();
        let mut ages: Vec<(u64, u128)> =
            both.iter().map(|(id, both)| (both.newest(), *id)).collect();
        ages.sort_unstable();
        equals.by_age = ages.into_iter().map(|(_, content)| content).collect();
        for (content, mut both) in both {
            both.theirs.since = cut.0.saturating_sub(applied.reach_ms);
            both.ours.since = registered.0.saturating_sub(before.reach_ms);
            let known = applied.equals.get(&content).cloned();
            let mut equal = known.unwrap_or_else(|| both.at_rest());
            // The last that each of the two nodes has heard itself.
            let theirs = match (both.their_last, equal.own) {
                (Some(last), _) => equal.own.index(last.count),
                (None, Base::Next(next)) => next.saturating_sub(1),
                (None, Base::Known(_)) => equal.newest(),
            };
            let ahead = holder_is_ahead_by(&both.theirs, &both.ours, registered.0);
            let ours = theirs.saturating_add_signed(-ahead);
            equals.heard.insert(content, ours);
            equals.missing += lacks(&equal.had, ours);
            // Aligned before, it counts as then.
            let aligned = equal.others.remove(here).unwrap_or(match both.our_last {
                Some(last) => Base::Known(ours.wrapping_sub(last.count)),
                None => Base::Next(ours.saturating_add(1)),
            });
            let theirs = std::mem::replace(&mut equal.own, aligned);
            equal.others.insert(holder.clone(), theirs);
            equals.by_content.insert(content, equal);
        }
        equals.forget_beyond(MAX_CONTENTS);
        equals
    }

    /// Forgets the oldest contents. What is to be forwarded of them is not waited for either.
    fn forget_beyond(&mut self, most: usize) {
        while self.by_content.len() > most
            && let Some(oldest) = self.by_age.pop_front()
        {
            let equal = self.by_content.remove(&oldest);
            if let (Some(equal), Some(heard)) = (equal, self.heard.remove(&oldest)) {
                self.missing -= lacks(&equal.had, heard);
            }
        }
    }

    /// Knows how others count from when the session was here before.
    pub(super) fn resume(&mut self, before: &Equals) {
        for (content, older) in &before.by_content {
            if let Some(equal) = self.by_content.get_mut(content) {
                for (node, base) in &older.others {
                    equal.others.entry(node.clone()).or_insert(*base);
                }
            }
        }
    }

    fn entry(&mut self, content: u128) -> &mut Equal {
        if !self.by_content.contains_key(&content) {
            self.forget_beyond(MAX_CONTENTS - 1);
            self.by_age.push_back(content);
        }
        self.by_content.entry(content).or_default()
    }

    /// Which of its equals an own copy is.
    pub(super) fn own(&mut self, content: u128, count: u64) -> u64 {
        self.entry(content).own.index(count)
    }

    /// Which of its equals it is that `from` heard itself.
    pub(super) fn others(&mut self, content: u128, from: &NodeId, count: u64) -> u64 {
        let base = self.entry(content).others.entry(from.clone());
        base.or_default().index(count)
    }

    pub(super) fn has(&self, content: u128, index: u64) -> bool {
        let Some(equal) = self.by_content.get(&content) else {
            return false;
        };
        if holds(Rule::EqualsMatchOneForOne) {
            equal.had.contains(&index)
        } else {
            !equal.had.is_empty()
        }
    }

    /// Whether this node heard it before it had the session.
    pub(super) fn dropped(&self, content: u128, index: u64) -> bool {
        self.heard
            .get(&content)
            .is_some_and(|heard| index <= *heard)
    }

    /// The session has it now.
    pub(super) fn appended(&mut self, content: u128, index: u64) {
        let heard = self.heard.get(&content).copied();
        let new = self.entry(content).had.insert(index);
        if new && index >= FIRST && heard >= Some(index) {
            self.missing -= 1;
        }
    }

    /// Whether there is one that this node heard and dropped, and the session has not.
    pub(super) fn is_missing(&self) -> bool {
        self.missing > 0
    }

    pub(super) fn export(&self) -> BTreeMap<u128, Equal> {
        self.by_content.clone()
    }
}

/// How many up to the last one heard are not there.
fn lacks(had: &BTreeSet<u64>, heard: u64) -> u64 {
    if heard < FIRST {
        return 0;
    }
    let there = had.range(FIRST..=heard).count() as u64;
    (heard - FIRST).saturating_add(1).saturating_sub(there)
}

impl Equal {
    /// The newest that the session has; none if it has nothing.
    fn newest(&self) -> u64 {
        self.had.last().copied().unwrap_or(FIRST - 1)
    }
}

impl Both<'_> {
    /// When either node heard it last; the beginning of time if neither remembers.
    fn newest(&self) -> u64 {
        let times = self.theirs.at.iter().chain(&self.ours.at);
        times.copied().max().unwrap_or(0)
    }

    /// What a session that was at rest has: all that its node heard.
    fn at_rest(&self) -> Equal {
        let heard = self.theirs.at.len() as u64;
        let own = match self.their_last {
            Some(last) => Base::Known((FIRST + heard - 1).wrapping_sub(last.count)),
            None => Base::default(),
        };
        Equal {
            own,
            others: BTreeMap::new(),
            had: (FIRST..FIRST + heard).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
