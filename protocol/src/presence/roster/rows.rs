//! An ordered map from uid to row, in sorted blocks: what a million users cost is decided here.
//!
//! A block holds up to 128 uids end to end in one text, so a uid costs its own bytes, two for where
//! it ends and its row, and no allocation of its own. Blocks stand in order, each with a mark: the
//! first bytes, behind what all bounds share, of the lower bound of what may be in it. A lookup is a
//! search among the marks, which touches no block, and one within a block; walking is sequential.

/// Uids in one block at most. 128 × 256 bytes of the longest uids still fit an end in 16 bits.
const MAX_ROWS: usize = 128;

/// Neighbours that together have no more than this become one.
const MERGE_ROWS: usize = MAX_ROWS / 2;

/// See the file's doc. `R` is small: it is moved when a neighbour comes or goes.
#[derive(Debug)]
pub(super) struct Rows<R> {
    /// Of each block; where marks are equal the bounds themselves decide.
    marks: Vec<u128>,
    /// In order; there is always the first one, whose bound is empty.
    #[expect(
        clippy::vec_box,
        reason = "a split moves all behind it: 8 bytes each, not 88"
    )]
    blocks: Vec<Box<Block<R>>>,
    /// What all bounds but the first begin with.
    shared: Box<str>,
}

#[derive(Debug)]
struct Block<R> {
    /// Nothing below it is in this block.
    bound: Box<str>,
    text: String,
    /// Where each uid ends in `text`.
    ends: Vec<u16>,
    rows: Vec<R>,
}

/// The first bytes of a text as a number of the same order.
fn mark(text: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    let length = text.len().min(16);
    bytes[..length].copy_from_slice(&text[..length]);
    u128::from_be_bytes(bytes)
}

impl<R: Copy> Rows<R> {
    pub(super) fn new() -> Rows<R> {
        Rows {
            marks: vec![0],
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
        let equal = marks[from..].partition_point(|other| *other == mark);
        let equal = &self.blocks[1 + from..1 + from + equal];
        from + equal.partition_point(|block| &*block.bound <= uid)
    }

    /// O(log n).
    pub(super) fn get(&self, uid: &str) -> Option<&R> {
        let block = &self.blocks[self.block(uid)];
        block.find(uid).ok().map(|at| &block.rows[at])
    }

    /// O(log n).
    pub(super) fn get_mut(&mut self, uid: &str) -> Option<&mut R> {
        let which = self.block(uid);
        let block = &mut self.blocks[which];
        block.find(uid).ok().map(|at| &mut block.rows[at])
    }

    /// The row of `uid`, which is `empty` if there was none. O(log n).
    pub(super) fn entry(&mut self, uid: &str, empty: R) -> &mut R {
        let mut which = self.block(uid);
        let found = self.blocks[which].find(uid);
        if let Err(at) = found
            && self.blocks[which].rows.len() == MAX_ROWS
        {
            self.split(which, at);
            which = self.block(uid);
        }
        let block = &mut self.blocks[which];
        let at = block.find(uid).unwrap_or_else(|at| {
            block.insert(at, uid, empty);
            at
        });
        &mut block.rows[at]
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
        self.blocks.insert(which + 1, Box::new(upper));
        let shared = self.shares();
        let lowest = &self.blocks[1].bound;
        if lowest[..shared] == *self.shared {
            let mark = mark(&self.blocks[which + 1].bound.as_bytes()[shared..]);
            self.marks.insert(which + 1, mark);
        } else {
            self.remark(shared);
        }
    }

    /// How many bytes all bounds but the first share: as many as the lowest and the highest do.
    fn shares(&self) -> usize {
        let lowest = self.blocks.get(1).map_or("", |block| &*block.bound);
        let highest = self.blocks.last().map_or("", |block| &*block.bound);
        let pairs = lowest.bytes().zip(highest.bytes());
        lowest.floor_char_boundary(pairs.take_while(|(a, b)| a == b).count())
    }

    fn remark(&mut self, shared: usize) {
        let lowest = self.blocks.get(1).map_or("", |block| &*block.bound);
        self.shared = lowest[..shared].into();
        let bounds = self.blocks.iter().map(|block| block.bound.as_bytes());
        let marks = bounds.map(|bound| mark(bound.get(shared..).unwrap_or_default()));
        self.marks = marks.collect();
    }

    /// O(log n).
    pub(super) fn remove(&mut self, uid: &str) -> Option<R> {
        let which = self.block(uid);
        let block = &mut self.blocks[which];
        let at = block.find(uid).ok()?;
        let row = block.remove(at);
        if block.rows.len() < MERGE_ROWS / 2 {
            self.merge(which);
        }
        Some(row)
    }

    /// Puts a block and the one behind it together if both are small. What all bounds share may
    /// become more by that; the marks need not know.
    fn merge(&mut self, which: usize) {
        let next = which + 1;
        if next < self.blocks.len()
            && self.blocks[which].rows.len() + self.blocks[next].rows.len() <= MERGE_ROWS
        {
            let upper = self.blocks.remove(next);
            self.marks.remove(next);
            self.blocks[which].append(&upper);
        }
    }

    /// All behind `after`, in order.
    pub(super) fn after(&self, after: Option<&str>) -> impl Iterator<Item = (&str, &R)> {
        let first = after.map_or(0, |after| self.block(after));
        let skip = after.map_or(0, |after| self.blocks[first].behind(after));
        let rows = self.blocks[first..].iter();
        rows.flat_map(|block| (0..block.rows.len()).map(|at| (block.uid(at), &block.rows[at])))
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
        let first = after.map_or(0, |after| self.block(after));
        let (mut seen, mut skip, mut end) = (0, after, first);
        let mut last: Option<Box<str>> = None;
        while end < self.blocks.len() && (seen < rows || last.is_none()) {
            let block = &mut self.blocks[end];
            let from = skip.take().map_or(0, |after| block.behind(after));
            let behind = block.rows.len().checked_sub(1);
            last = behind.map(|at| block.uid(at).into()).or(last);
            seen += block.rows.len() - from;
            block.retain(from, &mut look);
            end += 1;
        }
        self.squeeze(first, end);
        let last = last?;
        let more = self.after(Some(&last)).next().is_some();
        more.then_some(last)
    }

    /// Puts small neighbours among the blocks from `first` up to `end` together.
    fn squeeze(&mut self, first: usize, end: usize) {
        let small = |block: &Block<R>| block.rows.len() < MERGE_ROWS / 2;
        if !self.blocks[first..end].iter().any(|block| small(block)) {
            return;
        }
        // In one go: to take them out one by one would move all blocks behind them each time.
        let mut kept: Vec<(u128, Box<Block<R>>)> = Vec::with_capacity(end - first);
        let marks = self.marks.drain(first..end);
        for (mark, block) in marks.zip(self.blocks.drain(first..end)) {
            match kept.last_mut() {
                Some((_, before)) if before.rows.len() + block.rows.len() <= MERGE_ROWS => {
                    before.append(&block);
                }
                _ => kept.push((mark, block)),
            }
        }
        let (marks, blocks): (Vec<_>, Vec<_>) = kept.into_iter().unzip();
        self.marks.splice(first..first, marks);
        self.blocks.splice(first..first, blocks);
    }
}

impl<R: Copy> Block<R> {
    fn new(bound: &str) -> Block<R> {
        Block {
            bound: bound.into(),
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
            bound: self.uid(at).into(),
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
            let mut kept = Block::new(&self.bound);
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
