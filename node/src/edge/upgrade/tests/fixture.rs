//! Servers and hand-written requests for the tests of the handshake.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use tengen_protocol::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use super::super::routes;
use crate::arrival::tests::alone;
use crate::edge::accept::{self, AcceptLimits};
use crate::edge::poll::Polls;
use crate::edge::raw::Raw;
use crate::edge::{Edge, Settings};
use crate::hub::{Hub, HubConfig};
use crate::identity::cookie::{CookieKey, CookieSettings, SessionCookies};
use crate::identity::{Identity, NewVisitors};
use crate::interest::{EveryNode, Interest};
use crate::metrics::Metrics;
use crate::moves::Start;

pub(super) fn edge_with(identity: impl FnOnce(Identity) -> Identity) -> Arc<Edge> {
    let metrics = Arc::new(Metrics::default());
    let cookies = SessionCookies::new(CookieSettings::default(), CookieKey::random());
    let hub = Hub::new(
        HubConfig::new(NodeId::try_from("n1").unwrap()),
        metrics.clone(),
        Arc::new(EveryNode),
    );
    let interest = Interest::new(metrics.clone());
    assert!(interest.confirm(0));
    let start: Start = Arc::new(|_| ());
    Arc::new(Edge {
        arrivals: alone(&hub, &interest, &start),
        polls: Polls::alone(&hub, Duration::from_secs(20)),
        hub,
        start,
        identity: identity(Identity::new(cookies, NewVisitors::Anonymous)),
        metrics,
        settings: Settings::default(),
        tracker: TaskTracker::new(),
        shutdown: CancellationToken::new(),
        waiting: Arc::default(),
    })
}

pub(super) fn edge() -> Arc<Edge> {
    edge_with(|identity| identity)
}

/// Serves on our own accept loop.
pub(super) async fn own_loop(edge: &Arc<Edge>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = routes(edge.clone(), "/chsk");
    tokio::spawn(accept::serve(
        listener,
        router,
        AcceptLimits::default(),
        edge.metrics.clone(),
        edge.tracker.clone(),
        edge.shutdown.clone(),
    ));
    address
}

/// Serves under `axum::serve`, nested at `/app`, behind the layers that apps usually have.
pub(super) async fn hosted(edge: &Arc<Edge>) -> SocketAddr {
    let app = Router::new()
        .route("/", axum::routing::get(async || "the app"))
        .nest("/app", routes(edge.clone(), "/chsk"))
        .layer(CorsLayer::permissive())
        .layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            Duration::from_secs(5),
        ))
        .layer(TraceLayer::new_for_http());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app).into_future());
    address
}

pub(super) const HANDSHAKE: [(&str, &str); 6] = [
    ("Host", "x"),
    ("Connection", "keep-alive, Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Protocol", "tengen.v1.json"),
];

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    /// For a refusal its body, else what came behind the head.
    pub(super) rest: Vec<u8>,
    pub(super) stream: TcpStream,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(super) fn raw(self) -> Raw<TcpStream> {
        assert_eq!(self.status, 101, "{}", self.head);
        Raw::new(self.stream, self.rest)
    }
}

/// Sends one request; `behind` goes in the same packet.
pub(super) async fn ask(
    address: SocketAddr,
    line: &str,
    headers: &[(&str, &str)],
    behind: &[u8],
) -> Answer {
    let mut request = format!("{line} HTTP/1.1\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(&[request.as_bytes(), behind].concat())
        .await
        .unwrap();
    let mut received = Vec::new();
    let end = loop {
        if let Some(at) = received.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        assert_ne!(
            stream.read_buf(&mut received).await.unwrap(),
            0,
            "no answer to {request}"
        );
    };
    let mut rest = received.split_off(end);
    let head = String::from_utf8(received).unwrap();
    let status = head[9..12].parse().unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    while rest.len() < length {
        assert_ne!(stream.read_buf(&mut rest).await.unwrap(), 0);
    }
    Answer {
        status,
        head,
        rest,
        stream,
    }
}

pub(super) fn without<'a>(name: &str) -> Vec<(&'a str, &'a str)> {
    HANDSHAKE
        .into_iter()
        .filter(|(header, _)| *header != name)
        .collect()
}

pub(super) fn with<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut headers = without(name);
    headers.push((name, value));
    headers
}

/// One refusal of ours: status, number, never cached, and a text that says why.
pub(super) async fn refused(
    address: SocketAddr,
    line: &str,
    headers: &[(&str, &str)],
    status: u16,
    code: &str,
    says: &str,
) {
    let answer = ask(address, line, headers, b"").await;
    let body = String::from_utf8(answer.rest.clone()).unwrap();
    assert_eq!(answer.status, status, "{headers:?}: {body}");
    assert_eq!(answer.header("tengen-error"), Some(code), "{headers:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(body.contains(says), "{body}");
}
