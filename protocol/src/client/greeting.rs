//! The server's hello: a session goes on, or a new one begins, and nothing of one user passes to another.

use super::connection::{Connection, Phase};
use super::state::{LastError, map, text};
use super::{Action, CloseReason, Event, Session, Source, TransportClose};
use crate::codec::Codec;
use crate::codes::CloseCode;
use crate::data::Data;
use crate::frame::{ClientFrame, ServerHello};
use crate::ids::EventId;
use crate::millis::Millis;
use crate::rules::{Rule, holds};
use crate::transport::Transport;
use crate::value::Value;

impl Session {
    pub(super) fn greeted(&mut self, hello: &ServerHello, now: Millis) {
        let same_user = self.uid.as_ref().is_none_or(|uid| *uid == hello.uid);
        let goes_on = hello.resumed && self.session.as_ref() == Some(&hello.session);
        if hello.resumed && !(goes_on && same_user) {
            return self.drifted("the server resumed another session", now);
        }
        if !goes_on {
            self.restart_counts();
            if !same_user && holds(Rule::OtherUserClosesQueue) {
                // Nothing typed as one user is ever sent as another.
                self.fail_everything();
            }
        } else if holds(Rule::ClientResends) && self.out.rewind(hello.received).is_err() {
            return self.drifted("the server counts items that were never sent", now);
        }
        self.session = Some(hello.session.clone());
        self.uid = Some(hello.uid.clone());
        let Some(current) = self.current.as_mut() else {
            return;
        };
        current.phase = Phase::Open {
            since: now,
            ping_ms: hello.ping_ms,
            max_bytes: usize::try_from(hello.max_bytes).unwrap_or(usize::MAX),
        };
        self.leave_quietly();
        self.note_open(now);
        self.tell_open(hello);
        self.flush(now);
    }

    fn tell_open(&mut self, hello: &ServerHello) {
        let first = !self.state.ever_opened;
        let gap = self.gap_owed.take().or(hello.gap.then_some("not-resumed"));
        let transport = self.current.as_ref().map(|current| current.transport);
        self.update(|state| {
            state.transport = transport;
            if transport == Some(Transport::Ws) {
                state.downgrade = None;
            }
            state.open = true;
            state.ever_opened = true;
            state.first_open = first;
            state.uid.clone_from(&hello.uid);
            state.session = Some(hello.session.clone());
            state.resumed = hello.resumed;
            state.gap = gap.is_some();
            state.handshake_data = Some(hello.data.clone());
            state.node = Some(hello.node.clone());
            state.next_reconnect_at = None;
        });
        let uid = hello
            .uid
            .as_ref()
            .map_or(Value::Null, |uid| text(uid.as_str()));
        let data = hello.data.value().unwrap_or(Value::Null);
        let handshake = Value::Array(vec![uid, data, Value::Bool(first)]);
        let handshake = Data::from_value(self.options.codec, &handshake);
        let handshake = handshake.unwrap_or_else(|_| Data::null(self.options.codec));
        self.library_event(EventId::HANDSHAKE, &handshake);
        if let Some(reason) = gap {
            let event = gap_event(self.options.codec, reason);
            self.actions.push_back(Action::Event(event));
        }
    }

    /// The two ends disagree on a count: no resume can be trusted, so the session ends, visibly.
    pub(super) fn drifted(&mut self, text: &str, now: Millis) {
        self.say(&ClientFrame::Bye {
            code: CloseCode::PROTOCOL,
            reason: text.to_owned(),
        });
        self.close_current(CloseCode::PROTOCOL.0, text);
        self.forget_session();
        self.lost(CloseReason::Error, &TransportClose::default(), now);
        let error = LastError {
            at: now,
            kind: "protocol",
            http_status: None,
            text: text.to_owned(),
        };
        self.update(|state| state.last_error = Some(error));
        self.gap_owed = Some("drift");
        self.backoff.skip_immediate();
        self.retry(None, now);
    }

    pub(super) fn library_event(&mut self, id: &'static str, data: &Data) {
        self.actions
            .push_back(Action::Event(library_event(id, data.clone())));
    }

    /// Puts an event of the application's own into the stream. A reserved id is dropped: it would
    /// pass for the library's.
    pub fn inject(&mut self, id: EventId, data: Data) {
        if !id.is_reserved() {
            self.actions.push_back(Action::Event(Event {
                id,
                data,
                source: Source::Injected,
            }));
        }
    }

    pub(super) fn current_is_open(&self) -> bool {
        self.current.as_ref().is_some_and(Connection::is_open)
    }
}

/// The `chsk/gap` that this end itself has to tell.
pub(super) fn gap_event(codec: Codec, reason: &str) -> Event {
    let data = Data::from_value(codec, &map([("reason", text(reason))]));
    library_event(EventId::GAP, data.unwrap_or_else(|_| Data::null(codec)))
}

fn library_event(id: &'static str, data: Data) -> Event {
    let id = EventId::parse(id).expect("an id of our own");
    Event {
        id,
        data,
        source: Source::Library,
    }
}
