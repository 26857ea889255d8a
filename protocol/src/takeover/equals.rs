//! Equal pushes without a name: how many of those that two nodes heard are the same ones.

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
    let edge = edges.max_by_key(|edge| distance(*edge)).unwrap_or(start);
    let after = |copies: &Copies| copies.at.iter().filter(|time| **time > edge).count() as i64;
    after(holder) - after(taker)
}

#[cfg(test)]
mod tests;
