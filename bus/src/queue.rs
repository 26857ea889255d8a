//! A subscription's own queue: bounded in bytes, and it knows what it sheds.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

use crate::{
    bus::Counters,
    message::{Message, Subject},
};

/// What a subscription hands out.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// A message, in the order of its publisher.
    Message(Message),
    /// At this place messages are missing: they did not fit into the subscription's own queue.
    Shed(Shed),
    /// The bus was down, or its client library dropped something. Interest is confirmed (again);
    /// what was published in between is unknown. Also the first thing that a subscription made
    /// while the bus was down hears.
    Interrupted,
}

/// Messages that were dropped at one place of the stream because the queue was full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shed {
    /// How many.
    pub messages: u64,
    /// Their cost, see [`Message::cost`].
    pub bytes: u64,
    /// How many of each subject, for the first 256 subjects (and 32 KiB of their text).
    pub subjects: HashMap<Subject, u64>,
    /// Messages of subjects that are not listed above: whom they were for is not known.
    pub others: u64,
    cost: usize,
}

const MAX_SHED_SUBJECTS: usize = 256;
const MAX_SHED_SUBJECT_BYTES: usize = 32 << 10;
const MARKER_COST: usize = mem::size_of::<Delivery>();
/// A queue this much longer than needed gives its memory back when it runs empty, in deliveries.
const KEPT_CAPACITY: usize = 4096;

impl Shed {
    fn count(&mut self, message: &Message) -> usize {
        let before = self.cost;
        self.messages += 1;
        self.bytes += message.cost() as u64;
        if let Some(count) = self.subjects.get_mut(&message.subject) {
            *count += 1;
        } else {
            let cost = 2 * mem::size_of::<Subject>() + message.subject.len();
            if self.subjects.len() < MAX_SHED_SUBJECTS && self.cost + cost <= MAX_SHED_SUBJECT_BYTES
            {
                self.cost += cost;
                // A copy: the original shares memory with a whole read buffer of the client library.
                self.subjects
                    .insert(Subject::from(message.subject.as_str()), 1);
            } else {
                self.others += 1;
            }
        }
        self.cost - before
    }
}

impl Delivery {
    fn cost(&self) -> usize {
        match self {
            Delivery::Message(message) => message.cost(),
            Delivery::Shed(shed) => MARKER_COST + shed.cost,
            Delivery::Interrupted => MARKER_COST,
        }
    }
}

/// Many producers, one consumer. Producers never wait.
///
/// Full means: the new message is dropped and counted in a [`Shed`] at its place, and so are
/// those after it until a quarter of the queue is free again (else an overloaded queue would
/// alternate between messages and holes). A message larger than the whole bound passes through
/// an empty queue.
pub(crate) struct Queue {
    max_bytes: usize,
    inner: Mutex<Inner>,
    counters: Arc<Counters>,
    shed: AtomicU64,
}

#[derive(Default)]
struct Inner {
    items: VecDeque<Delivery>,
    bytes: usize,
    shedding: bool,
    closed: bool,
    waker: Option<Waker>,
}

impl Queue {
    pub(crate) fn new(max_bytes: usize, counters: Arc<Counters>) -> Queue {
        Queue {
            max_bytes,
            inner: Mutex::default(),
            counters,
            shed: AtomicU64::new(0),
        }
    }

    /// Puts one message in line, or counts it as shed.
    pub(crate) fn push(&self, message: Message) {
        let mut inner = self.inner.lock();
        self.append(&mut inner, message);
        wake(inner);
    }

    /// The same for a batch, under one lock and with one wake-up.
    pub(crate) fn push_many(&self, messages: impl Iterator<Item = Message>) {
        let mut inner = self.inner.lock();
        for message in messages {
            self.append(&mut inner, message);
        }
        wake(inner);
    }

    fn append(&self, inner: &mut Inner, message: Message) {
        if inner.closed {
            return;
        }
        let cost = message.cost();
        self.counters.received.fetch_add(1, Ordering::Relaxed);
        self.counters
            .received_bytes
            .fetch_add(cost as u64, Ordering::Relaxed);
        if inner.shedding && inner.bytes <= self.max_bytes - self.max_bytes / 4 {
            inner.shedding = false;
        }
        let full = inner.bytes.saturating_add(cost) > self.max_bytes && !inner.items.is_empty();
        if !inner.shedding && !full {
            inner.bytes += cost;
            inner.items.push_back(Delivery::Message(message));
            return;
        }
        inner.shedding = true;
        self.shed.fetch_add(1, Ordering::Relaxed);
        self.counters.shed.fetch_add(1, Ordering::Relaxed);
        self.counters
            .shed_bytes
            .fetch_add(cost as u64, Ordering::Relaxed);
        if !matches!(inner.items.back(), Some(Delivery::Shed(_))) {
            inner.bytes += MARKER_COST;
            inner.items.push_back(Delivery::Shed(Shed::default()));
        }
        if let Some(Delivery::Shed(shed)) = inner.items.back_mut() {
            inner.bytes += shed.count(&message);
        }
    }

    /// Marks that something unknown may be missing here.
    pub(crate) fn interrupted(&self) {
        let mut inner = self.inner.lock();
        if inner.closed || matches!(inner.items.back(), Some(Delivery::Interrupted)) {
            return;
        }
        inner.bytes += MARKER_COST;
        inner.items.push_back(Delivery::Interrupted);
        wake(inner);
    }

    /// Nothing more will come; what is in line is still handed out.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        wake(inner);
    }

    /// Takes up to `max` deliveries; 0 = closed and empty. One consumer: the last waker counts.
    pub(crate) fn poll_recv_many(
        &self,
        cx: &mut Context<'_>,
        out: &mut Vec<Delivery>,
        max: usize,
    ) -> Poll<usize> {
        let mut inner = self.inner.lock();
        let count = inner.items.len().min(max);
        if count == 0 {
            if inner.closed || max == 0 {
                return Poll::Ready(0);
            }
            inner.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        out.reserve(count);
        let mut freed = 0;
        out.extend(
            inner
                .items
                .drain(..count)
                .inspect(|delivery| freed += delivery.cost()),
        );
        inner.bytes -= freed;
        if inner.items.is_empty() && inner.items.capacity() > KEPT_CAPACITY {
            inner.items = VecDeque::new();
        }
        Poll::Ready(count)
    }

    /// Deliveries in line, and what they count for in bytes.
    pub(crate) fn fill(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.items.len(), inner.bytes)
    }

    pub(crate) fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }
}

/// Wakes outside the lock: a woken consumer on another core would only run into it.
fn wake(mut inner: parking_lot::MutexGuard<'_, Inner>) {
    let waker = if inner.items.is_empty() && !inner.closed {
        None
    } else {
        inner.waker.take()
    };
    drop(inner);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
