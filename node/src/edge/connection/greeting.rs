//! A connection before its hello: probes are answered, anything else is refused, time is short.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tengen_protocol::{
    ClientFrame, ClientHello, CloseCode, Data, Millis, OutFrame, Refusal, ServerFrame, Transport,
    Uid,
};

use super::closing::Closing;
use super::{Connection, Open, Phase, Reading};
use crate::arrival::Greeted;
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
    /// Until the hello has come.
    guest: Option<Box<Guest>>,
    hello_due: Millis,
    arriving: Option<Arriving>,
}

/// A hello on its way to a session.
struct Arriving {
    greeted: BoxFuture<'static, Greeted>,
    context: Arc<Connected>,
    uid: Option<Uid>,
    data: Data,
}

impl Greeting {
    pub(super) fn new(guest: Box<Guest>, hello_due: Millis) -> Greeting {
        Greeting {
            guest: Some(guest),
            hello_due,
            arriving: None,
        }
    }

    /// When the sweep should wake the connection. A hello that is on its way has its own limits.
    pub(super) fn due(&self) -> Millis {
        if self.arriving.is_some() {
            Millis(u64::MAX)
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
        if greeting.arriving.is_none() && now >= greeting.hello_due {
            self.refuse(CloseCode::NO_HELLO, "no hello in time");
        }
    }

    /// Takes one frame of a client that has not said hello.
    pub(super) fn greet(&mut self, frame: Bytes) {
        match ClientFrame::decode(self.codec, frame, &self.edge.hub.bounds().limits) {
            Ok(ClientFrame::Ping { .. }) => {
                let pong = OutFrame::from(&ServerFrame::Pong, self.codec);
                self.answer = Some(pong.ws().clone());
            }
            Ok(ClientFrame::Hello(hello)) => self.hello(hello),
            Ok(ClientFrame::Bye { .. }) => {
                self.close(Closing::saying(vec![control::close(Some(1000), "")]), 1000);
            }
            Ok(_) => self.refuse(CloseCode::PROTOCOL, "the first frame must be a hello"),
            Err(undecodable) => self.refuse_numbered(undecodable.refusal),
        }
    }

    fn hello(&mut self, hello: ClientHello) {
        let Phase::Greeting(greeting) = &mut self.phase else {
            return;
        };
        let Some(guest) = greeting.guest.take() else {
            return;
        };
        let Guest {
            connected,
            uid,
            data,
        } = *guest;
        let context = Arc::new(connected.with_params(hello.params.as_ref()));
        let arrivals = &self.edge.arrivals;
        let (who, with) = (uid.clone(), Arc::clone(&context));
        greeting.arriving = Some(Arriving {
            greeted: arrivals.greet(hello, who, self.codec, Transport::Ws, with),
            context,
            uid,
            data,
        });
        // What comes behind the hello belongs to the session.
        self.reading = Reading::Paused;
        // The next one is asked for by `due`, which has changed.
        self.deadline = None;
    }

    /// Goes on with a hello that is on its way. Ready = there is something to say now.
    pub(super) fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Phase::Greeting(greeting) = &mut self.phase else {
            return Poll::Ready(());
        };
        let Some(arriving) = &mut greeting.arriving else {
            return Poll::Ready(());
        };
        let greeted = ready!(arriving.greeted.as_mut().poll(cx));
        let Some(arriving) = greeting.arriving.take() else {
            return Poll::Ready(());
        };
        self.reading = Reading::On;
        self.deadline = None;
        match greeted {
            Ok(attachment) => self.open(attachment, arriving),
            Err(HelloRefused::Ended(code)) => self.refuse(code, "the session was ended"),
            Err(HelloRefused::Superseded) => {
                self.refuse(CloseCode::SUPERSEDED, "a newer connection was here first");
            }
            Err(HelloRefused::Full) => self.refuse(CloseCode::RESTARTING, "the node is full"),
            Err(HelloRefused::NotOpen) => {
                self.refuse(CloseCode::RESTARTING, "the node is not open yet");
            }
        }
        Poll::Ready(())
    }

    fn open(&mut self, attachment: Attachment, arriving: Arriving) {
        let Arriving {
            context, uid, data, ..
        } = arriving;
        let answer = self.edge.hello_to(&attachment, uid, data);
        attachment.port.with(|inner| {
            inner.end_polls();
            inner.session.hello(attachment.link, &answer)
        });
        self.phase = Phase::Open(Open {
            attachment,
            context,
        });
    }

    /// Says the number of the fault, then goodbye.
    fn refuse_numbered(&mut self, refusal: Refusal) {
        self.edge.metrics.edge.hellos_refused.increment();
        let code = CloseCode::PROTOCOL;
        let [bye, close] = control::goodbye(self.codec, code, &refusal.message);
        let error = OutFrame::from(&ServerFrame::Error(refusal), self.codec);
        let say = vec![error.ws().clone(), bye, close];
        self.close(Closing::saying(say), code.0);
    }
}
