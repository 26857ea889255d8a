//! What an application may know about its client, and how a change of it is told.

use crate::codec::Codec;
use crate::data::Data;
use crate::ids::{NodeId, SessionId, Uid};
use crate::millis::Millis;
use crate::transport::Transport;
use crate::value::Value;

/// The client as the application sees it. Times are the driver's clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// What carries the connection; `None` while there is none.
    pub transport: Option<Transport>,
    /// The hello is done and events flow.
    pub open: bool,
    pub ever_opened: bool,
    /// This very change is the first opening of the client's life.
    pub first_open: bool,
    /// Who the server takes us for, as of the last hello.
    pub uid: Option<Uid>,
    pub session: Option<SessionId>,
    /// The last hello went on with the session before it.
    pub resumed: bool,
    /// The last hello could not make up for everything: fetch anew.
    pub gap: bool,
    pub handshake_data: Option<Data>,
    /// Which node answered the last hello.
    pub node: Option<NodeId>,
    pub last_close: Option<LastClose>,
    pub last_ws_close: Option<LastWsClose>,
    pub last_error: Option<LastError>,
    /// Why the client polls although it would rather not; `None` while it may use a WebSocket.
    pub downgrade: Option<Downgrade>,
    /// When the next attempt begins; `None` while connected, connecting, or given up.
    pub next_reconnect_at: Option<Millis>,
}

/// Why an open connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The server closed in good order.
    Clean,
    /// The connection broke.
    Unexpected,
    RequestedDisconnect,
    RequestedReconnect,
    /// The transport is being changed for a humbler one.
    Downgrading,
    PingTimeout,
    Kicked,
    /// The node is leaving, or asked us to move.
    Draining,
    /// Another connection took the session.
    Superseded,
    /// One end broke a rule, or the client was a slow consumer.
    Error,
}

impl CloseReason {
    /// The word for logs and JavaScript.
    pub fn name(self) -> &'static str {
        match self {
            CloseReason::Clean => "clean",
            CloseReason::Unexpected => "unexpected",
            CloseReason::RequestedDisconnect => "requested-disconnect",
            CloseReason::RequestedReconnect => "requested-reconnect",
            CloseReason::Downgrading => "downgrading",
            CloseReason::PingTimeout => "ping-timeout",
            CloseReason::Kicked => "kicked",
            CloseReason::Draining => "draining",
            CloseReason::Superseded => "superseded",
            CloseReason::Error => "error",
        }
    }
}

/// WebSockets have been given up for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downgrade {
    /// What was wrong with the last one, for people.
    pub reason: String,
    /// New connections poll until then. From a poll that works, a WebSocket is tried sooner.
    pub until: Millis,
}

/// The last end of an open connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastClose {
    pub at: Millis,
    pub reason: CloseReason,
}

/// The last end of a WebSocket, open or not, as the socket told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWsClose {
    pub at: Millis,
    pub clean: bool,
    pub code: Option<u16>,
    pub reason: String,
}

/// The last fault of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    pub at: Millis,
    /// `refused`, `connect`, `transport`, `server` or `protocol`.
    pub kind: &'static str,
    pub http_status: Option<u16>,
    pub text: String,
}

impl State {
    /// The state as a value with the keys of the specification; absent is null, times are milliseconds.
    pub fn to_value(&self) -> Value {
        let close = |close: &LastClose| {
            map([
                ("at", millis(close.at)),
                ("reason", text(close.reason.name())),
            ])
        };
        let ws_close = |close: &LastWsClose| {
            map([
                ("at", millis(close.at)),
                ("clean", Value::Bool(close.clean)),
                ("code", option(close.code, |code| Value::Int(code.into()))),
                ("reason", text(&close.reason)),
            ])
        };
        let error = |error: &LastError| {
            map([
                ("at", millis(error.at)),
                ("kind", text(error.kind)),
                (
                    "http_status",
                    option(error.http_status, |status| Value::Int(status.into())),
                ),
                ("text", text(&error.text)),
            ])
        };
        let downgrade = |downgrade: &Downgrade| {
            map([
                ("reason", text(&downgrade.reason)),
                ("until", millis(downgrade.until)),
            ])
        };
        let handshake_data = |data: &Data| data.value().unwrap_or(Value::Null);
        map([
            ("transport", option(self.transport, |it| text(it.name()))),
            ("open", Value::Bool(self.open)),
            ("ever_opened", Value::Bool(self.ever_opened)),
            ("first_open", Value::Bool(self.first_open)),
            ("uid", option(self.uid.as_ref(), |it| text(it.as_str()))),
            (
                "session",
                option(self.session.as_ref(), |it| text(it.as_str())),
            ),
            ("resumed", Value::Bool(self.resumed)),
            ("gap", Value::Bool(self.gap)),
            (
                "handshake_data",
                option(self.handshake_data.as_ref(), handshake_data),
            ),
            ("node", option(self.node.as_ref(), |it| text(it.as_str()))),
            ("last_close", option(self.last_close.as_ref(), close)),
            (
                "last_ws_close",
                option(self.last_ws_close.as_ref(), ws_close),
            ),
            ("last_error", option(self.last_error.as_ref(), error)),
            ("downgrade", option(self.downgrade.as_ref(), downgrade)),
            ("next_reconnect_at", option(self.next_reconnect_at, millis)),
        ])
    }

    /// The data of `chsk/state`.
    pub(super) fn change(codec: Codec, old: &State, new: &State) -> Data {
        let both = Value::Array(vec![old.to_value(), new.to_value()]);
        // Only handshake data nested to the very limit cannot be wrapped once more.
        Data::from_value(codec, &both).unwrap_or_else(|_| Data::null(codec))
    }
}

pub(super) fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    let entries = entries.into_iter();
    Value::Map(entries.map(|(key, value)| (text(key), value)).collect())
}

pub(super) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn option<T>(value: Option<T>, to: impl FnOnce(T) -> Value) -> Value {
    value.map_or(Value::Null, to)
}

fn millis(at: Millis) -> Value {
    Value::Int(at.0.into())
}
