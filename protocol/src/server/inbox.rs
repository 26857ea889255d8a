//! A session's inbound items between being counted and being handled: one after another, bounded.

use super::{Bounds, Session, Standing};
use crate::data::Data;
use crate::ids::EventId;
use crate::millis::Millis;
use crate::rules::{Rule, holds};
use std::collections::VecDeque;

/// One item of a client, to be started.
#[derive(Clone, Debug)]
pub struct Item<C> {
    /// Where it stands among the client's items; also its name for [`Session::item_returned`].
    pub position: u64,
    pub kind: ItemKind,
    /// What the driver gave along.
    pub context: C,
    /// When it was counted.
    pub at: Millis,
}

/// What an item wants.
#[derive(Clone, Debug)]
pub enum ItemKind {
    /// No answer.
    Event { id: EventId, data: Data },
    /// Exactly one answer, by [`Session::reply`]. `timeout_ms` is never 0 and at most `max_timeout_ms`.
    Request {
        request: u32,
        id: EventId,
        data: Data,
        timeout_ms: u64,
    },
}

/// What the return of an item changes for the driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// [`Session::next_item`] has something now.
    pub work: bool,
    /// Reading had stopped for this session and may go on.
    pub read_again: bool,
}

#[derive(Debug)]
pub(super) struct Inbox<C> {
    waiting: VecDeque<(Item<C>, usize)>,
    bytes: usize,
    /// The position of the item that keeps the others back; 0 if none does.
    running: u64,
    /// When the handler of that item must be over, by its caller's deadline; MAX without one.
    running_until: Millis,
    stopped: bool,
}

impl<C> Inbox<C> {
    pub(super) const fn new() -> Self {
        Inbox {
            waiting: VecDeque::new(),
            bytes: 0,
            running: 0,
            running_until: Millis::MAX,
            stopped: false,
        }
    }

    pub(super) fn put(&mut self, item: Item<C>, bytes: usize) {
        self.bytes += bytes;
        self.waiting.push_back((item, bytes));
    }

    /// True once the driver must stop reading; it stays so until the inbox is half empty.
    pub(super) fn is_full(&mut self, bounds: &Bounds) -> bool {
        let full = self.waiting.len() >= bounds.inbox_items || self.bytes >= bounds.inbox_bytes;
        self.stopped |= full && holds(Rule::FullInboxStops);
        self.stopped
    }

    pub(super) fn has_work(&self) -> bool {
        (self.running == 0 || !holds(Rule::OneAfterAnother)) && !self.waiting.is_empty()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.waiting.capacity()
    }

    fn take(&mut self) -> Option<Item<C>> {
        if self.running != 0 && holds(Rule::OneAfterAnother) {
            return None;
        }
        let (item, bytes) = self.waiting.pop_front()?;
        self.bytes -= bytes;
        self.running = item.position;
        self.running_until = match &item.kind {
            ItemKind::Request { timeout_ms, .. } => item.at.plus(*timeout_ms),
            ItemKind::Event { .. } => Millis::MAX,
        };
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        Some(item)
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &Item<C>> {
        self.waiting.iter().map(|(item, _)| item)
    }

    /// The item whose handler runs, and until when at most if that is known.
    pub(super) fn running(&self) -> Option<(u64, Option<Millis>)> {
        let until = (self.running_until < Millis::MAX).then_some(self.running_until);
        (self.running != 0).then_some((self.running, until))
    }

    /// The handler that kept the others back runs, or ran, elsewhere.
    pub(super) fn set_running(&mut self, position: u64) {
        (self.running, self.running_until) = (position, Millis::MAX);
    }

    /// Gives everything that waits away, and says which requests are among it.
    pub(super) fn hand_over(&mut self) -> Vec<u32> {
        let requests = self.waiting().filter_map(|item| match item.kind {
            ItemKind::Request { request, .. } => Some(request),
            ItemKind::Event { .. } => None,
        });
        let requests = requests.collect();
        self.waiting = VecDeque::new();
        self.bytes = 0;
        self.stopped = false;
        requests
    }

    fn returned(&mut self, position: u64, bounds: &Bounds) -> Resumed {
        if self.running == position {
            self.running = 0;
        }
        // Half empty, not one below full: otherwise a client at the bound makes the driver stop and go per item.
        let roomy =
            self.waiting.len() <= bounds.inbox_items / 2 && self.bytes <= bounds.inbox_bytes / 2;
        let read_again = self.stopped && roomy;
        self.stopped &= !roomy;
        Resumed {
            work: self.has_work(),
            read_again,
        }
    }
}

impl<C> Session<C> {
    /// The next item to start, in the client's order. `None` while one runs or nothing waits.
    ///
    /// The driver reports the handler's return by [`Session::item_returned`]; for a handler that
    /// may overlap with others, and for work handed to a service, it does so at once.
    ///
    /// A session on its way between nodes gives none: they are started where it will be.
    pub fn next_item(&mut self) -> Option<Item<C>> {
        let here = match self.standing() {
            Standing::Home => true,
            // The taker will hear that it has ended.
            Standing::Frozen => self.over,
            Standing::Arriving | Standing::Moved => false,
        };
        if here { self.inbox.take() } else { None }
    }

    /// The handler of the item at `position` returned, failed or ran over its limit. May be said twice.
    pub fn item_returned(&mut self, position: u64, bounds: &Bounds) -> Resumed {
        let mut resumed = self.inbox.returned(position, bounds);
        if self.inbox.running().is_none() {
            self.waits_for_nobody();
        }
        resumed.work &= self.standing() == Standing::Home;
        resumed
    }

    /// Whether the driver may read on. `false` from [`Received::Full`](super::Received::Full) until
    /// an [`Resumed::read_again`].
    pub fn may_read(&self) -> bool {
        !self.inbox.stopped
    }

    /// An ended session has counted items that nobody is at work on: [`Session::next_item`] gives
    /// them, and no connection will ask for it. Whoever forgets the session has them started first.
    pub fn leaves_work(&self) -> bool {
        let between = self.standing() == Standing::Arriving;
        self.over && !between && self.inbox.has_work()
    }

    /// Items that wait for their handler.
    pub fn inbox_items(&self) -> usize {
        self.inbox.waiting.len()
    }
}
