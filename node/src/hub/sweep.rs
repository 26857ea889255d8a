//! The one clock of all sessions: every second each of them is asked what time has made due.

use std::sync::Arc;
use std::time::Duration;

use tengen_protocol::Millis;
use tengen_protocol::server::{Bounds, Tick};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Hub;
use super::members::Crowd;
use super::port::{Port, Session};

/// Each session is looked at once in this time, so a deadline is met up to a second late.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

/// Sweeps until `stop`, one task for the whole node: a connection has no timer of its own.
/// `beside` is called about once in [`PERIOD`] with the time, for what has deadlines and no session
/// yet.
pub(crate) async fn run(hub: Arc<Hub>, beside: impl Fn(Millis), stop: CancellationToken) {
    // A shard at a time, spread over the second: no burst of wake-ups, no long pause.
    let mut ticks = tokio::time::interval(PERIOD / Crowd::SHARDS as u32);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ports = Vec::new();
    let mut shard = 0;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        hub.sweep(shard, hub.now(), &mut ports);
        if shard == 0 {
            beside(hub.now());
            hub.observe();
        }
        shard = (shard + 1) % Crowd::SHARDS;
    }
}

impl Hub {
    /// Lets time pass for the sessions of one shard: wakes the connections that have something to
    /// write or to close by now, and ends the sessions that nobody came back to. `ports` is
    /// scratch, kept by the caller.
    pub(crate) fn sweep(&self, shard: usize, now: Millis, ports: &mut Vec<Arc<Port>>) {
        self.groups().all().shard(shard).collect_into(ports);
        for port in ports.drain(..) {
            match port.with(|inner| {
                due(
                    &mut inner.session,
                    now,
                    self.bounds(),
                    self.config().session_ttl,
                )
            }) {
                Due::Nothing => {}
                Due::Write => port.wake(),
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
        }
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
    /// Nothing came from the peer for too long; the session has put the close in line.
    Silent,
    /// Nobody came back in time.
    Expired,
    /// Ended from within, and nobody is left to say so.
    Over,
}

fn due(session: &mut Session, now: Millis, bounds: &Bounds, session_ttl: Duration) -> Due {
    match session.detached_since() {
        Some(_) if session.is_over() => Due::Over,
        Some(since) if now - since >= session_ttl => Due::Expired,
        Some(_) => Due::Nothing,
        None => match session.tick(now, bounds) {
            Tick::Quiet => Due::Nothing,
            Tick::Write | Tick::Work => Due::Write,
            Tick::Close | Tick::Silent => Due::Silent,
        },
    }
}
