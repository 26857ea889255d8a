//! The newest deltas, for whoever missed a few.

use std::collections::VecDeque;

use super::super::Delta;
use super::CHANGE_BYTES;

/// Bounded in deltas and in bytes: what one answer could not carry need not be kept.
#[derive(Debug)]
pub(super) struct Ring {
    deltas: VecDeque<Delta>,
    bytes: usize,
    max_deltas: usize,
    max_bytes: usize,
}

impl Ring {
    pub(super) fn new(max_deltas: usize, max_bytes: usize) -> Ring {
        Ring {
            deltas: VecDeque::new(),
            bytes: 0,
            max_deltas,
            max_bytes,
        }
    }

    pub(super) fn clear(&mut self) {
        self.deltas.clear();
        self.bytes = 0;
    }

    pub(super) fn push(&mut self, delta: &Delta) {
        self.bytes += bytes(delta);
        self.deltas.push_back(delta.clone());
        while self.deltas.len() > self.max_deltas || self.bytes > self.max_bytes {
            let Some(oldest) = self.deltas.pop_front() else {
                return;
            };
            self.bytes -= bytes(&oldest);
        }
    }

    /// All deltas after number `seq`; `None` if the first of them is not kept any more.
    pub(super) fn after(&self, seq: u64) -> Option<Vec<Delta>> {
        let first = self.deltas.front()?.seq;
        if seq.saturating_add(1) < first {
            return None;
        }
        let skip = usize::try_from(seq.saturating_add(1) - first).unwrap_or(usize::MAX);
        Some(self.deltas.iter().skip(skip).cloned().collect())
    }
}

/// What a delta takes on the wire, a little more than less.
fn bytes(delta: &Delta) -> usize {
    let changes = delta.changes.iter();
    let changes: usize = changes
        .map(|(uid, _)| uid.as_str().len() + CHANGE_BYTES)
        .sum();
    changes + 64
}
