//! Equal pushes without a name: how many of those that two nodes heard are the same ones.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::ids::NodeId;

/// Where a session begins to count. High, so that there is room below for a node that lags.
pub(crate) const FIRST: u64 = 1 << 20;

/// By how much two nodes may differ in when they hear a push, in milliseconds.
const SKEW: u64 = 1_000;

/// What turns a node's own count of equal pushes into the index of one in the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// To be added, modulo 2^64.
    Known(u64),
    /// The node has not said a count yet; the next one it says is this index.
    Next(u64),
}

impl Base {
    /// The index of what the node counts as `count`.
    pub(crate) fn index(&mut self, count: u64) -> u64 {
        match *self {
            Base::Known(base) => base.wrapping_add(count),
            Base::Next(next) => {
                *self = Base::Known(next.wrapping_sub(count));
                next
            }
        }
    }
}

impl Default for Base {
    fn default() -> Base {
        Base::Next(FIRST)
    }
}

/// What a session has of pushes that differ in nothing.
///
/// Every node hears each of them once and counts it. Once their counts are aligned, which is done
/// when the session is taken, the index of one is the same wherever it was heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Equal {
    /// How this node counts.
    pub(crate) own: Base,
    /// How other nodes count.
    pub(crate) others: BTreeMap<NodeId, Base>,
    /// Which ones the session has.
    pub(crate) had: BTreeSet<u64>,
}

/// One node's copies of one push, by the taker's clock, and since when all of them are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Copies {
    pub(crate) at: Vec<u64>,
    pub(crate) since: u64,
}

/// Of copies that differ in nothing, how many more the holder had at its cut than the taker had
/// heard before it registered the session. So many of the next that the taker hears are second copies.
///
/// Each node knows them for a while only, and not back to the same moment. So both count from one
/// moment in between, and that is the one farthest from any copy: the clocks, and the ways of the
/// push to the two nodes, may differ by that much. Negative: the holder will forward them.
pub(crate) fn holder_is_ahead_by(holder: &Copies, taker: &Copies, registered: u64) -> i64 {
    let mut times: Vec<u64> = holder.at.iter().chain(&taker.at).copied().collect();
    times.sort_unstable();
    let start = holder.since.max(taker.since);
    let between = times.windows(2).map(|pair| pair[0].midpoint(pair[1]));
    let edges = between
        .chain([start, registered])
        .filter(|edge| (start..=registered).contains(edge));
    let distance = |edge: u64| times.iter().map(|time| time.abs_diff(edge)).min();
    // Beyond this no push differs that much on its way, and the earlier the more is counted.
    let key = |edge: u64| {
        (
            distance(edge).map_or(SKEW, |far| far.min(SKEW)),
            Reverse(edge),
        )
    };
    let edge = edges.max_by_key(|edge| key(*edge)).unwrap_or(start);
    let after = |copies: &Copies| copies.at.iter().filter(|time| **time > edge).count() as i64;
    after(holder) - after(taker)
}

#[cfg(test)]
mod tests;
