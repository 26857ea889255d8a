//! A connection before its hello: probes are answered, anything else is refused, time is short.

use std::sync::Arc;

use bytes::Bytes;
use tengen_protocol::{
    ClientFrame, ClientHello, CloseCode, Data, Millis, OutFrame, Refusal, ServerFrame, ServerHello,
    Uid,
};

use super::closing::Closing;
use super::{Connection, Open, Phase, Reading};
use crate::edge::control;
use crate::handlers::connected::Connected;
use crate::hub::{Attachment, HelloRefused};

/// Who is at the door: what the handshake found out.
pub(crate) struct Guest {
    pub(crate) connected: Connected,
    pub(crate) uid: Option<Uid>,
    /// The hello's `data`.
    pub(crate) data: Data,
}

pub(super) struct Greeting {
    /// Taken when the hello is accepted.
    guest: Option<Box<Guest>>,
    hello_due: Millis,
    /// A hello that waits for the node to open, and until when.
    held: Option<(ClientHello, Millis)>,
}

impl Greeting {
    pub(super) fn new(guest: Box<Guest>, hello_due: Millis) -> Greeting {
        Greeting {
            guest: Some(guest),
            hello_due,
            held: None,
        }
    }

    /// When the sweep should wake the connection: each time while a hello is held, because the
    /// node may have opened.
    pub(super) fn due(&self) -> Millis {
        if self.held.is_some() {
            Millis(0)
        } else {
            self.hello_due
        }
    }
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Connection<S> {
    pub(super) fn greeting_on_time(&mut self, now: Millis) {
        let Phase::Greeting(greeting) = &mut self.phase else {
            return;
        };
        if self.edge.shutdown.is_cancelled() {
            return self.refuse(CloseCode::RESTARTING, "the node is shutting down");
        }
        let Some((_, until)) = &greeting.held else {
            if now >= greeting.hello_due {
                self.refuse(CloseCode::NO_HELLO, "no hello in time");
            }
            return;
        };
        if (self.edge.is_open)() {
            if let Some((hello, _)) = greeting.held.take() {
                self.reading = Reading::On;
                self.attach(&hello, now);
            }
        } else if now >= *until {
            self.refuse(CloseCode::RESTARTING, "the node is not open yet");
        }
    }

    /// Takes one frame of a client that has not said hello.
    pub(super) fn greet(&mut self, frame: Bytes, now: Millis) {
        match ClientFrame::decode(self.codec, frame, &self.edge.hub.bounds().limits) {
            Ok(ClientFrame::Ping { .. }) => {
                let pong = OutFrame::from(&ServerFrame::Pong, self.codec);
                self.answer = Some(pong.ws().clone());
            }
            Ok(ClientFrame::Hello(hello)) => self.hello(hello, now),
            Ok(ClientFrame::Bye { .. }) => {
                self.close(Closing::saying(vec![control::close(Some(1000), "")]), 1000);
            }
            Ok(_) => self.refuse(CloseCode::PROTOCOL, "the first frame must be a hello"),
            Err(undecodable) => self.refuse_numbered(undecodable.refusal),
        }
    }

    fn hello(&mut self, hello: ClientHello, now: Millis) {
        if (self.edge.is_open)() {
            return self.attach(&hello, now);
        }
        if let Phase::Greeting(greeting) = &mut self.phase {
            let until = now + self.edge.settings.open_timeout;
            greeting.held = Some((hello, until));
            self.reading = Reading::Paused;
            // The next one is asked for by `due`, which has changed.
            self.deadline = None;
        }
    }

    fn attach(&mut self, hello: &ClientHello, now: Millis) {
        let Phase::Greeting(greeting) = &mut self.phase else {
            return;
        };
        let Some(guest) = greeting.guest.take() else {
            return;
        };
        let hub = &self.edge.hub;
        match hub.hello(hello, guest.uid.clone(), self.codec, now) {
            Ok(attachment) => {
                let answer = self.answer_to(&attachment, &guest);
                attachment
                    .port
                    .with(|inner| inner.session.hello(attachment.link, &answer));
                let context = Arc::new(guest.connected.with_params(hello.params.as_ref()));
                self.deadline = None;
                self.phase = Phase::Open(Open {
                    attachment,
                    context,
                });
            }
            Err(HelloRefused::Superseded) => {
                self.refuse(CloseCode::SUPERSEDED, "a newer connection was here first");
            }
            Err(HelloRefused::Full) => self.refuse(CloseCode::RESTARTING, "the node is full"),
        }
    }

    fn answer_to(&self, attachment: &Attachment, guest: &Guest) -> ServerHello {
        let hub = &self.edge.hub;
        ServerHello {
            session: attachment.port.id.clone(),
            resumed: attachment.attached.resumed,
            gap: attachment.attached.gap,
            received: attachment.attached.received,
            uid: guest.uid.clone(),
            data: guest.data.clone(),
            ping_ms: hub.bounds().ping_ms,
            max_bytes: hub.bounds().limits.max_bytes as u64,
            node: hub.config().node.clone(),
        }
    }

    /// Says the number of the fault, then goodbye.
    fn refuse_numbered(&mut self, refusal: Refusal) {
        let code = CloseCode::PROTOCOL;
        let [bye, close] = control::goodbye(self.codec, code, &refusal.message);
        let error = OutFrame::from(&ServerFrame::Error(refusal), self.codec);
        let say = vec![error.ws().clone(), bye, close];
        self.close(Closing::saying(say), code.0);
    }
}
