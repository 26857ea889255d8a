//! How many bytes wait in all queues of the node together.

use std::sync::atomic::{AtomicI64, Ordering};

/// The sum of all sessions' queues: whoever changes a queue reports the change.
pub(crate) struct Budget {
    // Signed: a push is reported once per drained batch, so an ack may be seen before it.
    bytes: AtomicI64,
    max_bytes: usize,
}

impl Budget {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            bytes: AtomicI64::new(0),
            max_bytes,
        }
    }

    /// Reports that queues grew (or shrank, if negative) by so many bytes.
    pub(crate) fn moved(&self, bytes: i64) {
        if bytes != 0 {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        usize::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// By how many bytes the queues are over the budget.
    pub(crate) fn excess(&self) -> usize {
        self.bytes().saturating_sub(self.max_bytes)
    }
}
