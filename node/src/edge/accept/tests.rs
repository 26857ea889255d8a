//! The accept loop over real sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{AcceptLimits, Listen, serve};
use crate::metrics::Metrics;

const SOON: Duration = Duration::from_secs(10);

struct Server {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

/// Yields `failures` first, then what the listener accepts.
struct Failing {
    failures: Vec<io::Error>,
    listener: TcpListener,
}

impl Listen for Failing {
    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        match self.failures.pop() {
            Some(error) => Err(error),
            None => self.listener.accept().await,
        }
    }
}

async fn start(router: Router, limits: AcceptLimits, failures: Vec<io::Error>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Arc::new(Metrics::default());
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let listener = Failing { failures, listener };
    tracker.spawn(serve(
        listener,
        router,
        limits,
        metrics.clone(),
        tracker.clone(),
        shutdown.clone(),
    ));
    Server {
        address,
        metrics,
        tracker,
        shutdown,
    }
}

fn whoami() -> Router {
    Router::new().route(
        "/",
        get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
    )
}

async fn ask(address: SocketAddr, path: &str) -> (SocketAddr, TcpStream) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    (stream.local_addr().unwrap(), stream)
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    timeout(SOON, stream.read_to_string(&mut answer))
        .await
        .expect("an answer")
        .unwrap();
    answer
}

#[tokio::test]
async fn requests_carry_the_address_of_their_peer() {
    let server = start(whoami(), AcceptLimits::default(), vec![]).await;
    let (own, mut stream) = ask(server.address, "/").await;
    assert!(answer(&mut stream).await.ends_with(&own.to_string()));
}

#[tokio::test]
async fn running_out_of_descriptors_pauses_but_never_ends_the_loop() {
    let limits = AcceptLimits {
        exhausted_pause: Duration::from_millis(1),
        ..AcceptLimits::default()
    };
    let failures = vec![
        io::Error::from_raw_os_error(libc::EMFILE),
        io::ErrorKind::ConnectionAborted.into(),
        io::Error::from_raw_os_error(libc::ENFILE),
        io::Error::from_raw_os_error(libc::ENOBUFS),
    ];
    let server = start(whoami(), limits, failures).await;
    let (_, mut stream) = ask(server.address, "/").await;
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert_eq!(server.metrics.edge.accept_errors.value(), 4);
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let limits = AcceptLimits {
        header_timeout: Duration::from_millis(100),
        ..AcceptLimits::default()
    };
    let server = start(whoami(), limits, vec![]).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    let cut = answer(&mut slow).await;
    assert!(cut.is_empty() || cut.starts_with("HTTP/1.1 408"), "{cut}");
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused() {
    let server = start(whoami(), AcceptLimits::default(), vec![]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(20_000));
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn silent_connections_hold_newcomers_back_only_until_their_head_or_end() {
    let limits = AcceptLimits {
        max_handshakes: 1,
        ..AcceptLimits::default()
    };
    let parked = Arc::new(Notify::new());
    let park = parked.clone();
    let router = whoami().route(
        "/park",
        get(move || {
            park.notify_one();
            std::future::pending::<()>()
        }),
    );
    let server = start(router, limits, vec![]).await;

    let silent = TcpStream::connect(server.address).await.unwrap();
    let (_, mut second) = ask(server.address, "/").await;
    let early = timeout(Duration::from_millis(100), second.readable()).await;
    assert!(early.is_err(), "served although the only place is taken");
    drop(silent);
    assert!(answer(&mut second).await.starts_with("HTTP/1.1 200"));

    // A parked request has sent its head: it holds nobody back.
    let (_, _parked) = ask(server.address, "/park").await;
    timeout(SOON, parked.notified()).await.expect("parked");
    let (_, mut third) = ask(server.address, "/").await;
    assert!(answer(&mut third).await.starts_with("HTTP/1.1 200"));
}

/// An answer without an end.
fn endless() -> Router {
    Router::new().route(
        "/",
        get(|| async {
            let piece = || Ok::<_, io::Error>(bytes::Bytes::from_static(&[0; 4_096]));
            axum::body::Body::from_stream(futures_util::stream::repeat_with(piece))
        }),
    )
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_cut_off_and_one_that_reads_is_not() {
    let limits = AcceptLimits {
        write_timeout: Duration::from_millis(500),
        ..AcceptLimits::default()
    };
    let server = start(endless(), limits, vec![]).await;
    let (_, _deaf) = ask(server.address, "/").await;
    let (_, mut reader) = ask(server.address, "/").await;
    let cut = async {
        let mut some = vec![0; 4_096];
        while server.metrics.edge.stalled.value() == 0 {
            reader.read_exact(&mut some).await.expect("it goes on");
        }
        reader.read_exact(&mut some).await.expect("and on");
    };
    timeout(SOON, cut).await.expect("cut off");
    assert_eq!(server.metrics.edge.stalled.value(), 1);
}

#[tokio::test]
async fn f95_shutdown_waits_for_no_peer_that_takes_nothing() {
    let limits = AcceptLimits {
        write_timeout: Duration::from_secs(3_600),
        farewell: Duration::from_millis(100),
        ..AcceptLimits::default()
    };
    let server = start(endless(), limits, vec![]).await;
    let (_, _deaf) = ask(server.address, "/").await;
    let (_, mut later) = ask(server.address, "/").await;
    // By then the one before is being served.
    later.read_u8().await.expect("served");
    server.shutdown.cancel();
    server.tracker.close();
    timeout(SOON, server.tracker.wait())
        .await
        .expect("every task ended");
    assert_eq!(server.metrics.edge.stalled.value(), 2);
}

#[tokio::test]
async fn f95_shutdown_lets_a_request_finish_and_leaves_no_task() {
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begin, gone) = (begun.clone(), go.clone());
    let router = Router::new().route(
        "/",
        get(move || async move {
            begin.notify_one();
            gone.notified().await;
            "done"
        }),
    );
    let server = start(router, AcceptLimits::default(), vec![]).await;
    let (_, mut stream) = ask(server.address, "/").await;
    timeout(SOON, begun.notified()).await.expect("begun");
    server.shutdown.cancel();
    server.tracker.close();
    go.notify_one();
    assert!(answer(&mut stream).await.ends_with("done"));
    timeout(SOON, server.tracker.wait())
        .await
        .expect("every task ended");
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "the listener is closed"
    );
}
