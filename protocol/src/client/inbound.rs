//! What comes from the server: items counted and handed on, acks, pings, farewells.

use super::connection::Phase;
use super::{Action, Event, Failure, Session, Source, TransportClose};
use crate::codes::{CloseCode, ErrorCode, Refusal};
use crate::data::Data;
use crate::frame::{ClientFrame, ServerFrame};
use crate::ids::EventId;
use crate::limits::Limits;
use crate::millis::Millis;
use crate::rules::{Rule, holds};
use crate::transport::Transport;
use crate::value::Value;
use bytes::Bytes;

/// A server that sends its clients away for longer than this gets them back earlier (1 h).
pub(super) const MAX_AWAY_MS: u64 = 3_600_000;

impl Session {
    /// Takes one complete frame. What comes from a connection that is not the present one is not
    /// heard: its successor's hello has named what was received, and the server sends the rest again.
    pub fn frame(&mut self, connection: u64, frame: Bytes, now: Millis) {
        if self.moving.as_ref().is_some_and(|it| it.id == connection) {
            return self.probed(frame, now);
        }
        let Some(current) = self
            .current
            .as_mut()
            .filter(|it| it.id == connection || !holds(Rule::HelloBindsClient))
            .filter(|it| !it.muted)
        else {
            return;
        };
        current.last_heard = now;
        current.probe_until = None;
        let max_bytes = match current.phase {
            Phase::Opening { .. } | Phase::Probing { .. } => return,
            Phase::Greeting { .. } => None,
            Phase::Open { max_bytes, .. } => Some(max_bytes),
        };
        let bytes = frame.len();
        let limits = Limits::from_server(max_bytes.unwrap_or(self.options.max_bytes) as u64);
        match (
            ServerFrame::decode(self.options.codec, frame, &limits),
            max_bytes,
        ) {
            (Ok(ServerFrame::Hello(hello)), None) => self.greeted(&hello, now),
            (Ok(ServerFrame::Ping { ahead }), _) => {
                if let Some(ahead) = ahead {
                    self.be_patient(ahead, now);
                }
                self.say(&ClientFrame::Pong);
            }
            (Ok(ServerFrame::Pong), None) => self.frames_pass(now),
            (Ok(ServerFrame::Pong), Some(_)) => {}
            (
                Ok(ServerFrame::Bye {
                    code,
                    reason,
                    after_ms,
                    window_ms,
                }),
                _,
            ) => {
                self.bye(code, reason, after_ms, window_ms, now);
            }
            (Ok(ServerFrame::Error(refusal)), _) => self.tell_error(&refusal, None),
            (Ok(ServerFrame::Event { id, data }), Some(_)) => {
                self.count(bytes, now);
                self.event(id, data);
            }
            (Ok(ServerFrame::Reply { request, outcome }), Some(_)) => {
                self.count(bytes, now);
                self.answer(request, outcome.map_err(Failure::answered));
            }
            (Ok(ServerFrame::Ack { received, sent }), Some(_)) => self.acked(received, sent, now),
            (Err(undecodable), Some(_)) => {
                // Counted although unusable: otherwise it would come again for ever.
                if undecodable.item {
                    self.count(bytes, now);
                }
                self.tell_error(&undecodable.refusal, Some(self.received));
            }
            // Neither a second hello nor an item before the first makes sense; the count would be wrong.
            (Ok(_), _) | (Err(_), None) => self.drifted("a frame out of turn", now),
        }
        self.ack_if_due(now);
    }

    /// A WebSocket beside the poll has said something: a pong, and it takes the poll's place.
    fn probed(&mut self, frame: Bytes, now: Millis) {
        let moving = self.moving.as_ref();
        if !moving.is_some_and(|it| matches!(it.phase, Phase::Probing { .. })) {
            return;
        }
        let limits = Limits::from_server(self.options.max_bytes as u64);
        match ServerFrame::decode(self.options.codec, frame, &limits) {
            Ok(ServerFrame::Pong) => {
                self.frames_pass(now);
                self.promote(now);
                self.say_hello(now);
            }
            Ok(ServerFrame::Ping { .. }) => {}
            _ => self.drop_probe("not a pong", now),
        }
    }

    fn event(&mut self, id: EventId, data: Data) {
        let source = if id.is_reserved() {
            Source::Library
        } else {
            Source::Push
        };
        if id.as_str() == EventId::ERROR
            && let Some((position, refusal)) = refused_item(&data)
        {
            self.refused(position, refusal);
        }
        self.actions
            .push_back(Action::Event(Event { id, data, source }));
    }

    fn acked(&mut self, received: u64, sent: Option<u64>, now: Millis) {
        if sent.is_some_and(|sent| sent != self.received) {
            self.drifted("the server has sent another number of items than came", now);
        } else if self.acknowledged(received) {
            self.flush(now);
        } else {
            self.drifted("the server counts items that were never sent", now);
        }
    }

    fn bye(&mut self, code: CloseCode, reason: String, after_ms: u64, window_ms: u64, now: Millis) {
        let named = after_ms > 0 || window_ms > 0;
        let after = after_ms.min(MAX_AWAY_MS);
        let window = window_ms.min(MAX_AWAY_MS);
        let back_at = now.plus(after).plus(self.random.up_to(window));
        if code == CloseCode::MOVE && self.current_is_open() {
            // Stay and be served; the new connection will take this one's place.
            self.move_at = Some(back_at);
            return;
        }
        if let Some(current) = self.current.as_mut() {
            current.back_at = named.then_some(back_at);
        }
        self.close_current(1000, "bye");
        let how = TransportClose {
            clean: true,
            code: Some(code.0),
            reason,
            ..TransportClose::default()
        };
        self.lost_by(&how, now);
    }

    fn tell_error(&mut self, refusal: &Refusal, position: Option<u64>) {
        let mut entries = vec![
            (
                Value::Text("code".to_owned()),
                Value::Int(refusal.code.0.into()),
            ),
            (
                Value::Text("message".to_owned()),
                Value::Text(refusal.message.clone()),
            ),
        ];
        entries.extend(position.map(|position| {
            (
                Value::Text("received".to_owned()),
                Value::Int(position.into()),
            )
        }));
        let data = Data::from_value(self.options.codec, &Value::Map(entries));
        let data = data.unwrap_or_else(|_| Data::null(self.options.codec));
        self.library_event(EventId::ERROR, &data);
    }

    fn count(&mut self, bytes: usize, now: Millis) {
        if self.received == self.told {
            self.untold_since = now;
        }
        self.received += 1;
        self.untold_bytes += bytes;
    }

    pub(super) fn ack_if_due(&mut self, now: Millis) {
        let untold = self.received - self.told;
        let due = untold >= self.options.ack_items
            || self.untold_bytes >= self.options.ack_bytes
            || (untold > 0 && now >= self.untold_since.plus(self.options.ack_after_ms));
        if due && self.current_is_open() {
            self.write_ack();
        }
    }

    pub(super) fn write_ack(&mut self) {
        self.told = self.received;
        self.untold_bytes = 0;
        if self.polls() {
            // The next GET says what has been received.
            return;
        }
        self.say(&ClientFrame::Ack {
            received: self.received,
        });
    }

    pub(super) fn polls(&self) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|current| current.transport == Transport::Poll)
    }

    /// Writes a control frame, if a connection is there to take it.
    pub(super) fn say(&mut self, frame: &ClientFrame) {
        self.write(frame.encode(self.options.codec), None);
    }

    pub(super) fn write(&mut self, frame: Bytes, position: Option<u64>) {
        let Some(current) = &self.current else { return };
        if !current.muted && !matches!(current.phase, Phase::Opening { .. }) {
            self.actions.push_back(Action::Write {
                connection: current.id,
                frame,
                position,
            });
        }
    }
}

/// Which item a `chsk/error` is about, and why.
fn refused_item(data: &Data) -> Option<(u64, Refusal)> {
    let Value::Map(entries) = data.value().ok()? else {
        return None;
    };
    let (mut position, mut code, mut message) = (None, None, String::new());
    for (key, value) in entries {
        match (key, value) {
            (Value::Text(key), Value::Int(number)) if key == "position" => {
                position = u64::try_from(number).ok()
            }
            (Value::Text(key), Value::Int(number)) if key == "code" => {
                code = u32::try_from(number).ok()
            }
            (Value::Text(key), Value::Text(text)) if key == "message" => message = text,
            _ => {}
        }
    }
    Some((position?, Refusal::new(ErrorCode(code?), message)))
}
