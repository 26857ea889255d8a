//! An ordered map from uid to row, in sorted blocks: what a million users cost is decided here.
//!
//! A block holds up to 128 uids end to end in one text, so a uid costs its own bytes, two for where
//! it ends and its row, and no allocation of its own. Blocks stand in a B-tree under their lower
//! bounds. A lookup is a search among the bounds and one within the block; walking is sequential.

use std::collections::BTreeMap;
use std::ops::Bound;

/// Uids in one block at most. 128 × 256 bytes of the longest uids still fit an end in 16 bits.
const MAX_ROWS: usize = 128;

/// Neighbours that together have no more than this become one.
const MERGE_ROWS: usize = MAX_ROWS / 2;

/// See the file's doc. `R` is small: it is moved when a neighbour comes or goes.
#[derive(Debug)]
pub(super) struct Rows<R> {
    /// Under the lower bound of what may be in them; the first one's is empty, and it always exists.
    blocks: BTreeMap<Box<str>, Block<R>>,
}

#[derive(Debug)]
struct Block<R> {
    text: String,
    /// Where each uid ends in `text`.
    ends: Vec<u16>,
    rows: Vec<R>,
}

impl<R: Copy> Rows<R> {
    pub(super) fn new() -> Rows<R> {
        Rows {
            blocks: BTreeMap::from([("".into(), Block::new())]),
        }
    }

    /// O(log n).
    pub(super) fn get(&self, uid: &str) -> Option<&R> {
        let (_, block) = self.blocks.range::<str, _>(upto(uid)).next_back()?;
        block.find(uid).ok().map(|at| &block.rows[at])
    }

    /// O(log n).
    pub(super) fn get_mut(&mut self, uid: &str) -> Option<&mut R> {
        let (_, block) = self.blocks.range_mut::<str, _>(upto(uid)).next_back()?;
        block.find(uid).ok().map(|at| &mut block.rows[at])
    }

    /// The row of `uid`, which is `empty` if there was none. O(log n).
    pub(super) fn entry(&mut self, uid: &str, empty: R) -> &mut R {
        let place = |block: &Block<R>| (block.find(uid), block.rows.len());
        let last = self.blocks.range::<str, _>(upto(uid)).next_back();
        if let Some((bound, (Err(at), MAX_ROWS))) = last.map(|(b, block)| (b, place(block))) {
            let bound = bound.clone();
            self.split(&bound, at);
        }
        let mut blocks = self.blocks.range_mut::<str, _>(upto(uid));
        let (_, block) = blocks
            .next_back()
            .expect("the first block, whose bound is below every uid");
        let at = block.find(uid).unwrap_or_else(|at| {
            block.insert(at, uid, empty);
            at
        });
        &mut block.rows[at]
    }

    /// Makes room for one at `at` in a full block.
    fn split(&mut self, bound: &str, at: usize) {
        let Some(block) = self.blocks.get_mut(bound) else {
            return;
        };
        // What comes in order goes behind: full blocks stay full, where halves would be left.
        let from = if at == MAX_ROWS {
            MAX_ROWS - 1
        } else {
            MAX_ROWS / 2
        };
        let upper = block.split_off(from);
        self.blocks.insert(upper.uid(0).into(), upper);
    }

    /// O(log n).
    pub(super) fn remove(&mut self, uid: &str) -> Option<R> {
        let mut blocks = self.blocks.range_mut::<str, _>(upto(uid));
        let (bound, block) = blocks.next_back()?;
        let at = block.find(uid).ok()?;
        let row = block.remove(at);
        if block.rows.len() < MERGE_ROWS / 2 {
            let bound = bound.clone();
            self.merge(&bound);
        }
        Some(row)
    }

    /// Puts the block at `bound` and the one behind it together if both are small.
    fn merge(&mut self, bound: &str) {
        let behind = (Bound::Excluded(bound), Bound::Unbounded);
        let next = self.blocks.range::<str, _>(behind).next();
        let Some((next, size)) = next.map(|(next, block)| (next.clone(), block.rows.len())) else {
            return;
        };
        let small = |block: &Block<R>| block.rows.len() + size <= MERGE_ROWS;
        if self.blocks.get(bound).is_some_and(small)
            && let Some(next) = self.blocks.remove(&next)
            && let Some(block) = self.blocks.get_mut(bound)
        {
            block.append(&next);
        }
    }

    /// All behind `after`, in order.
    pub(super) fn after(&self, after: Option<&str>) -> impl Iterator<Item = (&str, &R)> {
        let from = after.unwrap_or_default();
        let first = self.blocks.range::<str, _>(upto(from)).next_back();
        let bound = first.map_or(from, |(bound, _)| bound);
        let skip = match (first, after) {
            (Some((_, block)), Some(after)) => block.behind(after),
            _ => 0,
        };
        let blocks = (Bound::Included(bound), Bound::Unbounded);
        let rows = self.blocks.range::<str, _>(blocks);
        rows.flat_map(|(_, block)| (0..block.rows.len()).map(|at| (block.uid(at), &block.rows[at])))
            .skip(skip)
    }

    /// Shows `look` the rows behind `after` in order, whole blocks until it was at least `rows`:
    /// false takes one out. After whom to go on, or none at the end.
    pub(super) fn sweep(
        &mut self,
        after: Option<&str>,
        rows: usize,
        mut look: impl FnMut(&str, &mut R) -> bool,
    ) -> Option<Box<str>> {
        let from = after.unwrap_or_default();
        let first = self.blocks.range::<str, _>(upto(from)).next_back();
        let bound: Box<str> = first.map_or("".into(), |(bound, _)| bound.clone());
        let (mut seen, mut skip) = (0, after);
        let mut last: Option<Box<str>> = None;
        let mut small: Vec<Box<str>> = Vec::new();
        let blocks = (Bound::Included(&*bound), Bound::Unbounded);
        for (bound, block) in self.blocks.range_mut::<str, _>(blocks) {
            if seen >= rows && last.is_some() {
                break;
            }
            let from = skip.take().map_or(0, |after| block.behind(after));
            let behind = block.rows.len().checked_sub(1);
            last = behind.map(|at| block.uid(at).into()).or(last);
            seen += block.rows.len() - from;
            block.retain(from, &mut look);
            if block.rows.len() < MERGE_ROWS / 2 {
                small.push(bound.clone());
            }
        }
        // From behind, so that many small ones end up in one.
        for bound in small.iter().rev() {
            self.merge(bound);
        }
        let last = last?;
        let more = self.after(Some(&last)).next().is_some();
        more.then_some(last)
    }
}

/// The bounds up to and including the one of `uid`'s block.
fn upto(uid: &str) -> (Bound<&str>, Bound<&str>) {
    (Bound::Unbounded, Bound::Included(uid))
}

impl<R: Copy> Block<R> {
    fn new() -> Block<R> {
        Block {
            text: String::new(),
            ends: Vec::new(),
            rows: Vec::new(),
        }
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1)
            .map_or(0, |before| usize::from(self.ends[before]))
    }

    fn uid(&self, at: usize) -> &str {
        &self.text[self.start(at)..usize::from(self.ends[at])]
    }

    /// Where `uid` is, or would be.
    fn find(&self, uid: &str) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.uid(middle).cmp(uid) {
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// How many are not behind `uid`.
    fn behind(&self, uid: &str) -> usize {
        self.find(uid).map_or_else(|at| at, |at| at + 1)
    }

    fn insert(&mut self, at: usize, uid: &str, row: R) {
        self.reserve(uid.len());
        let start = self.start(at);
        self.text.insert_str(start, uid);
        for end in &mut self.ends[at..] {
            *end += uid.len() as u16;
        }
        self.ends.insert(at, (start + uid.len()) as u16);
        self.rows.insert(at, row);
    }

    /// Room for one more. By a quarter at a time: doubling would leave a third of it unused.
    fn reserve(&mut self, text: usize) {
        if self.rows.len() == self.rows.capacity() {
            let more = (self.rows.len() / 4).max(4);
            self.rows.reserve_exact(more);
            self.ends.reserve_exact(more);
        }
        if self.text.len() + text > self.text.capacity() {
            self.text.reserve_exact(text + self.text.len() / 4);
        }
    }

    fn remove(&mut self, at: usize) -> R {
        let (start, end) = (self.start(at), usize::from(self.ends[at]));
        self.text.replace_range(start..end, "");
        self.ends.remove(at);
        for later in &mut self.ends[at..] {
            *later -= (end - start) as u16;
        }
        self.rows.remove(at)
    }

    fn split_off(&mut self, at: usize) -> Block<R> {
        let start = self.start(at);
        let mut upper = Block {
            text: self.text[start..].to_owned(),
            ends: self.ends[at..].to_vec(),
            rows: self.rows[at..].to_vec(),
        };
        for end in &mut upper.ends {
            *end -= start as u16;
        }
        self.text.truncate(start);
        self.ends.truncate(at);
        self.rows.truncate(at);
        upper
    }

    fn append(&mut self, upper: &Block<R>) {
        let start = self.text.len() as u16;
        self.text.push_str(&upper.text);
        self.ends.extend(upper.ends.iter().map(|end| start + end));
        self.rows.extend_from_slice(&upper.rows);
    }

    /// Shows `look` the rows from `from` on; false takes one out.
    fn retain(&mut self, from: usize, look: &mut impl FnMut(&str, &mut R) -> bool) {
        let mut gone: Vec<usize> = Vec::new();
        let mut start = self.start(from);
        for at in from..self.rows.len() {
            let end = usize::from(self.ends[at]);
            if !look(&self.text[start..end], &mut self.rows[at]) {
                gone.push(at);
            }
            start = end;
        }
        if !gone.is_empty() {
            let mut kept = Block::new();
            let mut gone = gone.iter().peekable();
            for at in 0..self.rows.len() {
                if gone.next_if(|next| **next == at).is_none() {
                    kept.text.push_str(self.uid(at));
                    kept.ends.push(kept.text.len() as u16);
                    kept.rows.push(self.rows[at]);
                }
            }
            *self = kept;
        }
    }
}

#[cfg(test)]
mod tests;
