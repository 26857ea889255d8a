//! A set of ports that is walked at every push and joined or left in constant time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::RwLock;
use smallvec::SmallVec;

use super::port::Port;

/// Where a port sits in the two sets it belongs to: its user's (or the anonymous one), and
/// the one of all sessions. Written only under the set's lock.
#[derive(Default)]
pub(crate) struct Seats([AtomicU32; 2]);

/// Which of a port's two seats a set uses.
#[derive(Clone, Copy)]
pub(crate) enum Seat {
    Owner = 0,
    All = 1,
}

/// Ports side by side, in no order; leaving moves the last one into the free place, so that a
/// user with 9,000 clients that all leave costs 9,000 steps and not their square.
pub(crate) struct Members {
    seat: Seat,
    inner: RwLock<Inner>,
}

struct Inner {
    // One client per user is the usual case and needs no allocation of its own.
    ports: SmallVec<[Arc<Port>; 1]>,
    closed: bool,
}

impl Members {
    pub(crate) fn new(seat: Seat) -> Self {
        let ports = SmallVec::new();
        Self {
            seat,
            inner: RwLock::new(Inner {
                ports,
                closed: false,
            }),
        }
    }

    /// False if the set was [closed](Self::close_if_empty) meanwhile; then look it up again.
    #[must_use]
    pub(crate) fn add(&self, port: &Arc<Port>) -> bool {
        let mut inner = self.inner.write();
        if inner.closed {
            return false;
        }
        let place = u32::try_from(inner.ports.len()).unwrap_or(u32::MAX);
        self.seat_of(port).store(place, Ordering::Relaxed);
        inner.ports.push(Arc::clone(port));
        true
    }

    /// Takes a port out; a port that is not in is left alone.
    pub(crate) fn remove(&self, port: &Port) {
        let removed = {
            let mut inner = self.inner.write();
            let place = self.seat_of(port).load(Ordering::Relaxed) as usize;
            let sits_here = inner
                .ports
                .get(place)
                .is_some_and(|p| std::ptr::eq(&**p, port));
            if !sits_here {
                return;
            }
            let removed = inner.ports.swap_remove(place);
            if let Some(moved) = inner.ports.get(place) {
                self.seat_of(moved).store(place as u32, Ordering::Relaxed);
            }
            // 9,000 clients that left must not hold the room for 9,000.
            if inner.ports.spilled() && inner.ports.len() * 4 < inner.ports.capacity() {
                inner.ports.shrink_to_fit();
            }
            removed
        };
        drop(removed);
    }

    /// Closes an empty set for ever: whoever still holds it can no longer add to it, so it may
    /// be taken out of its map without losing anybody.
    #[must_use]
    pub(crate) fn close_if_empty(&self) -> bool {
        let mut inner = self.inner.write();
        inner.closed = inner.closed || inner.ports.is_empty();
        inner.closed
    }

    pub(crate) fn len(&self) -> usize {
        self.inner.read().ports.len()
    }

    /// Calls `f` for every port, under the set's read lock: `f` may lock the port, and nothing
    /// else of the hub.
    pub(crate) fn for_each(&self, f: impl FnMut(&Arc<Port>)) {
        self.inner.read().ports.iter().for_each(f);
    }

    /// Appends every port to `out`, so that the caller can work without the set's lock.
    pub(crate) fn collect_into(&self, out: &mut Vec<Arc<Port>>) {
        out.extend(self.inner.read().ports.iter().cloned());
    }

    fn seat_of<'a>(&self, port: &'a Port) -> &'a AtomicU32 {
        &port.seats().0[self.seat as usize]
    }
}

/// Many ports, spread over shards, so that connecting does not wait behind one long push.
pub(crate) struct Crowd {
    shards: Box<[Members]>,
}

impl Crowd {
    /// One shard is swept at a time; 16 shards make 16 small sweeps a second out of one big one.
    pub(crate) const SHARDS: usize = 16;

    pub(crate) fn new(seat: Seat) -> Self {
        Self {
            shards: (0..Self::SHARDS).map(|_| Members::new(seat)).collect(),
        }
    }

    pub(crate) fn add(&self, port: &Arc<Port>) {
        let added = self.of(port).add(port);
        debug_assert!(added, "a crowd is never closed");
    }

    pub(crate) fn remove(&self, port: &Port) {
        self.of(port).remove(port);
    }

    pub(crate) fn shard(&self, index: usize) -> &Members {
        &self.shards[index % Self::SHARDS]
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(Members::len).sum()
    }

    pub(crate) fn for_each(&self, mut f: impl FnMut(&Arc<Port>)) {
        for shard in &self.shards {
            shard.for_each(&mut f);
        }
    }

    fn of(&self, port: &Port) -> &Members {
        self.shard(port.shard())
    }
}
