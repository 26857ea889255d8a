//! What a follower of the feed, and its teller, need of the place where they keep who has been told.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::same::Sum;
use super::{Page, Roster};
use crate::ids::{NodeId, Uid};
use crate::millis::Millis;

/// Who is online as far as the feed has told: one flag per user.
pub trait Told {
    /// Whether the feed has told that this user is there.
    fn is_told(&self, uid: &Uid) -> bool;

    /// Sets it. Setting what is so already changes nothing.
    fn set_told(&mut self, uid: &Uid, told: bool, now: Millis);

    /// At most `limit` told users behind `after`, in order.
    fn told_page(&self, after: Option<&Uid>, limit: usize) -> Page<Uid>;

    /// The sum of all who are told.
    fn told_sum(&self) -> Sum;

    /// Shows `look` all told users behind `after`, in order, until it says false.
    fn each_told(&self, after: Option<&Uid>, look: impl FnMut(&str) -> bool);

    /// Of those behind `after` and up to `until`, itself included, exactly `told` are told; `None`
    /// is the beginning, or the end. `told` is in order and within.
    fn retain_told_in(
        &mut self,
        after: Option<&Uid>,
        until: Option<&Uid>,
        told: &[Uid],
        now: Millis,
    );
}

/// What a teller has besides: who is there, as it sees it, after the grace.
pub trait Announced: Told {
    /// Whether this user is there.
    fn is_announced(&self, uid: &Uid) -> bool;

    /// Whether this node is there, in whatever life.
    fn is_live(&self, node: &NodeId) -> bool;

    /// Those whose `told` is not their `announced`: since when, and whether announced.
    fn differing(&self) -> impl Iterator<Item = (&str, Millis, bool)>;
}

impl Told for BTreeSet<Uid> {
    fn is_told(&self, uid: &Uid) -> bool {
        self.contains(uid)
    }

    fn set_told(&mut self, uid: &Uid, told: bool, _: Millis) {
        if !told {
            self.remove(uid);
        } else if !self.contains(uid) {
            self.insert(uid.clone());
        }
    }

    fn told_page(&self, after: Option<&Uid>, limit: usize) -> Page<Uid> {
        let users: Vec<Uid> = behind(self, after).take(limit).cloned().collect();
        let full = users.len() == limit;
        let next = if full { users.last().cloned() } else { None };
        Page { users, next }
    }

    /// O(n): a set of its own keeps no sum.
    fn told_sum(&self) -> Sum {
        let mut sum = Sum::default();
        self.iter().for_each(|uid| sum.change(uid.as_str(), true));
        sum
    }

    fn each_told(&self, after: Option<&Uid>, mut look: impl FnMut(&str) -> bool) {
        behind(self, after).all(|uid| look(uid.as_str()));
    }

    fn retain_told_in(
        &mut self,
        after: Option<&Uid>,
        until: Option<&Uid>,
        told: &[Uid],
        _: Millis,
    ) {
        let gone: Vec<Uid> = behind(self, after)
            .take_while(|uid| until.is_none_or(|until| *uid <= until))
            .filter(|uid| told.binary_search(uid).is_err())
            .cloned()
            .collect();
        for uid in gone {
            self.remove(&uid);
        }
        self.extend(told.iter().cloned());
    }
}

fn behind<'a>(uids: &'a BTreeSet<Uid>, after: Option<&Uid>) -> impl Iterator<Item = &'a Uid> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    uids.range::<Uid, _>((from, Bound::Unbounded))
}

impl Told for Roster {
    fn is_told(&self, uid: &Uid) -> bool {
        Roster::is_told(self, uid)
    }

    fn set_told(&mut self, uid: &Uid, told: bool, now: Millis) {
        Roster::set_told(self, uid, told, now);
    }

    fn told_page(&self, after: Option<&Uid>, limit: usize) -> Page<Uid> {
        Roster::told_page(self, after, limit)
    }

    fn told_sum(&self) -> Sum {
        Roster::told_sum(self)
    }

    fn each_told(&self, after: Option<&Uid>, look: impl FnMut(&str) -> bool) {
        Roster::each_told(self, after, look);
    }

    fn retain_told_in(
        &mut self,
        after: Option<&Uid>,
        until: Option<&Uid>,
        told: &[Uid],
        now: Millis,
    ) {
        Roster::retain_told_in(self, after, until, told, now);
    }
}

impl Announced for Roster {
    fn is_announced(&self, uid: &Uid) -> bool {
        !self.kinds(uid).is_none()
    }

    fn is_live(&self, node: &NodeId) -> bool {
        self.nodes().any(|known| known.id == node)
    }

    fn differing(&self) -> impl Iterator<Item = (&str, Millis, bool)> {
        Roster::differing(self)
    }
}
