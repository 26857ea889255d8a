//! Promises of the server half, in virtual time, and the fixture they share.

mod connections;
mod items;
mod poll;
mod post;
mod queue;
mod time;

use super::{Attached, Bounds, Link, Pushed, Received, Session};
use crate::codec::Codec;
use crate::codes::{CloseCode, ErrorCode};
use crate::data::Data;
use crate::frame::{ClientFrame, ClientHello, ServerFrame, ServerHello};
use crate::ids::{ClientId, EventId, NodeId, SessionId};
use crate::limits::Limits;
use crate::millis::Millis;
use crate::out_frame::OutFrame;
use crate::takeover::Identity;
use crate::transport::Transport;
use crate::value::Value;
use bytes::Bytes;

const CODEC: Codec = Codec::Cbor;

/// One session with one connection at a time, and its clock.
struct Home {
    session: Session<()>,
    bounds: Bounds,
    link: Link,
    now: Millis,
}

fn session_id() -> SessionId {
    SessionId::new(&NodeId::parse("n1").unwrap(), [7; 16])
}

fn hello(attempt: u64, session: Option<SessionId>, received: u64) -> ClientHello {
    ClientHello {
        client: ClientId::parse("tab").unwrap(),
        attempt,
        received: session.is_some().then_some(received),
        session,
        params: None,
    }
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

fn event(n: u64) -> ClientFrame {
    ClientFrame::Event {
        id: id("t/note"),
        data: number(n),
    }
}

fn request(request: u32, timeout_ms: u64) -> ClientFrame {
    ClientFrame::Request {
        request,
        id: id("t/echo"),
        data: number(request.into()),
        timeout_ms,
    }
}

fn pushed(n: u64) -> ServerFrame {
    ServerFrame::Event {
        id: id("t/push"),
        data: number(n),
    }
}

impl Home {
    /// A session whose client is attached and greeted; its hello has been written.
    fn attached() -> Home {
        Home::attached_with(Bounds::default())
    }

    fn attached_with(bounds: Bounds) -> Home {
        let client = ClientId::parse("tab").unwrap();
        let mut home = Home {
            session: Session::new(session_id(), client, None, CODEC),
            bounds,
            link: Link(0),
            now: Millis(100_000),
        };
        home.attach(&hello(1, None, 0));
        assert!(matches!(home.written()[..], [ServerFrame::Hello(_)]));
        home
    }

    fn attach(&mut self, hello: &ClientHello) -> Attached {
        let attached = self.session.attach(hello, Transport::Ws, self.now).unwrap();
        self.link = attached.link;
        assert!(self.session.hello(attached.link, &self.answer(&attached)));
        attached
    }

    /// The same client comes back, having received so much.
    fn resume(&mut self, attempt: u64, received: u64) -> Attached {
        self.attach(&hello(attempt, Some(session_id()), received))
    }

    fn answer(&self, attached: &Attached) -> ServerHello {
        ServerHello {
            session: session_id(),
            resumed: attached.resumed,
            gap: attached.gap,
            received: attached.received,
            uid: None,
            data: Data::null(CODEC),
            ping_ms: self.bounds.ping_ms,
            max_bytes: self.bounds.limits.max_bytes as u64,
            node: NodeId::parse("n1").unwrap(),
        }
    }

    fn later(&mut self, millis: u64) {
        self.now = self.now.plus(millis);
    }

    fn receive(&mut self, frame: &ClientFrame) -> Received {
        self.receive_bytes(frame.encode(CODEC))
    }

    fn receive_bytes(&mut self, frame: Bytes) -> Received {
        self.session
            .receive(self.link, frame, &(), self.now, &self.bounds)
    }

    fn push(&mut self, n: u64) -> Pushed {
        self.push_data(&number(n))
    }

    fn push_data(&mut self, data: &Data) -> Pushed {
        let frame = OutFrame::event(CODEC, &id("t/push"), data).unwrap();
        self.session
            .push(&frame, &Identity::Message(1), &self.bounds)
    }

    /// Everything the session has to say now.
    fn written(&mut self) -> Vec<ServerFrame> {
        self.written_and_close().0
    }

    fn written_and_close(&mut self) -> (Vec<ServerFrame>, Option<CloseCode>) {
        let (frames, more, close) = self.write(usize::MAX, usize::MAX);
        assert!(!more);
        (frames, close)
    }

    fn write(
        &mut self,
        frames: usize,
        bytes: usize,
    ) -> (Vec<ServerFrame>, bool, Option<CloseCode>) {
        let mut out = Vec::new();
        let written =
            self.session
                .write(self.link, &mut out, frames, bytes, self.now, &self.bounds);
        let frames = out.iter().map(decode).collect();
        (frames, written.more, written.close.map(|(code, _)| code))
    }

    /// Starts and returns everything that waits; gives the positions.
    fn handle_all(&mut self) -> Vec<u64> {
        let mut positions = Vec::new();
        while let Some(item) = self.session.next_item() {
            self.session.item_returned(item.position, &self.bounds);
            positions.push(item.position);
        }
        positions
    }
}

/// Reads a frame as it stands on a WebSocket.
fn decode(frame: &Bytes) -> ServerFrame {
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    ServerFrame::decode(CODEC, frame.slice(header..), &Limits::from_server(1 << 20)).unwrap()
}

/// The code and position of a `chsk/error`.
fn error_event(frame: &ServerFrame) -> (ErrorCode, u64) {
    let ServerFrame::Event { id, data } = frame else {
        panic!("no event: {frame:?}")
    };
    assert_eq!(id.as_str(), EventId::ERROR);
    let Value::Map(entries) = data.value().unwrap() else {
        panic!("no map: {data:?}")
    };
    let field = |name: &str| {
        let entry = entries
            .iter()
            .find(|(key, _)| *key == Value::Text(name.into()));
        match entry {
            Some((_, Value::Int(number))) => *number as u64,
            _ => panic!("no {name}: {entries:?}"),
        }
    };
    (ErrorCode(field("code") as u32), field("position"))
}

fn ack(received: u64, sent: u64) -> ServerFrame {
    ServerFrame::Ack {
        received,
        sent: Some(sent),
    }
}
