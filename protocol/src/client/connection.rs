//! Connections of a client: wanted, opened, greeted, moved.

use super::loss::NORMAL;
use super::state::CloseReason;
use super::{Action, Session, TransportChoice, TransportClose};
use crate::codes::CloseCode;
use crate::frame::{ClientFrame, ClientHello};
use crate::millis::Millis;
use crate::transport::Transport;

/// One connection, from the wish for it to its end.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) transport: Transport,
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
    /// It has to answer a ping before it gets the hello: a poll that works is at stake.
    pub(super) probe: bool,
    /// It has answered a ping, so frames do pass: whatever is slow now is the server.
    pub(super) ponged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The transport is at work.
    Opening { until: Millis },
    /// Our ping is written, the pong is awaited, beside the present connection.
    Probing { until: Millis },
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
        if self.current.is_none() && self.fallback.asking.is_none() {
            self.open(now);
        }
    }

    /// Wants no connection until the next [`Session::connect`]: closes in good order, gives the
    /// session up and resolves everything as `closed`.
    pub fn disconnect(&mut self, now: Millis) {
        self.depart(CloseCode(NORMAL), now);
    }

    /// The page is going away: says goodbye, and nothing is attempted any more, whatever comes,
    /// until [`Session::connect`].
    pub fn unload(&mut self, now: Millis) {
        if self.session.is_some() {
            // A page that the browser brings back has missed what was pushed meanwhile.
            self.gap_owed = Some("page-left");
        }
        self.depart(CloseCode::GOING_AWAY, now);
    }

    fn depart(&mut self, code: CloseCode, now: Millis) {
        if self
            .current
            .as_ref()
            .is_some_and(|it| !matches!(it.phase, Phase::Opening { .. }))
        {
            let reason = CloseReason::RequestedDisconnect.name().to_owned();
            self.say(&ClientFrame::Bye { code, reason });
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

    /// Test aid: this share of writes breaks the connection instead. What is written together, as
    /// the line is after a reconnect, counts as one.
    pub fn set_bad_connection_rate(&mut self, rate: f64) {
        self.bad_connection_rate = rate;
    }

    /// The transport is ready: says hello, which binds what has been received until now. A
    /// WebSocket beside a poll that works is asked for a sign of life first.
    pub fn opened(&mut self, connection: u64, now: Millis) {
        if let Some(moving) = self.moving.as_mut().filter(|it| it.id == connection) {
            if !matches!(moving.phase, Phase::Opening { .. }) {
                return;
            }
            if moving.probe {
                let until = now.plus(self.options.fallback_ms);
                moving.phase = Phase::Probing { until };
                let frame = ClientFrame::Ping { ahead: None }.encode(self.options.codec);
                self.actions.push_back(Action::Write {
                    connection,
                    frame,
                    position: None,
                });
                return;
            }
            self.promote(now);
        }
        let opening = self.current.as_ref().is_some_and(|current| {
            current.id == connection && matches!(current.phase, Phase::Opening { .. })
        });
        if opening {
            self.say_hello(now);
        }
    }

    /// The connection that was opened beside the present one takes its place. From here on
    /// nothing of the old one is heard; it is closed once the new one is greeted, so that the
    /// server never sees us without any.
    pub(super) fn promote(&mut self, now: Millis) {
        self.leave_quietly();
        if let Some(old) = self.current.take() {
            self.note_stable(&old, now);
            self.leaving = Some(old.id);
        }
        self.current = self.moving.take();
    }

    pub(super) fn say_hello(&mut self, now: Millis) {
        let auto = self.options.transport == TransportChoice::Auto;
        let Some(current) = self.current.as_mut() else {
            return;
        };
        let ask = auto && current.transport == Transport::Ws && !current.ponged;
        let until = match current.phase {
            // What is left of the short time for both, so that polling has its turn soon.
            Phase::Opening { until } | Phase::Probing { until } if ask => {
                until.max(now.plus(self.options.fallback_ms / 2))
            }
            _ => now.plus(self.options.hello_timeout_ms),
        };
        current.phase = Phase::Greeting { until };
        current.last_heard = now;
        if ask {
            // A hello may take its time, at a busy node or one that takes a session over; a pong
            // does not, and tells that node from a proxy that lets nothing through.
            self.say(&ClientFrame::Ping { ahead: None });
        }
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
        } else if let Some(moving) = self.moving.take_if(|it| it.id == connection) {
            if moving.probe {
                return self.upgrade_failed(now);
            }
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
        if let Some(probe) = self.moving.take_if(|it| it.probe) {
            self.actions.push_back(Action::Close {
                connection: probe.id,
                code: NORMAL,
                reason: "moving".to_owned(),
            });
        }
        if self.moving.is_none() && self.current.as_ref().is_some_and(Connection::is_open) {
            self.moving = Some(self.new_connection(now));
        }
    }

    fn new_connection(&mut self, now: Millis) -> Connection {
        let transport = self.fallback.choose(&self.options, now);
        self.new_connection_over(transport, now)
    }

    pub(super) fn new_connection_over(&mut self, transport: Transport, now: Millis) -> Connection {
        self.connections += 1;
        let connection = self.connections;
        let attempt = self.attempt + 1;
        self.actions.push_back(Action::Open {
            connection,
            transport,
            attempt,
        });
        let opening_ms = self.opening_ms(transport, self.options.connect_timeout_ms);
        Connection {
            id: connection,
            transport,
            phase: Phase::Opening {
                until: now.plus(opening_ms),
            },
            last_heard: now,
            patient_until: Millis(0),
            probe_until: None,
            back_at: None,
            muted: false,
            probe: false,
            ponged: false,
        }
    }
}
