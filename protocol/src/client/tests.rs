//! Promises of the client half, in virtual time, and the fixture they share.

mod ends;
mod exchanges;
mod fallback;
mod opening;
mod outcomes;
mod polling;
mod resuming;
mod routing;
mod silence;
mod storms;

use super::{
    Action, CloseReason, Event, Failure, FailureKind, Options, Outcome, SendOptions, Session,
    Source, State, Token, TransportChoice, TransportClose,
};
use crate::codec::Codec;
use crate::codes::{CloseCode, ErrorCode, Refusal};
use crate::data::Data;
use crate::frame::{ClientFrame, ClientHello, ServerFrame, ServerHello};
use crate::ids::{EventId, NodeId, SessionId, Uid};
use crate::limits::Limits;
use crate::millis::Millis;
use crate::transport::Transport;
use crate::value::Value;
use std::sync::Arc;

const CODEC: Codec = Codec::Cbor;

/// A client, its clock, and everything it has asked for.
struct Tab {
    session: Session,
    now: Millis,
    /// The newest connection that was asked for.
    connection: u64,
    /// What shall carry it.
    transport: Option<Transport>,
    opens: u64,
    /// The connection whose cause is asked for; answered at once with nothing, unless `asks`.
    asked: Option<u64>,
    asks: bool,
    written: Vec<ClientFrame>,
    closes: Vec<(u64, u16)>,
    events: Vec<Event>,
    states: Vec<(Arc<State>, Arc<State>)>,
    resolved: Vec<(Token, Outcome)>,
}

/// The state machine apart from the choice of transport, which `fallback` is about.
fn ws_only() -> Options {
    Options {
        transport: TransportChoice::Ws,
        ..Options::default()
    }
}

fn session_id(n: u8) -> SessionId {
    SessionId::new(&NodeId::parse("n1").unwrap(), [n; 16])
}

fn id(text: &str) -> EventId {
    EventId::parse(text).unwrap()
}

fn number(n: u64) -> Data {
    Data::from_value(CODEC, &Value::Int(n.into())).unwrap()
}

fn text_of(bytes: usize) -> Data {
    Data::from_value(CODEC, &Value::Text("x".repeat(bytes))).unwrap()
}

fn within(timeout_ms: u64) -> SendOptions {
    SendOptions {
        timeout_ms: Some(timeout_ms),
        ..SendOptions::default()
    }
}

const UNBUFFERED: SendOptions = SendOptions {
    buffered: false,
    timeout_ms: None,
};

fn server_hello(session: u8, resumed: bool, received: u64, uid: &str) -> ServerHello {
    ServerHello {
        session: session_id(session),
        resumed,
        gap: false,
        received,
        uid: Uid::parse(uid).ok(),
        data: number(42),
        ping_ms: 15_000,
        max_bytes: 512 << 10,
        node: NodeId::parse("n1").unwrap(),
    }
}

fn pushed(n: u64) -> ServerFrame {
    ServerFrame::Event {
        id: id("t/push"),
        data: number(n),
    }
}

fn closed(code: u16) -> TransportClose {
    TransportClose {
        clean: true,
        code: Some(code),
        ..TransportClose::default()
    }
}

fn failed(kind: FailureKind, sent: bool) -> (FailureKind, bool) {
    (kind, sent)
}

impl Tab {
    fn new() -> Tab {
        Tab::with(ws_only())
    }

    fn with(options: Options) -> Tab {
        Tab {
            session: Session::new(options, 1),
            now: Millis(100_000),
            connection: 0,
            transport: None,
            opens: 0,
            asked: None,
            asks: false,
            written: Vec::new(),
            closes: Vec::new(),
            events: Vec::new(),
            states: Vec::new(),
            resolved: Vec::new(),
        }
    }

    /// Connected, greeted as alice in session 1, with nothing left to look at.
    fn open() -> Tab {
        Tab::open_with(ws_only())
    }

    fn open_with(options: Options) -> Tab {
        let mut tab = Tab::with(options);
        tab.session.connect(tab.now);
        tab.greet(server_hello(1, false, 0, "alice"));
        tab.forget();
        tab
    }

    /// The connection that was asked for opens, and the server answers the hello.
    fn greet(&mut self, hello: ServerHello) -> ClientHello {
        let said = self.say_hello();
        self.server(&ServerFrame::Hello(hello));
        said
    }

    fn say_hello(&mut self) -> ClientHello {
        self.run();
        self.written.clear();
        self.session.opened(self.connection, self.now);
        self.run();
        if self.written[0] == (ClientFrame::Ping { ahead: None }) {
            self.written.remove(0);
        }
        match self.written.remove(0) {
            ClientFrame::Hello(hello) => hello,
            other => panic!("no hello but {other:?}"),
        }
    }

    fn server(&mut self, frame: &ServerFrame) {
        let connection = self.connection;
        self.server_on(connection, frame);
    }

    fn server_on(&mut self, connection: u64, frame: &ServerFrame) {
        self.session
            .frame(connection, frame.encode(CODEC), self.now);
        self.run();
    }

    fn lose(&mut self, how: &TransportClose) {
        self.session.closed(self.connection, how, self.now);
        self.run();
    }

    fn later(&mut self, millis: u64) {
        self.now = self.now.plus(millis);
    }

    /// Lets time pass, with every tick at its time.
    fn pass(&mut self, millis: u64) {
        let end = self.now.plus(millis);
        self.run();
        while let Some(at) = self.session.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.session.tick(self.now);
            self.run();
        }
        self.now = end;
    }

    fn send(&mut self, n: u64) -> Token {
        self.send_with(n, SendOptions::default())
    }

    fn send_with(&mut self, n: u64, options: SendOptions) -> Token {
        let token = self
            .session
            .send(id("t/note"), number(n), options, self.now);
        self.run();
        token
    }

    fn request(&mut self, n: u64) -> Token {
        self.request_with(n, SendOptions::default())
    }

    fn request_with(&mut self, n: u64, options: SendOptions) -> Token {
        let token = self
            .session
            .request(id("t/echo"), number(n), options, self.now);
        self.run();
        token
    }

    /// Carries out what the session asks for.
    fn run(&mut self) {
        while let Some(action) = self.session.poll() {
            match action {
                Action::Open {
                    connection,
                    transport,
                    ..
                } => {
                    self.connection = connection;
                    self.transport = Some(transport);
                    self.opens += 1;
                }
                Action::Ask { connection } => {
                    self.asked = Some(connection);
                    if !self.asks {
                        let nothing = Err("no answer".to_owned());
                        self.session.asked(connection, nothing, self.now);
                    }
                }
                Action::Write { frame, .. } => {
                    let limits = Limits::default();
                    self.written
                        .push(ClientFrame::decode(CODEC, frame, &limits).unwrap());
                }
                Action::Close {
                    connection, code, ..
                } => self.closes.push((connection, code)),
                Action::Abort { .. } | Action::Mute { .. } => {}
                Action::Event(event) => self.events.push(event),
                Action::Resolved { token, outcome } => {
                    let again = self.resolved.iter().any(|(other, _)| *other == token);
                    assert!(!again, "{token:?} resolved twice");
                    self.resolved.push((token, outcome));
                }
                Action::State { old, new } => self.states.push((old, new)),
            }
        }
    }

    fn forget(&mut self) {
        self.run();
        self.written.clear();
        self.closes.clear();
        self.events.clear();
        self.states.clear();
        self.resolved.clear();
        self.opens = 0;
    }

    fn outcome(&self, token: Token) -> Option<&Outcome> {
        let mut resolved = self.resolved.iter();
        resolved
            .find(|(other, _)| *other == token)
            .map(|(_, outcome)| outcome)
    }

    fn failure(&self, token: Token) -> Option<(FailureKind, bool)> {
        let failure = self.outcome(token)?.as_ref().err()?;
        Some((failure.kind, failure.sent))
    }

    fn state(&self) -> &State {
        self.session.state()
    }

    fn close_reason(&self) -> Option<CloseReason> {
        self.state().last_close.as_ref().map(|close| close.reason)
    }

    fn events_named(&self, name: &str) -> usize {
        self.events
            .iter()
            .filter(|event| event.id.as_str() == name)
            .count()
    }

    /// Numbers of the items that were written, requests and events.
    fn items(&self) -> Vec<u64> {
        let data = self.written.iter().filter_map(|frame| match frame {
            ClientFrame::Event { data, .. } | ClientFrame::Request { data, .. } => Some(data),
            _ => None,
        });
        data.map(|data| match data.value().unwrap() {
            Value::Int(n) => n as u64,
            other => panic!("{other:?}"),
        })
        .collect()
    }

    /// The ref of the newest request that was written.
    fn newest_ref(&self) -> u32 {
        let refs = self.written.iter().rev().find_map(|frame| match frame {
            ClientFrame::Request { request, .. } => Some(*request),
            _ => None,
        });
        refs.unwrap()
    }

    fn reply(&mut self, request: u32, outcome: Result<Data, Refusal>) {
        self.server(&ServerFrame::Reply { request, outcome });
    }
}
