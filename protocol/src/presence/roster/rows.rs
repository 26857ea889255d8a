//! An ordered map from uid to row, in sorted blocks: what a million users cost is decided here.
//!
//! Blocks stand in order, each with a mark: the first bytes, behind what all bounds share, of the
//! lower bound of what may be in it. A lookup is a search among the marks, which touches no block and
//! stays in the processor's cache, and one look into a block; walking is sequential.

mod block;

use self::block::{Block, MAX_ROWS};

/// Neighbours that together have no more than this become one.
const MERGE_ROWS: usize = MAX_ROWS / 2;

/// What the map has to know of its rows. They are small: they move when a neighbour comes or goes.
pub(super) trait Row: Copy {
    /// What is said of somebody of whom nothing is said; see [`Row::is_vacant`].
    const VACANT: Self;

    /// It says nothing, and need not be kept.
    fn is_vacant(&self) -> bool;

    /// One of those that [`Rows::differing`] finds. A vacant one never is.
    fn differs(&self) -> bool;
}

/// See the file's doc.
#[derive(Debug)]
pub(super) struct Rows<R> {
    /// Of each block; where marks are equal the bounds themselves decide.
    marks: Vec<u128>,
    /// In each block, how many differ.
    differing: Vec<u8>,
    /// In all of them.
    all_differing: usize,
    /// In order; there is always the first one, whose bound is empty.
    #[expect(
        clippy::vec_box,
        reason = "a split moves all behind it: 8 bytes each, not 456"
    )]
    blocks: Vec<Box<Block<R>>>,
    /// What all bounds but the first begin with.
    shared: Box<str>,
}

/// The first bytes of a text as a number of the same order.
fn mark(text: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    let length = text.len().min(16);
    bytes[..length].copy_from_slice(&text[..length]);
    u128::from_be_bytes(bytes)
}

impl<R: Row> Rows<R> {
    pub(super) fn new() -> Rows<R> {
        Rows {
            marks: vec![0],
            differing: vec![0],
            all_differing: 0,
            blocks: vec![Box::new(Block::new(""))],
            shared: "".into(),
        }
    }

    /// Which block has `uid`, or would have it.
    fn block(&self, uid: &str) -> usize {
        let Some(rest) = uid.as_bytes().strip_prefix(self.shared.as_bytes()) else {
            // Below or above all bounds.
            let above = uid > &*self.shared;
            return if above { self.blocks.len() - 1 } else { 0 };
        };
        let mark = mark(rest);
        // The first block's bound is below everything, whatever the marks are.
        let marks = &self.marks[1..];
        let from = marks.partition_point(|other| *other < mark);
        if marks.get(from) != Some(&mark) {
            return from;
        }
        let equal = marks[from..].partition_point(|other| *other == mark);
        let equal = &self.blocks[1 + from..1 + from + equal];
        from + equal.partition_point(|block| block.bound() <= uid)
    }

    /// A search among marks that are in cache, and three or four steps in memory that may not be.
    pub(super) fn get(&self, uid: &str) -> Option<&R> {
        let block = &self.blocks[self.block(uid)];
        block.find(uid).map(|at| block.row(at))
    }

    /// Changes the row of `uid`, which is [vacant](Row::VACANT) if there is none; one that is vacant
    /// afterwards is not kept. Costs a lookup, and when somebody comes or goes the moving of up to
    /// [`MAX_ROWS`] neighbours.
    pub(super) fn change<T>(&mut self, uid: &str, change: impl FnOnce(&mut R) -> T) -> T {
        let which = self.block(uid);
        let block = &mut self.blocks[which];
        let Some(at) = block.find(uid) else {
            let mut row = R::VACANT;
            let result = change(&mut row);
            if !row.is_vacant() {
                self.insert(which, uid, row);
            }
            return result;
        };
        let row = block.row_mut(at);
        let before = *row;
        let result = change(row);
        let after = *row;
        if after.is_vacant() {
            block.remove(at);
        }
        self.count(which, before.differs(), after.differs());
        if after.is_vacant() && self.blocks[which].len() < MERGE_ROWS / 2 {
            self.merge(which);
            self.merge(which.saturating_sub(1));
        }
        result
    }

    fn count(&mut self, which: usize, before: bool, after: bool) {
        let count = &mut self.differing[which];
        *count = *count + u8::from(after) - u8::from(before);
        self.all_differing = self.all_differing + usize::from(after) - usize::from(before);
    }

    fn insert(&mut self, mut which: usize, uid: &str, row: R) {
        let mut at = self.blocks[which].place(uid);
        if self.blocks[which].len() == MAX_ROWS {
            self.split(which, at);
            which = self.block(uid);
            at = self.blocks[which].place(uid);
        }
        self.blocks[which].insert(at, uid, row);
        self.count(which, false, row.differs());
    }

    /// Makes room for one at `at` in a full block.
    fn split(&mut self, which: usize, at: usize) {
        // What comes in order goes behind: full blocks stay full, where halves would be left.
        let from = if at == MAX_ROWS {
            MAX_ROWS - 1
        } else {
            MAX_ROWS / 2
        };
        let upper = self.blocks[which].split_off(from);
        let differing = upper.differing();
        self.differing[which] -= differing;
        self.differing.insert(which + 1, differing);
        self.blocks.insert(which + 1, Box::new(upper));
        let shared = self.shares();
        let lowest = self.blocks[1].bound();
        if lowest[..shared] == *self.shared {
            let mark = mark(&self.blocks[which + 1].bound().as_bytes()[shared..]);
            self.marks.insert(which + 1, mark);
        } else {
            self.remark(shared);
        }
    }

    /// How many bytes all bounds but the first share: as many as the lowest and the highest do.
    fn shares(&self) -> usize {
        let lowest = self.blocks.get(1).map_or("", |block| block.bound());
        let highest = self.blocks.last().map_or("", |block| block.bound());
        let pairs = lowest.bytes().zip(highest.bytes());
        lowest.floor_char_boundary(pairs.take_while(|(a, b)| a == b).count())
    }

    fn remark(&mut self, shared: usize) {
        let lowest = self.blocks.get(1).map_or("", |block| block.bound());
        self.shared = lowest[..shared].into();
        let bounds = self.blocks.iter().map(|block| block.bound().as_bytes());
        let marks = bounds.map(|bound| mark(bound.get(shared..).unwrap_or_default()));
        self.marks = marks.collect();
    }

    /// Puts a block and the one behind it together if both are small. What all bounds share may
    /// become more by that; the marks need not know.
    fn merge(&mut self, which: usize) {
        let next = which + 1;
        if next < self.blocks.len()
            && self.blocks[which].len() + self.blocks[next].len() <= MERGE_ROWS
        {
            let upper = self.blocks.remove(next);
            self.marks.remove(next);
            self.differing[which] += self.differing.remove(next);
            self.blocks[which].append(&upper);
        }
    }

    /// All behind `after`, in order.
    pub(super) fn after(&self, after: Option<&str>) -> impl Iterator<Item = (&str, &R)> {
        let first = after.map_or(0, |after| self.block(after));
        let skip = after.map_or(0, |after| self.blocks[first].behind(after));
        let blocks = self.blocks[first..].iter();
        blocks.flat_map(|block| block.iter()).skip(skip)
    }

    /// Those that differ, in order. Costs by their number, and a byte for each block without any.
    pub(super) fn differing(&self) -> impl Iterator<Item = (&str, &R)> {
        let counts = if self.all_differing == 0 {
            &[][..]
        } else {
            &self.differing
        };
        let blocks = counts.iter().zip(&self.blocks);
        let blocks = blocks.filter(|(count, _)| **count > 0);
        let rows = blocks.flat_map(|(_, block)| block.iter());
        rows.filter(|(_, row)| row.differs())
    }
}

#[cfg(test)]
mod tests;
