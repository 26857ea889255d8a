//! Some neighbours in order: their uids end to end in one text, so that none has an allocation of its own.

use xxhash_rust::xxh3::xxh3_64;

use super::Row;

/// Uids in one block at most. 128 × 256 bytes of the longest uids still fit an end in 16 bits.
pub(super) const MAX_ROWS: usize = 128;

/// A uid costs its own bytes, three more here, and its row.
#[derive(Debug)]
pub(super) struct Block<R> {
    /// A byte of the hash of each uid: two lines of memory say which uids need a look, of 128
    /// mostly the right one alone. A search in order would read seven of them, each somewhere else.
    tags: [u8; MAX_ROWS],
    /// Where each uid ends in `text`.
    ends: [u16; MAX_ROWS],
    rows: Vec<R>,
    text: String,
    /// Nothing below it is in this block.
    bound: Box<str>,
}

fn tag(uid: &str) -> u8 {
    // Its lowest byte.
    xxh3_64(uid.as_bytes()) as u8
}

impl<R: Row> Block<R> {
    pub(super) fn new(bound: &str) -> Block<R> {
        Block {
            tags: [0; MAX_ROWS],
            ends: [0; MAX_ROWS],
            rows: Vec::new(),
            text: String::new(),
            bound: bound.into(),
        }
    }

    pub(super) fn bound(&self) -> &str {
        &self.bound
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn row(&self, at: usize) -> &R {
        &self.rows[at]
    }

    pub(super) fn row_mut(&mut self, at: usize) -> &mut R {
        &mut self.rows[at]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &R)> {
        let mut start = 0;
        let ends = self.ends.iter().zip(&self.rows);
        ends.map(move |(end, row)| {
            let end = usize::from(*end);
            let uid = &self.text[start..end];
            start = end;
            (uid, row)
        })
    }

    /// How many differ.
    pub(super) fn differing(&self) -> u8 {
        let differing = self.rows.iter().filter(|row| row.differs());
        differing.count() as u8
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1)
            .map_or(0, |before| usize::from(self.ends[before]))
    }

    fn uid(&self, at: usize) -> &str {
        &self.text[self.start(at)..usize::from(self.ends[at])]
    }

    /// Where `uid` is.
    pub(super) fn find(&self, uid: &str) -> Option<usize> {
        let mut alike = memchr::memchr_iter(tag(uid), &self.tags[..self.len()]);
        alike.find(|at| self.uid(*at) == uid)
    }

    /// How many are below `uid`: where it would be.
    pub(super) fn place(&self, uid: &str) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.uid(middle) < uid {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// How many are not behind `uid`.
    pub(super) fn behind(&self, uid: &str) -> usize {
        self.find(uid).map_or_else(|| self.place(uid), |at| at + 1)
    }

    /// To be called while there is room.
    pub(super) fn insert(&mut self, at: usize, uid: &str, row: R) {
        self.reserve(uid.len());
        let (start, len) = (self.start(at), self.len());
        self.text.insert_str(start, uid);
        self.tags.copy_within(at..len, at + 1);
        self.tags[at] = tag(uid);
        self.ends.copy_within(at..len, at + 1);
        self.ends[at] = start as u16;
        for end in &mut self.ends[at..=len] {
            *end += uid.len() as u16;
        }
        self.rows.insert(at, row);
    }

    /// Room for one more. By a quarter at a time: doubling would leave a third of it unused.
    fn reserve(&mut self, text: usize) {
        if self.rows.len() == self.rows.capacity() {
            let more = (self.rows.len() / 4).max(4);
            self.rows
                .reserve_exact(more.min(MAX_ROWS - self.rows.len()));
        }
        if self.text.len() + text > self.text.capacity() {
            self.text.reserve_exact(text + self.text.len() / 4);
        }
    }

    pub(super) fn remove(&mut self, at: usize) {
        let (start, end, len) = (self.start(at), usize::from(self.ends[at]), self.len());
        self.text.replace_range(start..end, "");
        self.tags.copy_within(at + 1..len, at);
        self.ends.copy_within(at + 1..len, at);
        for later in &mut self.ends[at..len - 1] {
            *later -= (end - start) as u16;
        }
        self.rows.remove(at);
    }

    pub(super) fn split_off(&mut self, at: usize) -> Block<R> {
        let start = self.start(at);
        let mut upper = Block::new(self.uid(at));
        upper.text = self.text[start..].to_owned();
        upper.rows = self.rows[at..].to_vec();
        let len = upper.len();
        upper.tags[..len].copy_from_slice(&self.tags[at..]);
        upper.ends[..len].copy_from_slice(&self.ends[at..]);
        for end in &mut upper.ends[..len] {
            *end -= start as u16;
        }
        self.text.truncate(start);
        self.rows.truncate(at);
        // Where users come in no order half of the room would be empty for long.
        self.text.shrink_to_fit();
        self.rows.shrink_to_fit();
        upper
    }

    /// To be called while there is room for both.
    pub(super) fn append(&mut self, upper: &Block<R>) {
        let (start, len, more) = (self.text.len() as u16, self.len(), upper.len());
        self.tags[len..len + more].copy_from_slice(&upper.tags[..more]);
        self.ends[len..len + more].copy_from_slice(&upper.ends[..more]);
        for end in &mut self.ends[len..len + more] {
            *end += start;
        }
        self.text.push_str(&upper.text);
        self.rows.extend_from_slice(&upper.rows);
    }
}
