//! The one clock of all sessions: every second each of them is asked what time has made due.

use std::sync::Arc;
use std::time::Duration;

use tengen_protocol::server::{Bounds, Standing, Tick};
use tengen_protocol::{Millis, NodeId};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Hub;
use super::members::Crowd;
use super::port::{Port, Session};

/// Each session is looked at once in this time, so a deadline is met up to a second late.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

/// What is done along with the sweep.
pub(crate) trait Beside: Send + 'static {
    /// About once in [`PERIOD`], with the time: for what has deadlines and no session yet.
    fn second(&self, now: Millis);

    /// After each shard: for sessions on their way between nodes. `last` = it was the last one of
    /// a round.
    fn moving(&self, found: &mut Found, last: bool);
}

/// Where no other node is.
impl<F: Fn(Millis) + Send + 'static> Beside for F {
    fn second(&self, now: Millis) {
        self(now);
    }

    fn moving(&self, found: &mut Found, _: bool) {
        found.moving.clear();
        found.debts.clear();
    }
}

/// What a sweep found for others to do. Kept from shard to shard: it is scratch too.
#[derive(Default)]
pub(crate) struct Found {
    ports: Vec<Arc<Port>>,
    /// Sessions between nodes: time may have given them something to pass on, or to start. And
    /// those that ended with items which nobody is at work on.
    pub(crate) moving: Vec<Arc<Port>>,
    /// Sessions to which another node owes something.
    pub(crate) debts: Vec<(NodeId, Arc<Port>)>,
}

/// Sweeps until `stop`, one task for the whole node: a connection has no timer of its own.
pub(crate) async fn run(hub: Arc<Hub>, beside: impl Beside, stop: CancellationToken) {
    // A shard at a time, spread over the second: no burst of wake-ups, no long pause.
    let mut ticks = tokio::time::interval(PERIOD / Crowd::SHARDS as u32);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut found = Found::default();
    let mut shard = 0;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        hub.sweep(shard, hub.now(), &mut found);
        if shard == 0 {
            beside.second(hub.now());
            hub.observe();
        }
        shard = (shard + 1) % Crowd::SHARDS;
        beside.moving(&mut found, shard == 0);
    }
}

impl Hub {
    /// Lets time pass for the sessions of one shard: wakes the connections that have something to
    /// write or to close by now, and ends the sessions that nobody came back to. Appends to `found`.
    pub(crate) fn sweep(&self, shard: usize, now: Millis, found: &mut Found) {
        let mut ports = std::mem::take(&mut found.ports);
        self.groups().all().shard(shard).collect_into(&mut ports);
        let ttl = self.config().session_ttl;
        for port in ports.drain(..) {
            let (due, moving, owed) = port.with(|inner| {
                inner.pass(now);
                let session = &mut inner.session;
                let owed = session.debtor().cloned();
                let due = due(session, now, self.bounds(), ttl);
                let moving = owed.is_some() || session.standing() != Standing::Home;
                (due, moving || session.leaves_work(), owed)
            });
            match due {
                Due::Nothing => {}
                Due::Write => port.wake_outside_window(),
                Due::Work => port.wake(),
                Due::Silent => {
                    self.metrics().hub.silent.increment();
                    port.wake();
                }
                Due::Expired => {
                    self.metrics().hub.expired.increment();
                    port.change(Session::end);
                    self.forget(&port);
                }
                Due::Over => self.forget(&port),
            }
            if let Some(node) = owed {
                found.debts.push((node, Arc::clone(&port)));
            }
            if moving {
                found.moving.push(port);
            }
        }
        found.ports = ports;
    }

    /// Writes down how full the hub is.
    fn observe(&self) {
        let counts = self.counts();
        let hub = &self.metrics().hub;
        hub.sessions.set(counts.sessions as u64);
        hub.users.set(counts.users as u64);
        hub.anonymous.set(counts.anonymous as u64);
        hub.queue_bytes.set(counts.queue_bytes as u64);
    }
}

enum Due {
    Nothing,
    Write,
    /// Items of a session that came from another node may start.
    Work,
    /// Nothing came from the peer for too long; the session has put the close in line.
    Silent,
    /// Nobody came back in time.
    Expired,
    /// Ended from within, and nobody is left to say so.
    Over,
}

fn due(session: &mut Session, now: Millis, bounds: &Bounds, session_ttl: Duration) -> Due {
    match session.tick(now, bounds) {
        Tick::Quiet => {}
        Tick::Write => return Due::Write,
        Tick::Work => return Due::Work,
        Tick::Close | Tick::Silent => return Due::Silent,
    }
    let Some(since) = session.detached_since() else {
        return Due::Nothing;
    };
    if session.is_over() {
        return Due::Over;
    }
    match session.standing() {
        Standing::Home if now - since >= session_ttl => Due::Expired,
        // One that was released and never asked for again is lost like one that nobody came back to.
        Standing::Frozen if is_past(session, now, session_ttl) => Due::Expired,
        Standing::Moved if is_past(session, now, session_ttl) => Due::Over,
        // A takeover ends by itself.
        Standing::Home | Standing::Arriving | Standing::Frozen | Standing::Moved => Due::Nothing,
    }
}

fn is_past(session: &Session, now: Millis, session_ttl: Duration) -> bool {
    let ttl_ms = u64::try_from(session_ttl.as_millis()).unwrap_or(u64::MAX);
    session.expires(ttl_ms).is_some_and(|at| now >= at)
}
