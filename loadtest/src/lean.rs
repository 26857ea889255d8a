//! The lean swarm: thousands of hand-written connections read by one thread, so that measuring costs less than what is measured.

mod link;
mod open;
mod poller;

use std::{
    collections::HashMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use tengen_protocol::Codec;

use crate::ledger::Verdict;
use link::{Link, SCRATCH_BYTES};
pub(crate) use open::{Login, Opening};
use poller::Poller;

/// An item waits at least this long for its acknowledgement, and at most [`SWEEP`] longer: within
/// the protocol's second.
const ACK_AFTER: Duration = Duration::from_millis(850);
const SWEEP: Duration = Duration::from_millis(100);

/// A reader that found less than a full batch rests this long. Without it every frame wakes the
/// reader, and both it and the writer pay for a switch of threads on cores that they share.
const REST: Duration = Duration::from_millis(1);

/// How far all connections together have come. Written by the readers, read by the run.
#[derive(Debug)]
pub(crate) struct Progress {
    received: AtomicU64,
    target: AtomicU64,
    done: Mutex<Option<Instant>>,
    wake: Condvar,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        Progress {
            received: AtomicU64::new(0),
            target: AtomicU64::new(u64::MAX),
            done: Mutex::new(None),
            wake: Condvar::new(),
        }
    }

    fn done(&self) -> MutexGuard<'_, Option<Instant>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::SeqCst)
    }

    /// Sets how many items all connections together are to have received since the beginning.
    pub(crate) fn expect(&self, total: u64) {
        let mut done = self.done();
        self.target.store(total, Ordering::SeqCst);
        *done = (self.received() >= total).then(Instant::now);
    }

    pub(crate) fn add(&self, items: u64) {
        let now = self.received.fetch_add(items, Ordering::SeqCst) + items;
        if now >= self.target.load(Ordering::SeqCst) {
            self.done().get_or_insert_with(Instant::now);
            self.wake.notify_all();
        }
    }

    /// Blocks until the expected number has come, and says when that was; `None` after `stall`
    /// without a single item.
    pub(crate) fn wait(&self, stall: Duration) -> Option<Instant> {
        let mut done = self.done();
        let mut last = (self.received(), Instant::now());
        loop {
            if let Some(at) = *done {
                return Some(at);
            }
            let received = self.received();
            if received != last.0 {
                last = (received, Instant::now());
            } else if last.1.elapsed() > stall {
                return None;
            }
            let waited = self.wake.wait_timeout(done, Duration::from_millis(50));
            done = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// All connections of a run.
pub(crate) struct Swarm {
    progress: Arc<Progress>,
    stop: Arc<AtomicBool>,
    readers: Vec<JoinHandle<Result<Vec<Link>>>>,
    connections: usize,
    pub(crate) connect_time: Duration,
}

/// What all connections saw.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) verdict: Verdict,
    /// Gaps, closes, errors: what the node told instead of an item, and how often.
    pub(crate) told: HashMap<String, u64>,
}

impl Swarm {
    /// Opens one connection per login, several at a time, and starts `readers` threads.
    ///
    /// # Errors
    /// The first connection that fails ends it: a load test with holes measures nothing.
    pub(crate) fn connect(opening: &Opening, logins: &[Login], readers: usize) -> Result<Swarm> {
        let begin = Instant::now();
        let links = open::all(opening, logins)?;
        let connect_time = begin.elapsed();
        let (progress, stop) = (Arc::new(Progress::new()), Arc::new(AtomicBool::new(false)));
        let connections = links.len();
        let mut shares: Vec<Vec<Link>> = (0..readers.max(1)).map(|_| Vec::new()).collect();
        let count = shares.len();
        for (index, link) in links.into_iter().enumerate() {
            shares[index % count].push(link);
        }
        let readers = shares
            .into_iter()
            .map(|share| {
                let (progress, stop) = (progress.clone(), stop.clone());
                let codec = opening.codec;
                std::thread::Builder::new()
                    .name("reader".to_owned())
                    .spawn(move || read(share, codec, &progress, &stop))
                    .context("a reader thread cannot start")
            })
            .collect::<Result<_>>()?;
        Ok(Swarm {
            progress,
            stop,
            readers,
            connections,
            connect_time,
        })
    }

    pub(crate) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Closes all connections and their books; each should have seen items 1 to `expected`.
    pub(crate) fn finish(self, expected: u64) -> Result<Books> {
        self.stop.store(true, Ordering::SeqCst);
        let mut books = Books::default();
        let mut seen = 0;
        for reader in self.readers {
            let links = reader
                .join()
                .map_err(|_| anyhow!("a reader thread panicked"))??;
            seen += links.len();
            for link in &links {
                books.verdict.add(link.close_books(expected));
                link.tell(&mut books.told);
            }
        }
        if seen != self.connections {
            bail!(
                "{seen} of {} connections were accounted for",
                self.connections
            );
        }
        Ok(books)
    }
}

/// One reader: all its connections, until told to stop.
fn read(
    mut links: Vec<Link>,
    codec: Codec,
    progress: &Progress,
    stop: &AtomicBool,
) -> Result<Vec<Link>> {
    let mut poller = Poller::new()?;
    for (index, link) in links.iter().enumerate() {
        poller.add(link.stream(), index as u64)?;
    }
    // What came together with the last bytes of the handshake is already here.
    progress.add(links.iter_mut().map(|link| link.resume(codec)).sum());
    let mut scratch = vec![0_u8; SCRATCH_BYTES];
    let mut ready = Vec::new();
    let mut swept = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        poller.wait(Duration::from_millis(50), &mut ready)?;
        let found = ready.len();
        for index in ready.drain(..) {
            let link = &mut links[index as usize];
            let items = link.readable(codec, &mut scratch);
            if items > 0 {
                progress.add(items);
            }
            if !link.is_open() {
                poller.remove(link.stream())?;
            }
        }
        if (1..poller::BATCH).contains(&found) {
            std::thread::sleep(REST);
        }
        if swept.elapsed() > SWEEP {
            swept = Instant::now();
            for link in &mut links {
                link.acknowledge_if_due(codec, swept, ACK_AFTER);
            }
        }
    }
    Ok(links)
}

#[cfg(test)]
mod tests;
