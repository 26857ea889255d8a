//! How a connection ends, what the application is told of it, and after what delay there is another.

use super::connection::{Connection, Phase};
use super::fallback::Asking;
use super::inbound::MAX_AWAY_MS;
use super::state::{CloseReason, LastClose, LastError, LastWsClose};
use super::{Action, Session, TransportClose};
use crate::codes::{CloseCode, ErrorCode};
use crate::millis::Millis;
use crate::rules::{Rule, holds};
use crate::transport::Transport;

/// A close in good order that no close code of ours explains.
pub(super) const NORMAL: u16 = 1000;
/// HTTP statuses by which a node refuses a client for good.
const TERMINAL_STATUSES: [u16; 2] = [401, 403];

impl Session {
    /// Closes the present connection on our own account.
    pub(super) fn close_current(&mut self, code: u16, reason: &str) {
        if let Some(current) = &self.current {
            self.actions.push_back(Action::Close {
                connection: current.id,
                code,
                reason: reason.to_owned(),
            });
        }
    }

    /// Closes everything that is open or opening, without a retry.
    pub(super) fn leave(&mut self, now: Millis, code: u16, reason: CloseReason) {
        self.close_current(code, reason.name());
        self.leave_quietly();
        if let Some(moving) = self.moving.take() {
            self.actions.push_back(Action::Close {
                connection: moving.id,
                code,
                reason: reason.name().to_owned(),
            });
        }
        let how = TransportClose {
            clean: true,
            code: Some(code),
            reason: reason.name().to_owned(),
            ..TransportClose::default()
        };
        self.lost(reason, &how, now);
        self.fallback.asking = None;
        self.retry_at = None;
        self.update(|state| state.next_reconnect_at = None);
    }

    pub(super) fn leave_quietly(&mut self) {
        if let Some(connection) = self.leaving.take() {
            self.actions.push_back(Action::Close {
                connection,
                code: NORMAL,
                reason: "moved".to_owned(),
            });
        }
    }

    /// Loses the present connection for the reason its transport, or a `bye`, gives, and decides what follows.
    pub(super) fn lost_by(&mut self, how: &TransportClose, now: Millis) {
        if self.must_ask(how) {
            return self.lost_without_cause(how, now);
        }
        if let Some(reason) = self.blame(how, now) {
            self.lost(CloseReason::Downgrading, how, now);
            self.move_at = None;
            return self.fall_back(reason, now);
        }
        let back_at = self.current.as_ref().and_then(|current| current.back_at);
        self.lost(reason_of(how.code.map(CloseCode), how), how, now);
        self.follow(how, back_at, now);
        self.move_at = None;
    }

    fn lost_without_cause(&mut self, how: &TransportClose, now: Millis) {
        let Some(connection) = self.current.as_ref().map(|current| current.id) else {
            return;
        };
        self.lost(CloseReason::Unexpected, how, now);
        self.move_at = None;
        if let Some(moving) = self.moving.take() {
            self.current = Some(moving);
            return;
        }
        self.fallback.asking = Some(Asking {
            connection,
            how: how.clone(),
            until: now.plus(self.options.probe_ms),
        });
        self.actions.push_back(Action::Ask { connection });
    }

    /// Decides what follows the end of a connection.
    pub(super) fn follow(&mut self, how: &TransportClose, back_at: Option<Millis>, now: Millis) {
        let ours = |code: Option<ErrorCode>| code.is_some();
        let refused = how
            .refused
            .filter(|(status, code)| ours(*code) && TERMINAL_STATUSES.contains(status));
        let away = how.retry_after_ms.map(|ms| now.plus(ms.min(MAX_AWAY_MS)));
        let back_at = back_at.or(away);
        match how.code.map(CloseCode) {
            _ if refused.is_some() => self.give_up(),
            Some(CloseCode::SUPERSEDED) if holds(Rule::SupersededBeginsAnew) => {
                // Somebody else goes on with our session, a duplicated tab perhaps: part from it.
                self.forget_session();
                // The next hello names no session, so no server can tell that something is missing;
                // told before it, the application would fetch too early.
                self.gap_owed = Some("superseded");
                self.client = self.random.client_id();
                self.backoff.skip_immediate();
                self.retry(None, now);
            }
            Some(code) if !code.comes_back() => self.give_up(),
            Some(
                CloseCode::MOVE
                | CloseCode::RESTARTING
                | CloseCode::GOING_AWAY
                | CloseCode::SERVICE_RESTART,
            ) => {
                // Everybody on that node got this at the same moment.
                let spread = self.random.up_to(self.options.spread_ms);
                self.retry(back_at.or(self.move_at).or(Some(now.plus(spread))), now);
            }
            _ => self.retry(back_at, now),
        }
    }

    /// The cause of an end has become known after it.
    pub(super) fn tell_cause(&mut self, how: &TransportClose, now: Millis) {
        let error = fault(false, how, now);
        self.update(|state| state.last_error = error);
    }

    /// WebSockets do not work here: long-polling takes over at once.
    pub(super) fn fall_back(&mut self, reason: String, now: Millis) {
        self.downgrade(reason, now);
        match self.moving.take() {
            Some(moving) => self.current = Some(moving),
            None => self.open(now),
        }
    }

    /// Records the end of the present connection.
    pub(super) fn lost(&mut self, reason: CloseReason, how: &TransportClose, now: Millis) {
        let Some(lost) = self.current.take() else {
            return;
        };
        self.leave_quietly();
        self.note_stable(&lost, now);
        self.note_death(&lost, how, now);
        let requested = [
            CloseReason::RequestedDisconnect,
            CloseReason::RequestedReconnect,
        ];
        if !requested.contains(&reason) {
            self.note_unopened(&lost);
        }
        self.fallback.upgrade_at = None;
        let is_ws = lost.transport == Transport::Ws;
        let error = fault(lost.is_open(), how, now);
        self.update(|state| {
            if std::mem::take(&mut state.open) {
                state.last_close = Some(LastClose { at: now, reason });
            }
            state.transport = None;
            if is_ws {
                let TransportClose {
                    clean,
                    code,
                    ref reason,
                    ..
                } = *how;
                state.last_ws_close = Some(LastWsClose {
                    at: now,
                    clean,
                    code,
                    reason: reason.clone(),
                });
            }
            if error.is_some() {
                state.last_error = error;
            }
        });
    }

    pub(super) fn note_stable(&mut self, connection: &Connection, now: Millis) {
        if let Phase::Open { since, .. } = connection.phase
            && now >= since.plus(self.options.stable_ms)
        {
            self.backoff.reset();
            if connection.transport == Transport::Ws {
                self.note_proven();
            }
        }
    }

    /// Plans the next attempt: the connection that a move is opening, else the time the server
    /// named, else the backoff's.
    pub(super) fn retry(&mut self, at: Option<Millis>, now: Millis) {
        if !self.wanted {
            return;
        }
        if let Some(moving) = self.moving.take() {
            let probing = matches!(moving.phase, Phase::Probing { .. });
            self.current = Some(moving);
            if probing {
                self.say_hello(now);
            }
            return;
        }
        let delay = self.backoff.next(&mut self.random);
        let at = now.plus(delay).max(at.unwrap_or(now));
        if at <= now {
            return self.open(now);
        }
        self.retry_at = Some(at);
        self.update(|state| state.next_reconnect_at = Some(at));
    }

    /// No further attempt until the application asks for one; nothing is left hanging.
    pub(super) fn give_up(&mut self) {
        self.wanted = false;
        self.started = true;
        self.retry_at = None;
        self.move_at = None;
        if let Some(moving) = self.moving.take() {
            self.actions.push_back(Action::Close {
                connection: moving.id,
                code: NORMAL,
                reason: String::new(),
            });
        }
        self.forget_session();
        self.fail_everything();
        self.update(|state| state.next_reconnect_at = None);
    }

    /// The next hello begins a new session; what was written for this one may have been handled.
    pub(super) fn forget_session(&mut self) {
        self.session = None;
        self.restart_counts();
    }
}

fn reason_of(code: Option<CloseCode>, how: &TransportClose) -> CloseReason {
    match code {
        Some(CloseCode::PING_TIMEOUT) => CloseReason::PingTimeout,
        Some(CloseCode::KICKED) => CloseReason::Kicked,
        Some(CloseCode::SUPERSEDED) => CloseReason::Superseded,
        Some(
            CloseCode::MOVE
            | CloseCode::RESTARTING
            | CloseCode::GOING_AWAY
            | CloseCode::SERVICE_RESTART,
        ) => CloseReason::Draining,
        Some(CloseCode(4000..=4999)) => CloseReason::Error,
        _ if how.clean => CloseReason::Clean,
        _ => CloseReason::Unexpected,
    }
}

/// What an end says about a fault, if it was one.
fn fault(was_open: bool, how: &TransportClose, now: Millis) -> Option<LastError> {
    let code = how
        .code
        .map(CloseCode)
        .filter(|code| (4000..=4999).contains(&code.0) && *code != CloseCode::MOVE);
    let (kind, text) = match (&how.refused, &how.error, code) {
        (Some((status, Some(code))), _, _) => {
            ("refused", format!("refused with status {status}: {code}"))
        }
        (Some((status, None)), _, _) => ("refused", format!("refused with status {status}")),
        (None, _, Some(code)) if how.reason.is_empty() => ("server", code.to_string()),
        (None, _, Some(code)) => ("server", format!("{code}: {}", how.reason)),
        (None, Some(error), None) if was_open => ("transport", error.clone()),
        (None, Some(error), None) => ("connect", error.clone()),
        (None, None, None) if was_open => return None,
        (None, None, None) => ("connect", "closed before the hello".to_owned()),
    };
    Some(LastError {
        at: now,
        kind,
        http_status: how.refused.map(|(status, _)| status),
        text,
    })
}
