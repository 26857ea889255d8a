//! Which transport the next connection takes: WebSocket where it works, else long-polling, and back.

use super::connection::{Connection, Phase};
use super::random::Random;
use super::state::Downgrade;
use super::{Action, Options, Session, TransportChoice, TransportClose};
use crate::codes::{CloseCode, ErrorCode};
use crate::millis::Millis;
use crate::transport::Transport;

/// What a client has learnt about WebSockets on its network.
#[derive(Debug, Default)]
pub(super) struct Fallback {
    /// They are left alone until then.
    downgraded_until: Option<Millis>,
    /// Polling failed too: the next connection is a WebSocket all the same.
    try_ws: bool,
    /// One was open for long: they work here, and a single accident says little.
    proven: bool,
    /// WebSockets in a row that died soon after their hello.
    young_deaths: u32,
    /// Attempts in a row to get back from a poll.
    upgrades: u32,
    /// A connection that failed for reasons unknown, and until when its cause is asked for.
    pub(super) asking: Option<Asking>,
    /// When a poll next tries a WebSocket beside it.
    pub(super) upgrade_at: Option<Millis>,
}

/// A WebSocket that could not be opened, while the node is asked why.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) connection: u64,
    pub(super) how: TransportClose,
    pub(super) until: Millis,
}

impl Fallback {
    /// What the next connection is carried by.
    pub(super) fn choose(&mut self, options: &Options, now: Millis) -> Transport {
        match options.transport {
            TransportChoice::Ws => Transport::Ws,
            TransportChoice::Poll => Transport::Poll,
            TransportChoice::Auto => {
                let downgraded = self.downgraded_until.is_some_and(|until| until > now);
                match downgraded && !std::mem::take(&mut self.try_ws) {
                    true => Transport::Poll,
                    false => Transport::Ws,
                }
            }
        }
    }

    /// Plans the next look for a WebSocket from a poll that works.
    fn plan_upgrade(&mut self, options: &Options, random: &mut Random, now: Millis) {
        let factor = 1u64.checked_shl(self.upgrades).unwrap_or(u64::MAX);
        let limit = options.upgrade_base_ms.saturating_mul(factor);
        let limit = limit.min(options.upgrade_cap_ms);
        self.upgrades = self.upgrades.saturating_add(1);
        // Half of it at least: a poll that has just begun is no reason to hurry.
        let delay = limit / 2 + random.up_to(limit / 2);
        self.upgrade_at = Some(now.plus(delay));
    }
}

impl Session {
    fn is_auto(&self) -> bool {
        self.options.transport == TransportChoice::Auto
    }

    /// How long a connection of this transport may take from opening to open.
    pub(super) fn opening_ms(&self, transport: Transport, usual_ms: u64) -> u64 {
        match transport {
            Transport::Ws if self.is_auto() => usual_ms.min(self.options.fallback_ms),
            _ => usual_ms,
        }
    }

    /// A WebSocket has answered a ping before the hello: its server may take the usual time.
    pub(super) fn frames_pass(&mut self, now: Millis) {
        let limit = now.plus(self.options.hello_timeout_ms);
        for connection in self.moving.iter_mut().chain(&mut self.current) {
            let first = !connection.ponged;
            if let Phase::Greeting { until } | Phase::Probing { until } = &mut connection.phase {
                connection.ponged = true;
                *until = if first { limit } else { *until };
            }
        }
    }

    /// A connection is open: what that says of its transport.
    pub(super) fn note_open(&mut self, now: Millis) {
        let Some(current) = &self.current else { return };
        if current.transport == Transport::Ws {
            self.fallback.downgraded_until = None;
            self.fallback.upgrade_at = None;
        } else if self.is_auto() {
            let fallback = &mut self.fallback;
            fallback.plan_upgrade(&self.options, &mut self.random, now);
        }
    }

    /// A WebSocket has been open for long.
    pub(super) fn note_proven(&mut self) {
        self.fallback.proven = true;
        self.fallback.young_deaths = 0;
        self.fallback.upgrades = 0;
    }

    /// Whether the cause of this end has to be asked for: a WebSocket could not be opened, and its
    /// transport cannot, or did not, see a status. A gateway's status leaves open whether the
    /// node is away or only its WebSockets.
    pub(super) fn must_ask(&self, how: &TransportClose) -> bool {
        let unopened = self.current.as_ref().is_some_and(|current| {
            current.transport == Transport::Ws && matches!(current.phase, Phase::Opening { .. })
        });
        let unknown = match how.refused {
            None => how.code.is_none_or(|code| code == 1006),
            Some((502..=504, None)) => self.is_auto(),
            Some(_) => false,
        };
        unopened && unknown
    }

    /// Why a WebSocket is to blame for the end of the present connection, not the moment, the
    /// server or the application.
    pub(super) fn blame(&self, how: &TransportClose, now: Millis) -> Option<String> {
        let current = self.current.as_ref()?;
        if current.transport != Transport::Ws || !self.is_auto() {
            return None;
        }
        match (how.refused, how.code.map(CloseCode)) {
            (Some((_, Some(_))), _) => None,
            // Whoever is in front of the node says that it is away.
            (Some((429 | 502..=504, None)), _) => None,
            (Some((status, None)), _) => Some(format!("the upgrade was answered {status}")),
            (None, Some(CloseCode(4000..=4999))) => None,
            (None, Some(CloseCode::GOING_AWAY | CloseCode::SERVICE_RESTART)) => None,
            (None, _) => match current.phase {
                Phase::Opening { .. } => None,
                Phase::Greeting { .. } if current.ponged => None,
                Phase::Probing { .. } | Phase::Greeting { .. } => {
                    Some("it closed before the hello".to_owned())
                }
                Phase::Open { since, .. } => self.blame_for_dying(since, how, now),
            },
        }
    }

    fn blame_for_dying(&self, since: Millis, how: &TransportClose, now: Millis) -> Option<String> {
        let age = now.0.saturating_sub(since.0);
        let young = age < self.options.young_ms && !how.clean;
        let often = !self.fallback.proven || self.fallback.young_deaths > 0;
        (young && often).then(|| format!("it broke after {age} ms"))
    }

    /// Counts a WebSocket that broke soon after its hello.
    pub(super) fn note_death(
        &mut self,
        connection: &Connection,
        how: &TransportClose,
        now: Millis,
    ) {
        if let (Transport::Ws, Phase::Open { since, .. }) = (connection.transport, connection.phase)
            && now.0.saturating_sub(since.0) < self.options.young_ms
            && !how.clean
        {
            self.fallback.young_deaths += 1;
        }
    }

    /// Gives WebSockets up for a time.
    pub(super) fn downgrade(&mut self, reason: String, now: Millis) {
        let until = now.plus(self.options.downgrade_ms);
        self.fallback.downgraded_until = Some(until);
        self.fallback.try_ws = false;
        self.update(|state| state.downgrade = Some(Downgrade { reason, until }));
    }

    /// A connection never became open: if polling does not work either, WebSockets get their turn.
    pub(super) fn note_unopened(&mut self, connection: &Connection) {
        if connection.transport == Transport::Poll && !connection.is_open() {
            self.fallback.try_ws = true;
        }
    }

    /// What the plain GET of [`Action::Ask`] was answered: the status, and our
    /// own code if the answer has one (`Tengen-Error`), or why there was no answer.
    pub fn asked(
        &mut self,
        connection: u64,
        answer: Result<(u16, Option<ErrorCode>), String>,
        now: Millis,
    ) {
        let asking = self
            .fallback
            .asking
            .take_if(|it| it.connection == connection);
        let Some(Asking { mut how, .. }) = asking else {
            return;
        };
        match answer {
            // The node is there and has nothing against us: something on the way has.
            Ok((204, None)) if self.is_auto() => {
                let reason = how.error.clone();
                let reason = reason.unwrap_or_else(|| "it could not be opened".to_owned());
                self.downgrade(reason, now);
                return self.open(now);
            }
            Ok((204, None)) => {}
            Err(text) => {
                how.error.get_or_insert(text);
            }
            Ok(refused) => {
                how.refused = Some(refused);
                self.tell_cause(&how, now);
            }
        }
        self.follow(&how, None, now);
    }

    /// Opens a WebSocket beside the poll, to see whether it works by now.
    pub(super) fn begin_upgrade(&mut self, now: Millis) {
        self.fallback.upgrade_at = None;
        if self.moving.is_some() {
            return self.upgrade_failed(now);
        }
        if !self.current.as_ref().is_some_and(Connection::is_open) {
            return;
        }
        let mut probe = self.new_connection_over(Transport::Ws, now);
        probe.probe = true;
        self.moving = Some(probe);
    }

    /// Closes the WebSocket beside the poll: it is no use.
    pub(super) fn drop_probe(&mut self, reason: &str, now: Millis) {
        if let Some(probe) = self.moving.take_if(|it| it.probe) {
            self.actions.push_back(Action::Close {
                connection: probe.id,
                code: 1000,
                reason: reason.to_owned(),
            });
            self.upgrade_failed(now);
        }
    }

    /// The WebSocket beside the poll does not work yet.
    pub(super) fn upgrade_failed(&mut self, now: Millis) {
        if self.is_auto() && self.wanted {
            let fallback = &mut self.fallback;
            fallback.plan_upgrade(&self.options, &mut self.random, now);
        }
    }
}
