//! Connections of a client: wanted, opened, lost, moved; and after what delay there is another.

use super::state::{CloseReason, LastClose, LastError, LastWsClose};
use super::{Action, Session, Transport, TransportClose};
use crate::codes::CloseCode;
use crate::frame::{ClientFrame, ClientHello};
use crate::millis::Millis;

/// A close in good order that no close code of ours explains.
const NORMAL: u16 = 1000;
/// HTTP statuses by which a node refuses a client for good.
const TERMINAL_STATUSES: [u16; 2] = [401, 403];

/// One connection, from the wish for it to its end.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) phase: Phase,
    pub(super) last_heard: Millis,
    /// Silence is forgiven until then: a large item is on its way.
    pub(super) patient_until: Millis,
    /// A probe was sent; any sign of life until then answers it.
    pub(super) probe_until: Option<Millis>,
    /// When and why the server said it would close.
    pub(super) back_at: Option<Millis>,
    /// Test aid: nothing is heard or said any more.
    pub(super) muted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The transport is at work.
    Opening { until: Millis },
    /// Our hello is written, the server's is awaited.
    Greeting { until: Millis },
    /// Events flow.
    Open {
        since: Millis,
        ping_ms: u64,
        max_bytes: usize,
    },
}

impl Connection {
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }
}

impl Session {
    /// Wants a connection from now on. Opens one at once if there is none.
    pub fn connect(&mut self, now: Millis) {
        if self.ended {
            return;
        }
        self.started = true;
        self.wanted = true;
        if self.current.is_none() {
            self.open(now);
        }
    }

    /// Wants no connection until the next [`Session::connect`]: closes in good order, gives the
    /// session up and resolves everything as `closed`.
    pub fn disconnect(&mut self, now: Millis) {
        if self
            .current
            .as_ref()
            .is_some_and(|it| !matches!(it.phase, Phase::Opening { .. }))
        {
            let reason = CloseReason::RequestedDisconnect.name().to_owned();
            self.say(&ClientFrame::Bye {
                code: CloseCode(NORMAL),
                reason,
            });
        }
        self.leave(now, NORMAL, CloseReason::RequestedDisconnect);
        self.give_up();
    }

    /// [`Session::disconnect`] for ever: nothing connects or is taken afterwards.
    pub fn end(&mut self, now: Millis) {
        self.disconnect(now);
        self.ended = true;
        self.fail_everything();
    }

    /// Opens a new connection in place of the present one, after a login for instance. The session
    /// goes on if the server still takes us for the same user.
    pub fn reconnect(&mut self, now: Millis) {
        if self.ended {
            return;
        }
        self.leave(now, CloseCode::MOVE.0, CloseReason::RequestedReconnect);
        self.started = true;
        self.wanted = true;
        self.open(now);
    }

    /// Test aid: breaks the present connection, by dropping its socket (recovery begins at once)
    /// or by going deaf and dumb (the keep-alive has to find out).
    pub fn break_connection(&mut self, close_socket: bool, now: Millis) {
        let Some(current) = &mut self.current else {
            return;
        };
        let connection = current.id;
        if !close_socket {
            current.muted = true;
            self.actions.push_back(Action::Mute { connection });
            return;
        }
        self.actions.push_back(Action::Abort { connection });
        let how = TransportClose {
            error: Some("broken on purpose".to_owned()),
            ..TransportClose::default()
        };
        self.lost(CloseReason::Unexpected, &how, now);
        self.open(now);
    }

    /// Test aid: this share of item writes breaks the connection instead.
    pub fn set_bad_connection_rate(&mut self, rate: f64) {
        self.bad_connection_rate = rate;
    }

    /// The transport is ready: says hello, which binds what has been received until now.
    pub fn opened(&mut self, connection: u64, now: Millis) {
        let until = now.plus(self.options.hello_timeout_ms);
        if self
            .moving
            .as_ref()
            .is_some_and(|moving| moving.id == connection)
        {
            // From here on nothing of the old connection is heard; it is closed once the new one
            // is greeted, so that the server never sees us without any.
            self.leave_quietly();
            if let Some(old) = self.current.take() {
                self.note_stable(&old, now);
                self.leaving = Some(old.id);
            }
            self.current = self.moving.take();
        }
        let Some(current) = self.current.as_mut() else {
            return;
        };
        if current.id != connection || !matches!(current.phase, Phase::Opening { .. }) {
            return;
        }
        current.phase = Phase::Greeting { until };
        current.last_heard = now;
        self.attempt += 1;
        let hello = ClientHello {
            client: self.client.clone(),
            attempt: self.attempt,
            session: self.session.clone(),
            received: self.session.as_ref().map(|_| self.received),
            params: self.options.params.clone(),
        };
        self.say(&ClientFrame::Hello(hello));
    }

    /// The transport has closed, or could not be opened. Said of a connection that was left
    /// before, it changes nothing.
    pub fn closed(&mut self, connection: u64, how: &TransportClose, now: Millis) {
        if self.leaving == Some(connection) {
            self.leaving = None;
        } else if self
            .moving
            .as_ref()
            .is_some_and(|moving| moving.id == connection)
        {
            self.moving = None;
            let delay = self.backoff.next(&mut self.random);
            self.move_at = Some(now.plus(delay.max(1)));
        } else if self
            .current
            .as_ref()
            .is_some_and(|current| current.id == connection)
        {
            self.lost_by(how, now);
        }
    }

    /// Opens a connection unless there is one.
    pub(super) fn open(&mut self, now: Millis) {
        self.retry_at = None;
        if self.wanted && self.current.is_none() {
            self.current = Some(self.new_connection(now));
            self.update(|state| state.next_reconnect_at = None);
        }
    }

    /// Opens the connection that will supersede the present one.
    pub(super) fn begin_move(&mut self, now: Millis) {
        self.move_at = None;
        if self.moving.is_none() && self.current.as_ref().is_some_and(Connection::is_open) {
            self.moving = Some(self.new_connection(now));
        }
    }

    fn new_connection(&mut self, now: Millis) -> Connection {
        self.connections += 1;
        let connection = self.connections;
        let (transport, attempt) = (self.options.transport, self.attempt + 1);
        self.actions.push_back(Action::Open {
            connection,
            transport,
            attempt,
        });
        Connection {
            id: connection,
            phase: Phase::Opening {
                until: now.plus(self.options.connect_timeout_ms),
            },
            last_heard: now,
            patient_until: Millis(0),
            probe_until: None,
            back_at: None,
            muted: false,
        }
    }

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
    fn leave(&mut self, now: Millis, code: u16, reason: CloseReason) {
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
        let refused = how
            .refused
            .filter(|(status, ours)| ours.is_some() && TERMINAL_STATUSES.contains(status));
        let back_at = self.current.as_ref().and_then(|current| current.back_at);
        let code = how.code.map(CloseCode);
        self.lost(reason_of(code, how), how, now);
        match code {
            _ if refused.is_some() => self.give_up(),
            Some(CloseCode::SUPERSEDED) => {
                // Somebody else goes on with our session, a duplicated tab perhaps: part from it.
                self.forget_session();
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
        self.move_at = None;
    }

    /// Records the end of the present connection.
    pub(super) fn lost(&mut self, reason: CloseReason, how: &TransportClose, now: Millis) {
        let Some(lost) = self.current.take() else {
            return;
        };
        self.leave_quietly();
        self.note_stable(&lost, now);
        let is_ws = self.options.transport == Transport::Ws;
        let error = fault(&lost, how, now);
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

    fn note_stable(&mut self, connection: &Connection, now: Millis) {
        if let Phase::Open { since, .. } = connection.phase
            && now >= since.plus(self.options.stable_ms)
        {
            self.backoff.reset();
        }
    }

    /// Plans the next attempt: the connection that a move is opening, else the time the server
    /// named, else the backoff's.
    pub(super) fn retry(&mut self, at: Option<Millis>, now: Millis) {
        if !self.wanted {
            return;
        }
        if let Some(moving) = self.moving.take() {
            self.current = Some(moving);
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
    fn give_up(&mut self) {
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
fn fault(lost: &Connection, how: &TransportClose, now: Millis) -> Option<LastError> {
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
        (None, Some(error), None) if lost.is_open() => ("transport", error.clone()),
        (None, Some(error), None) => ("connect", error.clone()),
        (None, None, None) if lost.is_open() => return None,
        (None, None, None) => ("connect", "closed before the hello".to_owned()),
    };
    Some(LastError {
        at: now,
        kind,
        http_status: how.refused.map(|(status, _)| status),
        text,
    })
}
