//! Time in the client half: one next timeout, silence, probes, retries, deadlines.

use super::connection::Phase;
use super::state::CloseReason;
use super::{Session, TransportChoice, TransportClose};
use crate::codes::CloseCode;
use crate::frame::ClientFrame;
use crate::millis::Millis;
use crate::server::patience;
use crate::transport::Transport;

/// A tick that comes so much too late was held back (a suspended machine, a throttled tab), and
/// frames may wait unread: it asks before it judges.
const LATE_MS: u64 = 2_000;

impl Session {
    /// Lets time pass. Call it at [`Session::next_timeout`]; later is harmless, earlier does nothing.
    pub fn tick(&mut self, now: Millis) {
        self.judge(now);
        self.ack_if_due(now);
        if self.move_at.is_some_and(|at| at <= now) {
            self.begin_move(now);
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.open(now);
        }
        if self.fallback.upgrade_at.is_some_and(|at| at <= now) {
            self.begin_upgrade(now);
        }
        self.expire(now);
    }

    /// When [`Session::tick`] has something to do, if nothing happens before.
    pub fn next_timeout(&self) -> Option<Millis> {
        let current = self.current.as_ref().map(|current| match current.phase {
            Phase::Opening { until } | Phase::Probing { until } | Phase::Greeting { until } => {
                until
            }
            Phase::Open { .. } => current.probe_until.unwrap_or_else(|| self.silent_until()),
        });
        let moving = self.moving.as_ref().and_then(|moving| match moving.phase {
            Phase::Opening { until } | Phase::Probing { until } => Some(until),
            _ => None,
        });
        let ack_is_due = self.current_is_open() && self.received > self.told;
        let ack = ack_is_due.then(|| self.untold_since.plus(self.options.ack_after_ms));
        let deadline = self.deadlines.keys().next().map(|(deadline, _)| *deadline);
        let asking = self.fallback.asking.as_ref().map(|asking| asking.until);
        let upgrade = self.fallback.upgrade_at;
        let all = [
            current,
            moving,
            ack,
            deadline,
            asking,
            upgrade,
            self.move_at,
            self.retry_at,
        ];
        all.into_iter().flatten().min()
    }

    /// The page is visible again, or the network is back: asks the server for a sign of life, or
    /// tries again at once instead of waiting out the backoff.
    pub fn probe(&mut self, now: Millis) {
        if self.retry_at.is_some() {
            return self.open(now);
        }
        self.ask(now);
    }

    fn ask(&mut self, now: Millis) {
        let until = now.plus(self.options.probe_ms);
        if let Some(current) = self
            .current
            .as_mut()
            .filter(|it| it.is_open() && it.probe_until.is_none())
        {
            current.probe_until = Some(until);
            self.say(&ClientFrame::Ping { ahead: None });
        }
    }

    /// Ends a connection that took too long to open, to greet, or to say anything.
    fn judge(&mut self, now: Millis) {
        let asking = self.fallback.asking.as_ref();
        if let Some(asking) = asking.filter(|it| it.until <= now) {
            self.asked(asking.connection, Err("no answer".to_owned()), now);
        }
        if let Some(moving) = self.moving.as_ref()
            && let Phase::Opening { until } | Phase::Probing { until } = moving.phase
            && until <= now
        {
            let connection = moving.id;
            let reason = "the connection did not open in time".to_owned();
            self.actions.push_back(super::Action::Close {
                connection,
                code: 1000,
                reason,
            });
            self.closed(connection, &TransportClose::default(), now);
        }
        let Some(current) = &self.current else { return };
        match current.phase {
            Phase::Opening { until } if until <= now => {
                self.too_slow("the connection did not open in time", now)
            }
            Phase::Greeting { until } if until <= now => self.too_slow("no hello in time", now),
            Phase::Open { .. } => match current.probe_until {
                Some(until) if until <= now => self.fall_silent(now),
                None if now >= self.silent_until().plus(LATE_MS) => self.ask(now),
                None if now >= self.silent_until() => self.fall_silent(now),
                _ => {}
            },
            _ => {}
        }
    }

    fn too_slow(&mut self, text: &str, now: Millis) {
        self.close_current(CloseCode::PING_TIMEOUT.0, text);
        let how = TransportClose {
            error: Some(text.to_owned()),
            ..TransportClose::default()
        };
        let swallowed = self.options.transport == TransportChoice::Auto
            && self
                .current
                .as_ref()
                .is_some_and(|it| it.transport == Transport::Ws && !it.ponged);
        self.lost(CloseReason::Unexpected, &how, now);
        if swallowed {
            return self.fall_back(text.to_owned(), now);
        }
        self.retry(None, now);
    }

    fn fall_silent(&mut self, now: Millis) {
        let reason = CloseReason::PingTimeout;
        self.close_current(CloseCode::PING_TIMEOUT.0, reason.name());
        let how = TransportClose {
            code: Some(CloseCode::PING_TIMEOUT.0),
            reason: reason.name().to_owned(),
            ..TransportClose::default()
        };
        self.lost(reason, &how, now);
        self.retry(None, now);
    }

    fn silent_until(&self) -> Millis {
        match &self.current {
            Some(current) => match current.phase {
                Phase::Open { ping_ms, .. } => current
                    .last_heard
                    .plus(ping_ms)
                    .plus(self.options.grace_ms)
                    .max(current.patient_until),
                _ => Millis::MAX,
            },
            None => Millis::MAX,
        }
    }

    pub(super) fn be_patient(&mut self, ahead: u64, now: Millis) {
        let Some(current) = self.current.as_mut() else {
            return;
        };
        if let Phase::Open {
            ping_ms, max_bytes, ..
        } = current.phase
        {
            // No item is larger than this; a greater number would only switch the keep-alive off.
            let most = (max_bytes as u64).saturating_mul(2);
            let until = now
                .plus(ping_ms)
                .plus(self.options.grace_ms)
                .plus(patience(ahead.min(most)));
            current.patient_until = current.patient_until.max(until);
        }
    }

    /// Bytes came, perhaps only part of a frame: a sign of life, for transports that see it.
    pub fn heard(&mut self, connection: u64, now: Millis) {
        if let Some(current) = self
            .current
            .as_mut()
            .filter(|it| it.id == connection && !it.muted)
        {
            current.last_heard = now;
            current.probe_until = None;
        }
    }
}
