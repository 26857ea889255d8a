//! One session on this node, its lock, and the waker of the connection that serves it.

use std::sync::Arc;
use std::sync::atomic::AtomicU16;
use std::task::Waker;

use parking_lot::Mutex;
use tengen_protocol::server::{self, Bounds, Link, Pushed};
use tengen_protocol::takeover::Identity;
use tengen_protocol::{ClientId, Codec, OutFrame, SessionId, Uid};

use super::budget::Budget;
use super::members::Seats;
use super::touched::Touched;
use crate::handlers::connected::Connected;

/// The server half of one client's conversation, with what the node adds to an inbound item.
pub(crate) type Session = server::Session<Arc<Connected>>;

/// One session: who it is, and behind one lock what it says.
///
/// The lock is held for the time of one call into the session, never across an await, a wake
/// or a call into the hub's maps.
pub(crate) struct Port {
    pub id: SessionId,
    pub client: ClientId,
    pub uid: Option<Uid>,
    pub codec: Codec,
    /// How many concurrent handlers of this session run; bounded by the dispatcher.
    pub concurrent: AtomicU16,
    shard: u8,
    seats: Seats,
    budget: Arc<Budget>,
    inner: Mutex<Inner>,
}

/// What the port's lock guards.
pub(crate) struct Inner {
    pub session: Session,
    /// The connection's task. Taken out to wake it; the task puts it back at its next poll, so
    /// an empty place means that it is about to look.
    waker: Option<Waker>,
    /// The connection has written everything and its socket takes more. While it does not,
    /// pushes just queue, and the next writable socket takes them together.
    hungry: bool,
}

impl Inner {
    /// Asks to be woken, to be called at the end of each poll: by pushes if `hungry`, by
    /// everything else (bye, superseded, a deadline, reading again) in any case.
    ///
    /// False = `link` no longer is the session's connection: nothing will wake it, let it close.
    #[must_use]
    pub(crate) fn park(&mut self, link: Link, waker: &Waker, hungry: bool) -> bool {
        if self.session.link() != Some(link) {
            return false;
        }
        self.hungry = hungry;
        match &mut self.waker {
            Some(old) => old.clone_from(waker),
            empty => *empty = Some(waker.clone()),
        }
        true
    }

    /// Takes the waker out, to be called after the lock is released.
    #[must_use]
    fn unpark(&mut self) -> Option<Waker> {
        self.waker.take()
    }

    #[must_use]
    fn unpark_hungry(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.hungry) {
            self.waker.take()
        } else {
            None
        }
    }
}

impl Port {
    pub(crate) fn new(session: Session, shard: u8, budget: &Arc<Budget>) -> Self {
        Self {
            id: session.id().clone(),
            client: session.client().clone(),
            uid: session.uid().cloned(),
            codec: session.codec(),
            concurrent: AtomicU16::new(0),
            shard,
            seats: Seats::default(),
            budget: Arc::clone(budget),
            inner: Mutex::new(Inner {
                session,
                waker: None,
                hungry: false,
            }),
        }
    }

    /// Runs `f` under the session's lock and accounts for what it did to the queue.
    /// Wakes nobody: a connection that changes its own session need not wake itself; others
    /// call [`wake`](Self::wake) after it, or use [`change`](Self::change).
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.inner.lock();
        let before = inner.session.queue_bytes();
        let result = f(&mut inner);
        let after = inner.session.queue_bytes();
        drop(inner);
        self.budget.moved(after as i64 - before as i64);
        result
    }

    /// The same for someone who is not the connection: wakes it afterwards.
    pub(crate) fn change<R>(&self, f: impl FnOnce(&mut Session) -> R) -> R {
        let (result, waker) = self.with(|inner| (f(&mut inner.session), inner.unpark()));
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    pub(crate) fn wake(&self) {
        let waker = self.inner.lock().unpark();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Puts one pushed frame in line. Wakes nobody: `touched` collects whom to wake, and is
    /// [settled](super::Hub::settle) once per drained batch.
    pub(crate) fn push(
        self: &Arc<Self>,
        frame: &OutFrame,
        identity: &Identity,
        bounds: &Bounds,
        touched: &mut Touched,
    ) -> Pushed {
        self.append(touched, |session| session.push(frame, identity, bounds))
    }

    /// Puts a `chsk/gap` item in line, unless one is already waiting to be sent.
    pub(crate) fn gap(
        self: &Arc<Self>,
        reason: &str,
        bounds: &Bounds,
        touched: &mut Touched,
    ) -> Pushed {
        self.append(touched, |session| session.gap(reason, bounds))
    }

    /// Has `f` append something, and takes note in `touched` of all that follows from it.
    pub(super) fn append(
        self: &Arc<Self>,
        touched: &mut Touched,
        f: impl FnOnce(&mut Session) -> Pushed,
    ) -> Pushed {
        let mut inner = self.inner.lock();
        let before = inner.session.queue_bytes();
        let pushed = f(&mut inner.session);
        if let Some(node) = inner.session.forwards_to() {
            touched.forward_to(node);
        }
        touched.account(inner.session.queue_bytes() as i64 - before as i64);
        let slow = pushed == Pushed::Slow;
        // A slow consumer's socket is blocked; its connection has to close all the same.
        let waker = if slow {
            inner.unpark()
        } else {
            inner.unpark_hungry()
        };
        drop(inner);
        if let Some(waker) = waker {
            touched.wake_later(waker);
        }
        if slow {
            touched.end_later(self);
        }
        pushed
    }

    pub(crate) fn shard(&self) -> u8 {
        self.shard
    }

    pub(super) fn seats(&self) -> &Seats {
        &self.seats
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.budget
            .moved(-(self.inner.get_mut().session.queue_bytes() as i64));
    }
}
