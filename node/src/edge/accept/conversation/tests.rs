//! Connections whose requests wait without hyper, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::edge::accept::patience::Patience;
use crate::edge::accept::{AcceptLimits, serve};
use crate::metrics::Metrics;

const SOON: Duration = Duration::from_secs(10);
/// More than sockets of this machine hold for a reader that does not read.
const LARGE: usize = 32 << 20;

/// A server whose requests to `/wait` wait for `go`.
struct Server {
    address: SocketAddr,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    waits: Arc<Notify>,
    go: Arc<Notify>,
    dropped: Arc<Notify>,
    asked: Arc<AtomicUsize>,
}

/// Says when it is dropped.
struct Guard(Arc<Notify>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

async fn start() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        address: listener.local_addr().unwrap(),
        tracker: TaskTracker::new(),
        shutdown: CancellationToken::new(),
        waits: Arc::default(),
        go: Arc::default(),
        dropped: Arc::default(),
        asked: Arc::default(),
    };
    let (waits, go) = (server.waits.clone(), server.go.clone());
    let (dropped, asked) = (server.dropped.clone(), server.asked.clone());
    let wait = move |request: Request| async move {
        asked.fetch_add(1, Ordering::Relaxed);
        let _guard = Guard(dropped);
        let patience = request.extensions().get::<Patience>().cloned();
        drop(request);
        let Some(patience) = patience else {
            return "tied";
        };
        patience.ask();
        waits.notify_one();
        go.notified().await;
        "waited"
    };
    let whoami = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() };
    let router = Router::new()
        .route("/wait", get(wait))
        .route("/", get(whoami))
        .route("/large", get(|| async { "x".repeat(LARGE) }))
        .route("/echo", post(|body: String| async move { body }));
    server.tracker.spawn(serve(
        listener,
        router,
        AcceptLimits::default(),
        Arc::new(Metrics::default()),
        server.tracker.clone(),
        server.shutdown.clone(),
    ));
    server
}

/// One connection, kept.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn of(server: &Server) -> Client {
        Client(BufReader::new(
            TcpStream::connect(server.address).await.unwrap(),
        ))
    }

    async fn says(&mut self, what: &str) {
        self.0.write_all(what.as_bytes()).await.unwrap();
    }

    async fn asks(&mut self, path: &str) {
        self.says(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
    }

    /// The head and the body of the next answer.
    async fn hears(&mut self) -> (String, String) {
        timeout(SOON, async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.0.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            let length = lines.clone().find(|(name, _)| *name == "content-length");
            let length = length.expect("a length").1.parse().unwrap();
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await.unwrap();
            (head, String::from_utf8(body).unwrap())
        })
        .await
        .expect("an answer")
    }
}

async fn soon(what: &str, notify: &Notify) {
    timeout(SOON, notify.notified()).await.expect(what);
}

#[tokio::test]
async fn a_request_that_waits_is_answered_once_and_its_connection_goes_on() {
    let server = start().await;
    let mut client = Client::of(&server).await;
    let own = client.0.get_ref().local_addr().unwrap().to_string();
    for round in 1..=3 {
        client.asks("/wait").await;
        soon("it waits", &server.waits).await;
        server.go.notify_one();
        assert_eq!(client.hears().await.1, "waited");
        assert_eq!(server.asked.load(Ordering::Relaxed), round);
        client.asks("/").await;
        assert_eq!(client.hears().await.1, own);
    }
}

#[tokio::test]
async fn what_a_client_says_ahead_of_its_answer_is_answered_after_it() {
    let server = start().await;
    let mut client = Client::of(&server).await;
    // More than is read ahead, and of it some before and some after the request waits.
    let body = "y".repeat(20_000);
    let head = format!(
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let (early, late) = head.split_at(20);
    client
        .says(&format!("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n{early}"))
        .await;
    soon("it waits", &server.waits).await;
    client.says(late).await;
    client.says(&body).await;
    server.go.notify_one();
    assert_eq!(client.hears().await.1, "waited");
    assert!(client.hears().await.1 == body);

    client.asks("/wait").await;
    soon("it waits", &server.waits).await;
    client.says(&head).await;
    client.says(&body).await;
    server.go.notify_one();
    assert_eq!(client.hears().await.1, "waited");
    assert!(client.hears().await.1 == body);
}

#[tokio::test]
async fn what_was_not_written_yet_when_the_next_request_waits_is_not_lost() {
    let server = start().await;
    let mut client = Client::of(&server).await;
    client.asks("/large").await;
    client.asks("/wait").await;
    let (reading, waiting) = tokio::join!(client.hears(), soon("it waits", &server.waits));
    assert_eq!(reading.1.len(), LARGE);
    let () = waiting;
    server.go.notify_one();
    assert_eq!(client.hears().await.1, "waited");
}

#[tokio::test]
async fn a_client_that_leaves_ends_what_it_waited_for_at_once() {
    let server = start().await;
    let mut client = Client::of(&server).await;
    client.asks("/wait").await;
    soon("it waits", &server.waits).await;
    drop(client);
    soon("the request is given up", &server.dropped).await;
    server.shutdown.cancel();
    server.tracker.close();
    timeout(SOON, server.tracker.wait())
        .await
        .expect("every task ended");
}

#[tokio::test]
async fn f95_a_shutdown_lets_a_request_that_waits_finish_and_ends_its_connection() {
    let server = start().await;
    let mut client = Client::of(&server).await;
    client.asks("/wait").await;
    soon("it waits", &server.waits).await;
    server.shutdown.cancel();
    server.tracker.close();
    server.go.notify_one();
    let (head, body) = client.hears().await;
    assert_eq!(body, "waited");
    assert!(head.contains("connection: close\r\n"), "{head}");
    assert_eq!(client.0.read(&mut [0]).await.unwrap(), 0);
    timeout(SOON, server.tracker.wait())
        .await
        .expect("every task ended");
}

#[tokio::test]
async fn requests_that_are_tied_to_their_connection_stay_with_hyper() {
    let server = start().await;
    for tied in ["Connection: close", "Upgrade: h2c", "Content-Length: 2"] {
        let mut client = Client::of(&server).await;
        client
            .says(&format!(
                "GET /wait HTTP/1.1\r\nHost: x\r\n{tied}\r\n\r\nhi"
            ))
            .await;
        assert_eq!(client.hears().await.1, "tied", "{tied}");
    }
    assert_eq!(server.asked.load(Ordering::Relaxed), 3);
}
