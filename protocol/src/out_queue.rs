//! The out-queue of a session: items in line, and the two cursors (`acked`, `sent`) that make resume and transport switch one rule.

use crate::rules::{Rule, holds};
use std::collections::VecDeque;

/// What an item costs its queue, in bytes.
pub(crate) trait Weight {
    fn weight(&self) -> usize;
}

/// A cursor that points where no item can be; the other end has lost count, or lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfRange;

/// Items of one direction of a session, from the first unacknowledged one to the newest.
///
/// Positions count from 1 and are implicit: the item at the front stands at `acked + 1`.
/// `written` is the highest position ever handed to a connection; `sent` is where the present
/// connection stands and goes back at a resume. An empty queue owns no heap.
#[derive(Debug)]
pub(crate) struct OutQueue<T> {
    items: VecDeque<T>,
    acked: u64,
    sent: u64,
    written: u64,
    bytes: usize,
}

impl<T: Weight> OutQueue<T> {
    pub(crate) const fn new() -> Self {
        OutQueue {
            items: VecDeque::new(),
            acked: 0,
            sent: 0,
            written: 0,
            bytes: 0,
        }
    }

    /// An empty queue whose next item stands behind `acked`.
    pub(crate) fn behind(acked: u64) -> Self {
        OutQueue {
            acked,
            sent: acked,
            written: acked,
            ..OutQueue::new()
        }
    }

    /// Appends an item and says at which position it stands. Costs O(1).
    pub(crate) fn push(&mut self, item: T) -> u64 {
        self.bytes += item.weight();
        self.items.push_back(item);
        self.end()
    }

    pub(crate) fn acked(&self) -> u64 {
        self.acked
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// The position of the newest item.
    pub(crate) fn end(&self) -> u64 {
        self.acked + self.items.len() as u64
    }

    /// The weight of everything waiting or retained.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn waiting(&self) -> u64 {
        self.end() - self.sent
    }

    /// Items written at least once and not yet acknowledged.
    pub(crate) fn unacked(&self) -> u64 {
        self.written - self.acked
    }

    /// The next item to write; [`OutQueue::advance`] takes the step.
    pub(crate) fn next(&mut self) -> Option<&mut T> {
        let index = (self.sent - self.acked) as usize;
        self.items.get_mut(index)
    }

    /// Moves `sent` over one item and gives its position.
    pub(crate) fn advance(&mut self) -> u64 {
        debug_assert!(self.sent < self.end(), "advanced past the end");
        self.sent += 1;
        self.written = self.written.max(self.sent);
        self.sent
    }

    /// Lets go of everything up to and including `received`.
    ///
    /// An older number changes nothing: acknowledgements may be repeated or overtaken.
    pub(crate) fn ack(
        &mut self,
        received: u64,
        mut done: impl FnMut(u64, T),
    ) -> Result<(), OutOfRange> {
        if received > self.sent {
            return Err(OutOfRange);
        }
        while self.acked < received {
            let Some(item) = self.items.pop_front() else {
                return Err(OutOfRange);
            };
            self.acked += 1;
            self.bytes -= item.weight();
            done(self.acked, item);
        }
        self.free_when_empty();
        Ok(())
    }

    /// A new connection continues after `received`; nothing is forgotten by this alone.
    pub(crate) fn rewind(&mut self, received: u64) -> Result<(), OutOfRange> {
        if received < self.acked || received > self.written {
            return Err(OutOfRange);
        }
        self.sent = received;
        Ok(())
    }

    /// The item at a position, if it is still here.
    pub(crate) fn at(&mut self, position: u64) -> Option<&mut T> {
        let index = position.checked_sub(self.acked + 1)?;
        self.items.get_mut(usize::try_from(index).ok()?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut()
    }

    /// Takes out an item that was never written. A written one has a position and stays.
    pub(crate) fn withdraw(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Option<T> {
        let unwritten = if holds(Rule::WrittenStays) {
            (self.written - self.acked) as usize
        } else {
            0
        };
        let index = (unwritten..self.items.len()).find(|&index| wanted(&self.items[index]))?;
        let item = self.items.remove(index)?;
        self.bytes -= item.weight();
        self.free_when_empty();
        Some(item)
    }

    /// Starts counting anew, for a new session: gives back what was written, keeps what was not.
    pub(crate) fn restart(&mut self) -> Vec<T> {
        let written: Vec<T> = self.items.drain(..self.unacked() as usize).collect();
        self.bytes = self.items.iter().map(Weight::weight).sum();
        (self.acked, self.sent, self.written) = (0, 0, 0);
        self.free_when_empty();
        written
    }

    /// Drops every item and its heap; the count of positions stays.
    pub(crate) fn clear(&mut self) {
        let end = self.end();
        self.items = VecDeque::new();
        self.bytes = 0;
        (self.acked, self.sent, self.written) = (end, end, end);
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.items.capacity()
    }

    fn free_when_empty(&mut self) {
        if self.items.is_empty() && self.items.capacity() > 0 {
            self.items = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests;
