//! Connections that wait for something without a session: for a hello, or for the peer's Close.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;
use tengen_protocol::Millis;

/// Deadlines of connections that no session keeps an eye on.
///
/// One sweep a second serves them all, so that a connection needs no timer of its own; a deadline
/// is therefore noticed up to a second late.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    by_id: HashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    due: Millis,
    waker: Waker,
}

impl Waiting {
    /// Wakes `waker` at the first sweep at or after `due`, until the ticket is dropped.
    pub(crate) fn track(self: &Arc<Self>, due: Millis, waker: &Waker) -> Ticket {
        let mut entries = self.entries.lock();
        let id = entries.next;
        entries.next += 1;
        let waker = waker.clone();
        entries.by_id.insert(id, Entry { due, waker });
        Ticket {
            waiting: self.clone(),
            id,
        }
    }

    /// Wakes every connection whose deadline has come.
    pub(crate) fn sweep(&self, now: Millis) {
        // Collected first: a waker may run code that comes back here.
        let due: Vec<Waker> = {
            let entries = self.entries.lock();
            let due = entries.by_id.values().filter(|entry| entry.due <= now);
            due.map(|entry| entry.waker.clone()).collect()
        };
        due.into_iter().for_each(Waker::wake);
    }

    /// Wakes all of them, because what they wait for may have come.
    pub(crate) fn wake_all(&self) {
        self.sweep(Millis(u64::MAX));
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.lock().by_id.len()
    }
}

/// A place in [`Waiting`]; dropping it gives the place up.
#[derive(Debug)]
pub(crate) struct Ticket {
    waiting: Arc<Waiting>,
    id: u64,
}

impl Ticket {
    /// Keeps the waker current, in case the task moved.
    pub(crate) fn refresh(&self, waker: &Waker) {
        if let Some(entry) = self.waiting.entries.lock().by_id.get_mut(&self.id) {
            entry.waker.clone_from(waker);
        }
    }

    /// True when its deadline has come.
    pub(crate) fn is_due(&self, now: Millis) -> bool {
        let entries = self.waiting.entries.lock();
        entries
            .by_id
            .get(&self.id)
            .is_some_and(|entry| entry.due <= now)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.waiting.entries.lock().by_id.remove(&self.id);
    }
}
