//! What one client should have got, and what it got: numbered streams, checked item by item.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// A numbered item as it travels: its stream, its number there from 1, and its number among all
/// items of the publisher, which rises across the publisher's streams.
pub(crate) type Item = (Stream, u64, u64);

/// One publisher's way of addressing; items of a stream reach a client whole and in order.
pub(crate) type Stream = u8;

/// Plain messages to a user, and to everybody, by one publisher.
pub(crate) const PLAIN_UID: Stream = 0;
pub(crate) const PLAIN_ALL: Stream = 1;
/// The same in batches, by another.
pub(crate) const BATCH_UID: Stream = 2;
pub(crate) const BATCH_ALL: Stream = 3;

/// The publisher of a stream.
fn publisher(stream: Stream) -> usize {
    usize::from(stream / 2)
}

/// The books of one client.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    streams: BTreeMap<Stream, Page>,
    /// The last number among all items, by publisher.
    orders: [u64; 2],
    verdict: Verdict,
    /// The first things that were not as they should be, in words.
    odd: Vec<String>,
}

/// So many are told.
const MAX_ODD: usize = 8;

#[derive(Default)]
struct Page {
    last: u64,
    /// A gap was told since the last item: what is missing before the next one was announced.
    excused: bool,
    /// Missing and not told so far. After an outage of the bus the gap stands behind the first
    /// items that come again.
    untold: u64,
}

/// What the books say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub arrived: u64,
    /// Missing without a gap.
    pub lost: u64,
    /// Missing, and announced by a gap.
    pub told: u64,
    pub repeated: u64,
    pub reordered: u64,
    pub gaps: u64,
}

impl Verdict {
    pub(crate) fn add(&mut self, other: &Verdict) {
        self.arrived += other.arrived;
        self.lost += other.lost;
        self.told += other.told;
        self.repeated += other.repeated;
        self.reordered += other.reordered;
        self.gaps += other.gaps;
    }

    /// Everything once and in order, and no gap.
    pub(crate) fn is_whole(&self) -> bool {
        self.told == 0 && self.gaps == 0 && self.is_honest()
    }

    /// What is missing was told, and the rest came once and in order.
    pub(crate) fn is_honest(&self) -> bool {
        self.lost == 0 && self.repeated == 0 && self.reordered == 0
    }
}

impl Pages {
    fn note(&mut self, odd: impl FnOnce() -> String) {
        if self.odd.len() < MAX_ODD {
            self.odd.push(odd());
        }
    }
}

impl Ledger {
    /// Books an item.
    pub(crate) fn item(&self, (stream, number, order): Item) {
        let mut pages = self.0.lock();
        let pages = &mut *pages;
        pages.verdict.arrived += 1;
        let page = pages.streams.entry(stream).or_default();
        if number <= page.last {
            pages.verdict.repeated += 1;
            let last = page.last;
            pages.note(|| format!("{number} of stream {stream} after {last}"));
            return;
        }
        let missing = number - page.last - 1;
        let after = (page.last, page.excused);
        if page.excused {
            pages.verdict.told += missing;
        } else {
            page.untold += missing;
        }
        (page.last, page.excused) = (number, false);
        let before = &mut pages.orders[publisher(stream)];
        if order <= *before {
            pages.verdict.reordered += 1;
        }
        *before = (*before).max(order);
        if missing > 0 {
            pages.note(|| format!("{number} of stream {stream} after {after:?}"));
        }
    }

    /// Books a gap.
    pub(crate) fn gap(&self, reason: &str) {
        let mut pages = self.0.lock();
        let pages = &mut *pages;
        pages.verdict.gaps += 1;
        let lasts: Vec<_> = pages.streams.values().map(|page| page.last).collect();
        pages.note(|| format!("a gap ({reason}) after {lasts:?}"));
        // A stream from which nothing has come yet may have lost its first items.
        for stream in [PLAIN_UID, PLAIN_ALL, BATCH_UID, BATCH_ALL] {
            let page = pages.streams.entry(stream).or_default();
            pages.verdict.told += std::mem::take(&mut page.untold);
            page.excused = true;
        }
    }

    /// What was odd first, in the order in which it came.
    pub(crate) fn odd(&self) -> Vec<String> {
        self.0.lock().odd.clone()
    }

    /// Whether every stream has come to its end, or what is missing there was told.
    pub(crate) fn is_complete(&self, ends: &[(Stream, u64)]) -> bool {
        let pages = self.0.lock();
        ends.iter().all(|(stream, end)| {
            let page = pages.streams.get(stream);
            page.map_or(*end == 0, |page| page.last == *end || page.excused)
        })
    }

    /// Closes the books over streams that ended with these numbers.
    pub(crate) fn close(&self, ends: &[(Stream, u64)]) -> Verdict {
        let pages = self.0.lock();
        let mut verdict = pages.verdict;
        let nothing = Page::default();
        for (stream, end) in ends {
            let page = pages.streams.get(stream).unwrap_or(&nothing);
            let missing = end.saturating_sub(page.last);
            if page.excused {
                verdict.told += missing;
            } else {
                verdict.lost += missing;
            }
            verdict.lost += page.untold;
            // A number that was never pushed is somebody else's.
            verdict.repeated += u64::from(page.last > *end);
        }
        verdict
    }
}

/// What a service got of one client's numbered events.
#[derive(Default)]
pub(crate) struct Received {
    last: AtomicU64,
    count: AtomicU64,
    wrong: AtomicU64,
}

impl Received {
    /// Books an event; numbers rise, each comes once.
    pub(crate) fn item(&self, number: u64) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let before = self.last.fetch_max(number, Ordering::Relaxed);
        self.wrong
            .fetch_add(u64::from(number <= before), Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// How many came twice or late.
    pub(crate) fn wrong(&self) -> u64 {
        self.wrong.load(Ordering::Relaxed)
    }
}

#[test]
fn a_ledger_finds_what_is_lost_repeated_and_out_of_order() {
    let books = |items: &[Option<Item>], end: u64| {
        let ledger = Ledger::default();
        for item in items {
            match item {
                Some(item) => ledger.item(*item),
                None => ledger.gap("test"),
            }
        }
        ledger.close(&[(PLAIN_UID, end)])
    };
    let item = |number| Some((PLAIN_UID, number, number));
    assert!(books(&[item(1), item(2)], 2).is_whole());
    assert_eq!(books(&[item(1), item(3)], 3).lost, 1);
    assert_eq!(books(&[item(1)], 2).lost, 1);
    assert_eq!(books(&[], 2).lost, 2);
    assert_eq!(books(&[item(1), item(1)], 1).repeated, 1);
    assert_eq!(books(&[item(2), item(1)], 2).repeated, 1);
    assert_eq!(books(&[item(1), item(2)], 1).repeated, 1);
    let told = books(&[item(1), None, item(3)], 3);
    assert!(told.is_honest() && !told.is_whole() && told.told == 1);
    assert!(books(&[item(1), item(3), None, item(4)], 4).is_honest());
    assert_eq!(books(&[None, item(1), item(3)], 3).lost, 1);
    let other = Some((PLAIN_ALL, 1, 1));
    assert_eq!(books(&[item(2), other], 2).reordered, 1);
}
