//! What a follower of the feed has already, said with its question for the base, so that it is not sent again.

use xxhash_rust::xxh3::xxh3_128;

use super::told::Told;
use crate::ids::Uid;

/// Users in one range: fewer than on a page of the base, so that a page replaces a range.
pub(super) const RANGE_USERS: u64 = 4_096;

/// Ranges in one question at most: both ends walk over 65,536 users for it, about 2 ms.
pub(super) const MAX_RANGES: usize = 16;

/// What tells a set of users from any other: how many, and the xor of the xxh3_128 of their uids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub users: u64,
    /// The xor.
    pub digest: u128,
}

impl Sum {
    /// One who was not in the set comes, or one who was goes.
    pub fn change(&mut self, uid: &str, comes: bool) {
        self.digest ^= xxh3_128(uid.as_bytes());
        self.users = match comes {
            true => self.users + 1,
            false => self.users.saturating_sub(1),
        };
    }
}

/// What the asker of a page has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Have {
    /// In all, whatever page it asks for.
    pub all: Sum,
    /// And from where the page begins up to each of these users, in order: each range contains
    /// the ones before.
    pub upto: Vec<(Uid, Sum)>,
}

/// How much of what the asker has is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Agreed {
    /// All of it.
    Whole,
    /// From where the page begins up to this user.
    UpTo(Uid),
    /// Not even the first range.
    Nothing,
}

impl Have {
    /// What is in `told`: all, and `ranges` ranges of `each` users behind `after`, as far as there
    /// are so many.
    pub(super) fn of(told: &impl Told, after: Option<&Uid>, ranges: usize, each: u64) -> Have {
        let ranges = ranges.min(MAX_RANGES);
        let (mut upto, mut sum) = (Vec::new(), Sum::default());
        if ranges > 0 {
            told.each_told(after, |uid| {
                sum.change(uid, true);
                if sum.users.is_multiple_of(each) {
                    upto.push((Uid::known(uid), sum));
                }
                upto.len() < ranges
            });
        }
        let all = told.told_sum();
        Have { all, upto }
    }

    /// Compares it with what is in `told`.
    pub(super) fn agrees(&self, told: &impl Told, after: Option<&Uid>) -> Agreed {
        if self.all == told.told_sum() {
            return Agreed::Whole;
        }
        // Nobody makes this node walk further than it would itself ask others to.
        let most = RANGE_USERS * MAX_RANGES as u64;
        let most = self.upto.last().map_or(0, |(_, sum)| sum.users.min(most));
        let (mut agreed, mut sum) = (Agreed::Nothing, Sum::default());
        let mut compare = |until: &Uid, theirs: &Sum, ours: Sum| {
            if *theirs == ours {
                agreed = Agreed::UpTo(until.clone());
            }
        };
        let mut ranges = self.upto.iter().peekable();
        let mut walked_all = true;
        told.each_told(after, |uid| {
            while let Some((until, theirs)) = ranges.next_if(|(until, _)| until.as_str() < uid) {
                compare(until, theirs, sum);
            }
            sum.change(uid, true);
            walked_all = ranges.peek().is_some() && sum.users <= most;
            walked_all
        });
        if walked_all {
            ranges.for_each(|(until, theirs)| compare(until, theirs, sum));
        }
        agreed
    }
}

#[cfg(test)]
mod tests;
