//! A server that says what a test tells it to, over a WebSocket library of its own.

use std::{future::Future, net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use rand::RngExt as _;
use serde::Serialize;
use tengen_client::{Builder, Client, Codec, Data, EventId, Refusal, State, TransportChoice, Uid};
use tengen_protocol::{
    ClientFrame, ClientHello, Limits, NodeId, ServerFrame, ServerHello, SessionId,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::HeaderMap,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

/// Everything a test waits for happens within this time, or never.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// Waits for `future`, not longer than [`LIMIT`].
#[track_caller]
pub(crate) fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(LIMIT, future).await {
            Ok(output) => output,
            Err(_) => panic!("nothing happened within {LIMIT:?}, waited for at {caller}"),
        }
    }
}

/// Waits until the state satisfies `condition`.
#[track_caller]
pub(crate) fn until(
    client: &Client,
    condition: impl FnMut(&State) -> bool,
) -> impl Future<Output = std::sync::Arc<State>> {
    let mut condition = condition;
    let mut state: watch::Receiver<_> = client.state();
    soon(async move {
        state
            .wait_for(|state| condition(state))
            .await
            .expect("the client lives")
            .clone()
    })
}

pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

/// The server's end of one connection.
pub(crate) struct Peer {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) codec: Codec,
    /// Of the upgrade request.
    pub(crate) headers: HeaderMap,
}

impl Server {
    pub(crate) async fn start() -> Server {
        Server::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// An address where nobody listens, and that the system gives to nobody unasked: it hands out
    /// ports from 32768 up.
    pub(crate) fn nowhere() -> SocketAddr {
        let mut random = rand::rng();
        (0..1_000)
            .map(|_| SocketAddr::from(([127, 0, 0, 1], random.random_range(10_000..32_000))))
            .find(|address| std::net::TcpListener::bind(address).is_ok())
            .expect("a free port")
    }

    pub(crate) async fn at(address: SocketAddr) -> Server {
        let listener = TcpListener::bind(address)
            .await
            .expect("the address is free");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        Server { listener, address }
    }

    pub(crate) fn client(&self) -> Builder {
        Client::builder(format!("ws://{}/chsk", self.address)).transport(TransportChoice::Ws)
    }

    /// A client that is open, and its connection's other end.
    pub(crate) async fn open(&self, builder: Builder) -> (Client, Peer) {
        let client = builder.spawn().expect("the settings are right");
        let peer = self.greeted().await;
        until(&client, |state| state.open).await;
        (client, peer)
    }

    /// The next connection, upgraded and greeted.
    pub(crate) async fn greeted(&self) -> Peer {
        let mut peer = self.accept().await;
        peer.greet(|_| {}).await;
        peer
    }

    /// The next connection, upgraded.
    pub(crate) async fn accept(&self) -> Peer {
        soon(async {
            let (stream, _) = self.listener.accept().await.expect("the listener lives");
            let mut headers = HeaderMap::new();
            let socket = tokio_tungstenite::accept_hdr_async(stream, Choose(&mut headers))
                .await
                .expect("the upgrade is right");
            let offered = headers
                .get("sec-websocket-protocol")
                .expect("a codec is offered");
            let codec = Codec::from_subprotocol(offered.to_str().expect("a subprotocol is text"));
            Peer {
                socket,
                codec: codec.expect("a codec of ours is offered"),
                headers,
            }
        })
        .await
    }

    /// Whether nobody connects for a while.
    pub(crate) async fn is_left_alone(&self, quiet: Duration) -> bool {
        tokio::time::timeout(quiet, self.listener.accept())
            .await
            .is_err()
    }

    /// Answers the next request with `answer`, whatever it was, and hangs up.
    pub(crate) async fn answer(&self, answer: &str) {
        soon(async {
            let (mut stream, _) = self.listener.accept().await.expect("the listener lives");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let read = stream
                    .read_buf(&mut request)
                    .await
                    .expect("a request comes");
                assert_ne!(read, 0, "the client hung up");
            }
            stream
                .write_all(answer.as_bytes())
                .await
                .expect("the client listens");
        })
        .await;
    }
}

/// Copies the request's headers out and selects the codec that was offered.
struct Choose<'a>(&'a mut HeaderMap);

impl tokio_tungstenite::tungstenite::handshake::server::Callback for Choose<'_> {
    fn on_request(
        self,
        request: &Request,
        mut response: Response,
    ) -> Result<Response, ErrorResponse> {
        *self.0 = request.headers().clone();
        if let Some(offered) = request.headers().get("sec-websocket-protocol") {
            response
                .headers_mut()
                .insert("sec-websocket-protocol", offered.clone());
        }
        Ok(response)
    }
}

impl Peer {
    /// Reads the hello and answers it, changed as the test likes.
    pub(crate) async fn greet(&mut self, change: impl FnOnce(&mut ServerHello)) -> ClientHello {
        let hello = self.hello().await;
        let node = NodeId::parse("test").expect("a node id");
        let mut answer = ServerHello {
            session: hello
                .session
                .clone()
                .unwrap_or_else(|| SessionId::new(&node, [7; 16])),
            resumed: hello.session.is_some(),
            gap: false,
            received: 0,
            uid: Some(Uid::parse("ann").expect("a uid")),
            data: Data::null(self.codec),
            ping_ms: 15_000,
            max_bytes: 512 << 10,
            node,
        };
        change(&mut answer);
        self.say(ServerFrame::Hello(answer)).await;
        hello
    }

    /// The client's hello: nothing but a ping may come before it.
    pub(crate) async fn hello(&mut self) -> ClientHello {
        loop {
            match self.next().await {
                ClientFrame::Ping { .. } => self.say(ServerFrame::Pong).await,
                ClientFrame::Hello(hello) => return hello,
                other => panic!("the first frame is no hello but {other:?}"),
            }
        }
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> ClientFrame {
        let message = soon(self.socket.next())
            .await
            .expect("the client is there")
            .expect("a frame");
        self.decode(message)
    }

    /// The next item: acknowledgements and pings are passed over.
    pub(crate) async fn item(&mut self) -> ClientFrame {
        loop {
            match self.next().await {
                ClientFrame::Ack { .. } | ClientFrame::Ping { .. } | ClientFrame::Pong => {}
                frame => return frame,
            }
        }
    }

    /// Whether nothing but acknowledgements comes for a while.
    pub(crate) async fn hears_nothing(&mut self, quiet: Duration) -> bool {
        tokio::time::timeout(quiet, self.item()).await.is_err()
    }

    fn decode(&self, message: Message) -> ClientFrame {
        let body = match (&message, self.codec) {
            (Message::Binary(_), Codec::Cbor) | (Message::Text(_), Codec::Json) => {
                message.into_data()
            }
            _ => panic!("{message:?} is no frame of {:?}", self.codec),
        };
        ClientFrame::decode(self.codec, body, &Limits::default()).expect("the client speaks well")
    }

    pub(crate) async fn say(&mut self, frame: ServerFrame) {
        let body = frame.encode(self.codec);
        self.write(body).await;
    }

    pub(crate) async fn write(&mut self, body: Bytes) {
        let message = match self.codec {
            Codec::Cbor => Message::Binary(body),
            Codec::Json => Message::Text(body.try_into().expect("JSON is text")),
        };
        soon(self.socket.send(message))
            .await
            .expect("the client listens");
    }

    pub(crate) async fn push(&mut self, id: &str, data: &(impl Serialize + ?Sized)) {
        let id = EventId::parse(id).expect("an event id");
        let data = Data::from(self.codec, data).expect("a value");
        self.say(ServerFrame::Event { id, data }).await;
    }

    pub(crate) async fn reply(&mut self, request: u32, outcome: Result<Data, Refusal>) {
        self.say(ServerFrame::Reply { request, outcome }).await;
    }

    pub(crate) async fn ack(&mut self, received: u64, sent: u64) {
        self.say(ServerFrame::Ack {
            received,
            sent: Some(sent),
        })
        .await;
    }

    /// Says goodbye and waits for the other half of it.
    pub(crate) async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: reason.into(),
        };
        soon(self.socket.close(Some(frame)))
            .await
            .expect("the client listens");
        self.gone().await;
    }

    /// Reads until the client is gone, and says with which close frame.
    pub(crate) async fn gone(mut self) -> Option<(u16, String)> {
        let mut goodbye = None;
        soon(async {
            while let Some(Ok(message)) = self.socket.next().await {
                if let Message::Close(frame) = message {
                    goodbye = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                }
            }
        })
        .await;
        goodbye
    }
}
