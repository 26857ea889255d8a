//! Handlers with a real hub and bus and a hand-driven connection: what a client sends, what it gets.

mod arguments;
mod containment;
mod order;
mod replies;
mod service_faults;
mod services;
mod uidport;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::http::Request;
use axum::http::request::Parts;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tengen_bus::Bus;
use tengen_protocol::server::Received;
use tengen_protocol::subject::Subjects;
use tengen_protocol::{
    ClientFrame, ClientHello, ClientId, Codec, Data, ErrorCode, EventId, Limits, NodeId, Refusal,
    ServerFrame, ServerHello, Transport, Uid,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connected::Connected;
use super::dispatch::Dispatcher;
use super::event::Place;
use super::registry::Registry;
use super::service::Services;
use crate::forward::Forwards;
use crate::handle::Handle;
use crate::hub::{Attachment, Hub, HubConfig};
use crate::identity::Identified;
use crate::interest::EveryNode;
use crate::metrics::Metrics;
use crate::online::Online;
use crate::peers::Peers;
use crate::push::Pusher;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A node's handlers, without its sockets.
pub(super) struct Desk {
    pub hub: Arc<Hub>,
    pub dispatcher: Dispatcher,
    pub bus: Bus,
    pub tracker: TaskTracker,
    pub shutdown: CancellationToken,
}

pub(super) struct Setup {
    pub bus: Bus,
    pub handler_timeout: Duration,
    pub headers: Vec<String>,
    pub services: bool,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            bus: Bus::local(),
            handler_timeout: Duration::from_secs(30),
            headers: Vec::new(),
            services: true,
        }
    }
}

pub(super) fn desk(register: impl FnOnce(&mut Registry)) -> Desk {
    Setup::default().desk(register)
}

impl Setup {
    pub(super) fn desk(self, register: impl FnOnce(&mut Registry)) -> Desk {
        let mut registry = Registry::default();
        register(&mut registry);
        registry.check().unwrap();
        let metrics = Arc::new(Metrics::default());
        let hub = Hub::new(
            HubConfig::new(NodeId::parse("n1").unwrap()),
            metrics.clone(),
            Arc::new(EveryNode),
        );
        let subjects = Subjects::new("tengen").unwrap();
        let pusher = Pusher::start(
            self.bus.clone(),
            &subjects,
            Limits::default(),
            metrics.clone(),
        );
        let services = self.services.then(|| {
            Services::new(
                self.bus.clone(),
                subjects,
                self.headers,
                Limits::default(),
                metrics,
            )
        });
        let node = NodeId::parse("n1").unwrap();
        let metrics = hub.metrics();
        let peers = Peers::new(
            self.bus.clone(),
            Subjects::default(),
            node.clone(),
            metrics.clone(),
        );
        let forwards = Forwards::new(peers, node, metrics.clone());
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let place = Arc::new(Place {
            handle: Handle::new(Arc::new(pusher), Online::of_nobody(&hub, &self.bus)),
            hub: hub.clone(),
            forwards,
        });
        let dispatcher = Dispatcher::new(
            registry,
            services,
            place,
            self.handler_timeout,
            tracker.clone(),
            shutdown.clone(),
        );
        Desk {
            hub,
            dispatcher,
            bus: self.bus,
            tracker,
            shutdown,
        }
    }
}

impl Desk {
    pub(super) fn tab(&self, uid: Option<&str>) -> Tab {
        self.tab_with(
            uid,
            Codec::Json,
            plain_request(),
            &Identified::default(),
            None,
        )
    }

    pub(super) fn tab_with(
        &self,
        uid: Option<&str>,
        codec: Codec,
        parts: Parts,
        identified: &Identified,
        params: Option<&Data>,
    ) -> Tab {
        let hello = ClientHello {
            client: ClientId::parse("tab-1").unwrap(),
            attempt: 1,
            session: None,
            received: None,
            params: params.cloned(),
        };
        let uid = uid.map(|uid| Uid::parse(uid).unwrap());
        let peer = "127.0.0.1:4711".parse().unwrap();
        let told = Data::from(
            Codec::Cbor,
            &json!({"welcome": uid.as_ref().map(Uid::as_str)}),
        )
        .unwrap();
        let connected = Connected::new(parts, peer, Transport::Ws, identified, &told)
            .with_params(hello.params.as_ref());
        let now = self.hub.now();
        let attachment = self
            .hub
            .hello(&hello, uid.clone(), codec, Transport::Ws, now)
            .unwrap();
        attachment.port.with(|inner| {
            inner.session.hello(
                attachment.link,
                &ServerHello {
                    session: attachment.port.id.clone(),
                    resumed: false,
                    gap: false,
                    received: 0,
                    uid,
                    data: told.transcode(codec).unwrap(),
                    ping_ms: 15_000,
                    max_bytes: 512 << 10,
                    node: NodeId::parse("n1").unwrap(),
                },
            )
        });
        Tab {
            attachment,
            connected: Arc::new(connected),
            hub: self.hub.clone(),
            dispatcher: self.dispatcher.clone(),
            requests: 0,
            read: VecDeque::new(),
        }
    }

    /// A tab that asks once.
    pub(super) async fn ask(&self, id: &str, value: impl Serialize) -> Result<Value, Refusal> {
        self.tab(Some("alice")).ask(id, value).await
    }
}

pub(super) fn plain_request() -> Parts {
    Request::get("/chsk").body(()).unwrap().into_parts().0
}

/// A client as its node sees it: frames in, frames out.
pub(super) struct Tab {
    pub attachment: Attachment,
    connected: Arc<Connected>,
    hub: Arc<Hub>,
    dispatcher: Dispatcher,
    requests: u32,
    read: VecDeque<ServerFrame>,
}

impl Tab {
    fn codec(&self) -> Codec {
        self.attachment.port.codec
    }

    pub(super) fn send(&self, id: &str, value: impl Serialize) {
        let data = Data::from(self.codec(), &value).unwrap();
        self.send_data(id, data);
    }

    pub(super) fn send_data(&self, id: &str, data: Data) {
        let id = EventId::parse(id).unwrap();
        self.frame(&ClientFrame::Event { id, data });
    }

    /// Sends a request and returns its ref.
    pub(super) fn request(&mut self, id: &str, value: impl Serialize, timeout_ms: u64) -> u32 {
        let data = Data::from(self.codec(), &value).unwrap();
        self.request_data(id, data, timeout_ms)
    }

    pub(super) fn request_data(&mut self, id: &str, data: Data, timeout_ms: u64) -> u32 {
        self.requests += 1;
        self.frame(&ClientFrame::Request {
            request: self.requests,
            id: EventId::parse(id).unwrap(),
            data,
            timeout_ms,
        });
        self.requests
    }

    pub(super) async fn ask(&mut self, id: &str, value: impl Serialize) -> Result<Value, Refusal> {
        let asked = self.request(id, value, 0);
        self.answer(asked).await.map(|data| data.to().unwrap())
    }

    fn frame(&self, frame: &ClientFrame) {
        let bytes = frame.encode(self.codec());
        let port = &self.attachment.port;
        let (now, bounds) = (self.hub.now(), self.hub.bounds());
        let received = port.with(|inner| {
            inner
                .session
                .receive(self.attachment.link, bytes, &self.connected, now, bounds)
        });
        if matches!(received, Received::Work | Received::Full) {
            self.dispatcher.start(port);
        }
    }

    /// The answer to request `asked`; other frames before it are kept.
    pub(super) async fn answer(&mut self, asked: u32) -> Result<Data, Refusal> {
        self.until(|frame| match frame {
            ServerFrame::Reply { request, outcome } if *request == asked => Some(outcome.clone()),
            _ => None,
        })
        .await
    }

    /// The next `chsk/error` of an event: code and position.
    pub(super) async fn error(&mut self) -> (ErrorCode, u64) {
        let told: Value = self
            .until(|frame| match frame {
                ServerFrame::Event { id, data } if id.as_str() == "chsk/error" => {
                    Some(data.to().unwrap())
                }
                _ => None,
            })
            .await;
        let code = u32::try_from(told["code"].as_u64().unwrap()).unwrap();
        (ErrorCode(code), told["position"].as_u64().unwrap())
    }

    /// Waits for the frame that `wanted` takes, and removes it; the others stay.
    async fn until<T>(&mut self, wanted: impl Fn(&ServerFrame) -> Option<T>) -> T {
        let mut looked = 0;
        loop {
            for (at, frame) in self.read.iter().enumerate().skip(looked) {
                if let Some(found) = wanted(frame) {
                    self.read.remove(at);
                    return found;
                }
            }
            looked = self.read.len();
            let more = tokio::time::timeout(PATIENCE, self.written()).await;
            self.read
                .extend(more.expect("the client is told something"));
        }
    }

    /// Frames that came so far, answers and events alike, without waiting.
    pub(super) fn rest(&mut self) -> Vec<ServerFrame> {
        let mut rest: Vec<_> = self.read.drain(..).collect();
        let mut out = Vec::new();
        let (link, now, bounds) = (self.attachment.link, self.hub.now(), self.hub.bounds());
        self.attachment.port.with(|inner| {
            inner
                .session
                .write(link, &mut out, 1024, 16 << 20, now, bounds)
        });
        rest.extend(out.into_iter().map(|frame| unframed(self.codec(), &frame)));
        rest.retain(|frame| frame.is_item());
        rest
    }

    async fn written(&self) -> Vec<ServerFrame> {
        let (link, bounds) = (self.attachment.link, self.hub.bounds());
        poll_fn(|context| {
            let mut out = Vec::new();
            self.attachment.port.with(|inner| {
                let now = self.hub.now();
                inner
                    .session
                    .write(link, &mut out, 1024, 16 << 20, now, bounds);
                if out.is_empty() {
                    assert!(inner.park(link, context.waker(), true), "superseded");
                }
            });
            match out.is_empty() {
                true => Poll::Pending,
                false => Poll::Ready(
                    out.drain(..)
                        .map(|frame| unframed(self.codec(), &frame))
                        .collect(),
                ),
            }
        })
        .await
    }
}

/// The server frame inside an unmasked WebSocket frame (RFC 6455 section 5.2).
fn unframed(codec: Codec, frame: &Bytes) -> ServerFrame {
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let limits = Limits::from_server(4 << 20);
    ServerFrame::decode(codec, frame.slice(header..), &limits).unwrap()
}

/// Waits until `condition` holds.
async fn eventually(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("the condition holds in time");
}
