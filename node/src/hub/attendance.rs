//! Which clients of this node are there, and by what: what changes at a session stands in line until presence takes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use smallvec::SmallVec;
use tengen_protocol::server::{Link, Standing};
use tengen_protocol::{Millis, NodeId, Transport};
use tokio::sync::Notify;

use super::port::{Port, Session};

/// A polling client is between two GETs for so long at most; then it counts as gone, and its grace
/// begins. Without a task that held a GET nobody would see it leave.
const BETWEEN_GETS: Duration = Duration::from_secs(1);
/// Whoever comes back later comes anew: the longest grace is over by then.
const SOON: Duration = Duration::from_secs(6);

/// What presence knows of one session.
#[derive(Debug, Default)]
pub(crate) struct Attendance {
    /// By what it is there, as presence was told.
    shown: Option<Transport>,
    /// By what it was there before it went.
    was: Option<Transport>,
    /// When it went.
    went_at: Millis,
    /// The polling connection whose GETs have ceased.
    ceased: Option<Link>,
    /// By what it was there since presence looked last, however shortly.
    seen: Option<Transport>,
    /// Presence was told which node has the session now.
    handed_over: bool,
    in_line: bool,
}

/// What has changed about a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Opened(Transport),
    Closed(Transport),
    Switched { from: Transport, to: Transport },
    Returned { was: Transport, by: Transport },
    HandedOver { transport: Transport, to: NodeId },
}

impl Attendance {
    /// By what the client is there now.
    fn present(&mut self, session: &Session) -> Option<Transport> {
        let link = session.link().filter(|_| !session.is_over())?;
        let transport = session.transport();
        if transport == Transport::Poll && session.poll_waits() {
            self.ceased = None;
        }
        (self.ceased != Some(link)).then_some(transport)
    }

    /// A GET has gone away, or none has come for long.
    pub(super) fn cease(&mut self, session: &Session) {
        self.ceased = session.link();
    }

    /// A polling client of which no GET is here has ceased if none comes soon after the last.
    pub(super) fn pass(&mut self, session: &Session, now: Millis) {
        let polls = session.transport() == Transport::Poll && !session.poll_waits();
        if polls && now - session.last_heard() >= BETWEEN_GETS {
            self.cease(session);
        }
    }

    /// Whether the session is to be put in line, where it is not yet.
    pub(super) fn joins(&mut self, session: &Session) -> bool {
        if self.in_line {
            return false;
        }
        let moved = session.standing() == Standing::Moved;
        let is = self.present(session);
        self.in_line = is != self.shown || moved != self.handed_over;
        if self.in_line {
            self.seen = is;
        }
        self.in_line
    }

    /// What has changed since presence looked last, in order.
    pub(super) fn take(&mut self, session: &Session, now: Millis) -> SmallVec<[Change; 2]> {
        self.in_line = false;
        let mut changes = SmallVec::new();
        let is = self.present(session);
        let was = self.was.filter(|_| now - self.went_at < SOON);
        let seen = self.seen.take();
        let by = is.or(seen.filter(|_| self.shown.is_none()));
        if let (None, Some(by)) = (self.shown, by) {
            self.shown = Some(by);
            changes.push(match was {
                Some(was) => Change::Returned { was, by },
                None => Change::Opened(by),
            });
        }
        match (self.shown, is) {
            (Some(from), Some(to)) if from != to => changes.push(Change::Switched { from, to }),
            (Some(transport), None) => {
                (self.was, self.went_at) = (Some(transport), now);
                changes.push(Change::Closed(transport));
            }
            (None, _) | (Some(_), Some(_)) => {}
        }
        self.shown = is;
        let moved = session.standing() == Standing::Moved;
        if moved
            && !self.handed_over
            && let (Some(transport), Some(to)) = (self.was.take(), session.owner())
        {
            let to = to.clone();
            changes.push(Change::HandedOver { transport, to });
        }
        self.handed_over = moved;
        if is.is_some() {
            self.was = None;
        }
        changes
    }
}

/// The sessions of which something is to be told to presence, each at most once: as long as there
/// are sessions, at most. Nobody waits for it, and presence itself is never called by a connection.
#[derive(Default)]
pub(crate) struct Line {
    open: AtomicBool,
    ports: Mutex<Vec<Arc<Port>>>,
    joined: Notify,
}

impl Line {
    /// From now on somebody takes what stands in line; before, nothing is put there. To be called
    /// before the first hello.
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    /// Nobody takes it any more.
    pub(crate) fn close(&self) {
        self.open.store(false, Ordering::Release);
        let left = std::mem::take(&mut *self.ports.lock());
        drop(left);
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(super) fn join(&self, port: Arc<Port>) {
        let first = {
            let mut ports = self.ports.lock();
            ports.push(port);
            ports.len() == 1
        };
        if first {
            self.joined.notify_one();
        }
    }

    /// Takes all that stand in line, in the order in which they joined it.
    pub(crate) fn take(&self) -> Vec<Arc<Port>> {
        std::mem::take(&mut *self.ports.lock())
    }

    /// Waits until somebody stands in line; at once if that has been so since the last time.
    ///
    /// # Cancel safety
    /// May be dropped.
    pub(crate) async fn joined(&self) {
        self.joined.notified().await;
    }
}
