//! One session on this node, its lock, and the waker of the connection that serves it.

use std::sync::atomic::AtomicU16;
use std::sync::{Arc, Weak};
use std::task::Waker;

use parking_lot::Mutex;
use smallvec::SmallVec;
use tengen_protocol::server::{self, Bounds, Link, PollTurn, Pushed, Standing};
use tengen_protocol::takeover::Identity;
use tengen_protocol::{ClientId, Codec, Millis, OutFrame, SessionId, Transport, Uid};

use super::attendance::{Attendance, Change, Line};
use super::budget::Budget;
use super::members::{Crowd, Seats};
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
    /// How many ports this node had made before it: what lists of sessions are ordered by.
    pub number: u64,
    /// Since when this node has the session.
    pub since: Millis,
    seats: Seats,
    budget: Arc<Budget>,
    line: Arc<Line>,
    this: Weak<Port>,
    inner: Mutex<Inner>,
}

/// What the port's lock guards.
pub(crate) struct Inner {
    pub session: Session,
    polled: Option<Box<Polled>>,
    attendance: Attendance,
    /// The connection's task. Taken out to wake it; the task puts it back at its next poll, so
    /// an empty place means that it is about to look.
    waker: Option<Waker>,
    /// The connection has written everything and its socket takes more. While it does not,
    /// pushes just queue, and the next writable socket takes them together.
    hungry: bool,
    /// Stands in the line of those who are woken when their batching window is over.
    in_window: bool,
}

/// What a session has while it is polled; few are.
#[derive(Default)]
struct Polled {
    /// What the hello said: each POST's items are handled with it.
    hello: Option<Arc<Connected>>,
    /// A POST for which there was no room. Of several only the newest waits on.
    room_waker: Option<Waker>,
}

impl Inner {
    /// What the hello of a polled session said.
    pub(crate) fn poll_hello(&self) -> Option<Arc<Connected>> {
        self.polled.as_ref().and_then(|polled| polled.hello.clone())
    }

    /// The session is polled from now on.
    pub(crate) fn begin_polls(&mut self, hello: Arc<Connected>) {
        self.polled.get_or_insert_default().hello = Some(hello);
    }

    /// It is polled no more; whoever waits for room is still woken.
    pub(crate) fn end_polls(&mut self) {
        self.polled = self
            .polled
            .take()
            .filter(|polled| polled.room_waker.is_some());
        if let Some(polled) = &mut self.polled {
            polled.hello = None;
        }
    }

    /// Asks to be woken, to be called at the end of each poll: by pushes if `hungry`, by
    /// everything else (bye, superseded, a deadline, reading again) in any case.
    ///
    /// False = `link` no longer is the session's connection: nothing will wake it, let it close.
    #[must_use]
    pub(crate) fn park(&mut self, link: Link, waker: &Waker, hungry: bool) -> bool {
        if self.session.link() != Some(link) {
            return false;
        }
        self.set_waker(waker, hungry);
        true
    }

    /// The same for a GET that waits; one that another has replaced is left to end by itself.
    pub(crate) fn park_poll(&mut self, turn: PollTurn, waker: &Waker, hungry: bool) {
        if self.session.poll_is_current(turn) {
            self.set_waker(waker, hungry);
        }
    }

    /// The client of this GET is gone: nothing wakes it any more, or keeps what it was.
    pub(crate) fn leave_poll(&mut self, turn: PollTurn) {
        if self.session.poll_is_current(turn) {
            self.waker = None;
            self.session.poll_dropped(turn);
            self.attendance.cease(&self.session);
        }
    }

    /// Notices a polling client that has ceased to ask.
    pub(super) fn pass(&mut self, now: Millis) {
        self.attendance.pass(&self.session, now);
    }

    /// Asks to be woken when there may be room for a POST. `None` = there is some now; else whom
    /// to wake after the lock, because only the newest waits.
    #[must_use]
    pub(crate) fn wait_for_room(&mut self, waker: &Waker) -> Option<Option<Waker>> {
        if self.session.may_read() {
            return None;
        }
        let polled = self.polled.get_or_insert_default();
        Some(polled.room_waker.replace(waker.clone()))
    }

    fn set_waker(&mut self, waker: &Waker, hungry: bool) {
        self.hungry = hungry;
        match &mut self.waker {
            Some(old) => old.clone_from(waker),
            empty => *empty = Some(waker.clone()),
        }
    }

    /// Takes the wakers out, to be called after the lock is released.
    #[must_use]
    fn unpark(&mut self) -> [Option<Waker>; 2] {
        let polled = self.polled.as_mut();
        [
            self.waker.take(),
            polled.and_then(|polled| polled.room_waker.take()),
        ]
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
    pub(crate) fn new(
        session: Session,
        number: u64,
        since: Millis,
        budget: &Arc<Budget>,
        line: &Arc<Line>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            id: session.id().clone(),
            client: session.client().clone(),
            uid: session.uid().cloned(),
            codec: session.codec(),
            concurrent: AtomicU16::new(0),
            number,
            since,
            seats: Seats::default(),
            budget: Arc::clone(budget),
            line: Arc::clone(line),
            this: Weak::clone(this),
            inner: Mutex::new(Inner {
                session,
                polled: None,
                attendance: Attendance::default(),
                waker: None,
                hungry: false,
                in_window: false,
            }),
        })
    }

    /// Runs `f` under the session's lock and accounts for what it did to the queue.
    /// Wakes nobody: a connection that changes its own session need not wake itself; others
    /// call [`wake`](Self::wake) after it, or use [`change`](Self::change).
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.inner.lock();
        let before = inner.session.queue_bytes();
        let result = f(&mut inner);
        let after = inner.session.queue_bytes();
        let guest = &mut *inner;
        let joins = self.line.is_open() && guest.attendance.joins(&guest.session);
        drop(inner);
        self.budget.moved(after as i64 - before as i64);
        if joins && let Some(this) = self.this.upgrade() {
            self.line.join(this);
        }
        result
    }

    /// What has changed about the client's being here since this was asked last.
    pub(crate) fn attendance(&self, now: Millis) -> SmallVec<[Change; 2]> {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        inner.attendance.take(&inner.session, now)
    }

    /// The same for someone who is not the connection: wakes it afterwards.
    pub(crate) fn change<R>(&self, f: impl FnOnce(&mut Session) -> R) -> R {
        let (result, wakers) = self.with(|inner| (f(&mut inner.session), inner.unpark()));
        wakers.into_iter().flatten().for_each(Waker::wake);
        result
    }

    pub(crate) fn wake(&self) {
        let wakers = self.inner.lock().unpark();
        wakers.into_iter().flatten().for_each(Waker::wake);
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

    /// The same for what is of no use where the session goes on elsewhere: puts it in line only
    /// while the session is at home here.
    pub(crate) fn push_at_home(
        self: &Arc<Self>,
        frame: &OutFrame,
        identity: &Identity,
        bounds: &Bounds,
        touched: &mut Touched,
    ) -> Pushed {
        let push = |session: &mut Session| match session.standing() {
            Standing::Home => session.push(frame, identity, bounds),
            Standing::Arriving | Standing::Frozen | Standing::Moved => Pushed::Elsewhere,
        };
        self.take(touched, |_| false, push)
    }

    /// Takes what a former holder of the session forwarded. It goes on only where the session did.
    pub(crate) fn forwarded(
        self: &Arc<Self>,
        touched: &mut Touched,
        f: impl FnOnce(&mut Session) -> Pushed,
    ) -> Pushed {
        self.take(touched, |pushed| pushed == Pushed::Elsewhere, f)
    }

    fn append(
        self: &Arc<Self>,
        touched: &mut Touched,
        f: impl FnOnce(&mut Session) -> Pushed,
    ) -> Pushed {
        self.take(touched, |_| true, f)
    }

    /// Has `f` put something in line, and takes note in `touched` of all that follows from it.
    fn take(
        self: &Arc<Self>,
        touched: &mut Touched,
        goes_on: impl FnOnce(Pushed) -> bool,
        f: impl FnOnce(&mut Session) -> Pushed,
    ) -> Pushed {
        let mut inner = self.inner.lock();
        let before = inner.session.queue_bytes();
        let pushed = f(&mut inner.session);
        if let Some(node) = inner.session.forwards_to() {
            if goes_on(pushed) {
                touched.forward_to(node);
            }
            if inner.session.standing() == Standing::Frozen {
                touched.passing.push(Arc::clone(self));
            }
        }
        touched.account(inner.session.queue_bytes() as i64 - before as i64);
        let slow = pushed == Pushed::Slow;
        // A slow consumer's socket is blocked; its connection has to close all the same.
        if touched.flush {
            inner.session.flush();
        }
        let is_ws = inner.session.transport() == Transport::Ws;
        let waits = touched.window && !touched.flush && is_ws;
        let wakers = if slow || (touched.flush && !is_ws) {
            // A poll keeps its own window, in which pushes do not wake it.
            inner.unpark()
        } else if waits {
            [None, None]
        } else {
            [inner.unpark_hungry(), None]
        };
        if waits && inner.hungry && !std::mem::replace(&mut inner.in_window, true) {
            touched.held_back.push(Arc::clone(self));
        }
        drop(inner);
        for waker in wakers.into_iter().flatten() {
            touched.wake_later(waker);
        }
        if slow {
            touched.end_later(self);
        }
        pushed
    }

    /// Wakes the connection unless its batching window is about to: what time has made due can wait
    /// as long.
    pub(super) fn wake_outside_window(&self) {
        if !self.inner.lock().in_window {
            self.wake();
        }
    }

    /// The batching window is over: what has gathered in it may leave.
    pub(super) fn end_window(&self) {
        let waker = {
            let mut inner = self.inner.lock();
            inner.in_window = false;
            inner.unpark_hungry()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// In which part of a crowd it sits: they take turns.
    pub(super) fn shard(&self) -> usize {
        (self.number % Crowd::SHARDS as u64) as usize
    }

    pub(super) fn seats(&self) -> &Seats {
        &self.seats
    }
}

// With the two counts of its `Arc` it fits the allocator's size of 512; the next one is 640, for each
// connection.
const _: () = assert!(size_of::<Port>() + 2 * size_of::<usize>() <= 512);

impl Drop for Port {
    fn drop(&mut self) {
        self.budget
            .moved(-(self.inner.get_mut().session.queue_bytes() as i64));
    }
}
