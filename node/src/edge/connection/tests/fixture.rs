//! A hub with a sweep, and pipes instead of sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::Request;
use bytes::Bytes;
use parking_lot::Mutex;
use tengen_protocol::server::ItemKind;
use tengen_protocol::takeover;
use tengen_protocol::{Codec, Data, Limits, Millis, NodeId, RawEvent, Transport, Uid};
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::arrival::tests::alone;
use crate::edge::connection::{Connection, Guest};
use crate::edge::poll::Polls;
use crate::edge::{Edge, Settings};
use crate::handlers::connected::Connected;
use crate::hub::port::Port;
use crate::hub::touched::Touched;
use crate::hub::{Hub, HubConfig, sweep};
use crate::identity::cookie::{CookieKey, CookieSettings, SessionCookies};
use crate::identity::{Identified, Identity, NewVisitors};
use crate::interest::{EveryNode, Interest};
use crate::metrics::Metrics;
use crate::moves::Start;

pub(super) use crate::edge::raw::*;

/// An edge whose handlers answer every request with its own data.
pub(super) struct Fixture {
    pub(super) edge: Arc<Edge>,
    pub(super) interest: Arc<Interest>,
    /// While set, items stay in the inbox.
    pub(super) handlers_hang: Arc<AtomicBool>,
    pub(super) events: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Fixture {
    pub(super) fn new() -> Fixture {
        Fixture::with(|_| ())
    }

    pub(super) fn with(adjust: impl FnOnce(&mut HubConfig)) -> Fixture {
        let mut config = HubConfig::new(NodeId::try_from("n1").unwrap());
        adjust(&mut config);
        let metrics = Arc::new(Metrics::default());
        let hub = Hub::new(config, metrics.clone(), Arc::new(EveryNode));
        let handlers_hang = Arc::new(AtomicBool::new(false));
        let interest = Interest::new(metrics.clone());
        assert!(interest.confirm(0));
        let events = Arc::<Mutex<Vec<String>>>::default();
        let (hang, log, starter) = (handlers_hang.clone(), events.clone(), hub.clone());
        let cookies = SessionCookies::new(CookieSettings::default(), CookieKey::random());
        let start: Start = Arc::new(move |port| {
            if !hang.load(Ordering::Relaxed) {
                handle(&starter, port, &log);
            }
        });
        let edge = Arc::new(Edge {
            hub: hub.clone(),
            polls: Polls::alone(&hub, Duration::from_secs(20)),
            arrivals: alone(&hub, &interest, &start),
            start,
            identity: Identity::new(cookies, NewVisitors::Anonymous),
            metrics,
            settings: Settings::default(),
            tracker: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            waiting: Arc::default(),
        });
        let stop = CancellationToken::new();
        let sweeping = edge.clone();
        tokio::spawn(sweep::run(
            hub,
            move |now: Millis| sweeping.waiting.sweep(now),
            stop.clone(),
        ));
        Fixture {
            edge,
            interest,
            handlers_hang,
            events,
            stop,
        }
    }

    /// A connection with a roomy pipe.
    pub(super) fn connect(&self, uid: Option<&str>) -> Raw<DuplexStream> {
        self.connect_with(uid, 1 << 20, Vec::new()).0
    }

    pub(super) fn connect_with(
        &self,
        uid: Option<&str>,
        pipe: usize,
        unread: Vec<u8>,
    ) -> (Raw<DuplexStream>, JoinHandle<()>) {
        let (ours, theirs) = tokio::io::duplex(pipe);
        let (parts, ()) = Request::new(()).into_parts();
        let data = Data::null(Codec::Json);
        let identified = Identified::default();
        let peer = ([127, 0, 0, 1], 9).into();
        let connected = Connected::new(parts, peer, Transport::Ws, &identified, &data);
        let uid = uid.map(|uid| Uid::try_from(uid).unwrap());
        let guest = Box::new(Guest {
            connected,
            uid,
            data,
        });
        let connection = Connection::new(self.edge.clone(), ours, Codec::Json, guest, unread);
        let task = self.edge.tracker.spawn(connection);
        (Raw::new(theirs, Vec::new()), task)
    }

    pub(super) fn port(&self, hello: &str) -> Arc<Port> {
        let hello: serde_json::Value = serde_json::from_str(hello).unwrap();
        let session = hello[1]["session"].as_str().unwrap();
        self.edge
            .hub
            .session(&session.try_into().unwrap())
            .expect("the session lives")
    }

    /// Pushes to everyone on this node; returns how many got it.
    pub(super) fn push(&self, body: &str) -> usize {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let event = RawEvent::check(Codec::Json, body, &Limits::default()).unwrap();
        let frame = event.to_frame(Codec::Json).unwrap();
        let (mut touched, mut reached) = (Touched::default(), 0);
        self.edge.hub.groups().all().for_each(|port| {
            reached += 1;
            let identity = takeover::Identity::Message(1);
            port.push(&frame, &identity, self.edge.hub.bounds(), &mut touched);
        });
        self.edge.hub.settle(&mut touched);
        reached
    }

    /// Starts what waited while handlers hung.
    pub(super) fn let_handlers_run(&self, port: &Arc<Port>) {
        self.handlers_hang.store(false, Ordering::Relaxed);
        (self.edge.start)(port);
    }

    /// No task, no deadline and no connection is left.
    pub(super) async fn is_quiet(&self) {
        self.edge.tracker.close();
        let waited = tokio::time::timeout(Duration::from_secs(60), self.edge.tracker.wait()).await;
        waited.expect("every connection ends");
        let edge = &self.edge.metrics.edge;
        assert_eq!(edge.opened.value(), edge.ended.value());
        assert_eq!(self.edge.waiting.len(), 0);
    }
}

fn handle(hub: &Hub, port: &Arc<Port>, events: &Mutex<Vec<String>>) {
    while let Some(item) = port.with(|inner| inner.session.next_item()) {
        if let ItemKind::Event { id, data } = &item.kind {
            let data = String::from_utf8(data.bytes().to_vec()).unwrap();
            events.lock().push(format!("{id} {data}"));
        }
        port.with(|inner| {
            if let ItemKind::Request { request, data, .. } = item.kind {
                inner.session.reply(request, Ok(data), hub.bounds());
            }
            inner.session.item_returned(item.position, hub.bounds());
        });
        port.wake();
    }
}
