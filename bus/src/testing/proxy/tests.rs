//! Each misbehaviour is the one it says it is.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{Admission, Proxy, Shape, Whom};

const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough that bytes that may pass would have passed.
const QUIET: Duration = Duration::from_millis(150);

/// A server that gives everything back behind its own name, and ends when the client does.
async fn echo(name: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                writer.write_all(name).await?;
                tokio::io::copy(&mut reader, &mut writer).await?;
                writer.shutdown().await
            });
        }
    });
    address
}

async fn through(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address())
        .await
        .expect("the proxy listens")
}

async fn read(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    timeout(PATIENCE, stream.read_exact(&mut buffer))
        .await
        .expect("bytes come")
        .expect("bytes come");
    buffer
}

async fn end(stream: &mut TcpStream) -> io::Result<usize> {
    timeout(PATIENCE, stream.read(&mut [0; 1]))
        .await
        .expect("it ends")
}

async fn is_quiet(stream: &mut TcpStream) -> bool {
    timeout(QUIET, stream.read(&mut [0; 1])).await.is_err()
}

/// A connection on which one round trip has been made.
async fn connected() -> (Proxy, TcpStream) {
    let proxy = Proxy::start(&[echo(b"").await]).await;
    let mut client = through(&proxy).await;
    client.write_all(b"first").await.expect("written");
    assert_eq!(read(&mut client, 5).await, b"first");
    (proxy, client)
}

#[tokio::test]
async fn connections_go_to_the_targets_in_turn_and_past_a_dead_one() {
    let dead = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("it is bound")
    };
    let proxy = Proxy::start(&[echo(b"1").await, echo(b"2").await, dead]).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.extend(read(&mut through(&proxy).await, 1).await);
    }
    assert_eq!(seen, b"1211");
}

#[tokio::test]
async fn an_end_is_passed_on_as_an_end_and_bytes_are_counted() {
    let (proxy, mut client) = connected().await;
    let link = proxy.links().remove(0);
    client.shutdown().await.expect("ended");
    assert_eq!(end(&mut client).await.expect("in good order"), 0);
    assert_eq!(link.passed(), (5, 5));
    timeout(PATIENCE, async {
        while !proxy.is_idle() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the link goes");
    assert_eq!((proxy.accepted(), proxy.passed()), (1, (5, 5)));
}

#[tokio::test]
async fn a_cut_is_an_end_and_a_reset_is_a_reset() {
    let (proxy, mut client) = connected().await;
    proxy.links()[0].cut();
    assert_eq!(end(&mut client).await.expect("in good order"), 0);

    let (proxy, mut client) = connected().await;
    proxy.links()[0].reset();
    let error = end(&mut client).await.expect_err("reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_stall_holds_bytes_back_and_a_blackhole_swallows_them() {
    let (proxy, mut client) = connected().await;
    let link = proxy.links().remove(0);
    link.stall();
    client.write_all(b"held").await.expect("written");
    assert!(is_quiet(&mut client).await);
    link.resume();
    assert_eq!(read(&mut client, 4).await, b"held");

    link.blackhole();
    client.write_all(b"lost").await.expect("written");
    link.resume();
    client.shutdown().await.expect("ended");
    assert!(is_quiet(&mut client).await);
}

#[tokio::test]
async fn a_narrow_link_takes_its_time_and_a_long_one_comes_late_but_whole() {
    let (proxy, mut client) = connected().await;
    proxy.shape(Shape::slow(20_000));
    let begun = Instant::now();
    client.write_all(&[7; 4_000]).await.expect("written");
    assert_eq!(read(&mut client, 4_000).await, [7; 4_000]);
    assert!(begun.elapsed() >= Duration::from_millis(200));

    proxy.shape(Shape::late(Duration::from_millis(100)));
    let begun = Instant::now();
    client.write_all(b"there and back").await.expect("written");
    assert_eq!(read(&mut client, 14).await, b"there and back");
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_replay_says_again_what_the_client_said_first() {
    let (proxy, _client) = connected().await;
    let mut again = proxy.links()[0].replay().await.expect("connected");
    assert_eq!(read(&mut again, 5).await, b"first");
}

#[tokio::test]
async fn upgrades_are_answered_reset_or_swallowed_and_the_rest_passes() {
    let upgrade = b"GET /chsk HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\n\r\n";
    let plain = b"GET /chsk HTTP/1.1\r\nHost: x\r\n\r\n";
    let proxy = Proxy::start(&[echo(b"").await]).await;

    proxy.admit(Whom::Upgrades, Admission::status(403));
    let mut client = through(&proxy).await;
    client.write_all(upgrade).await.expect("written");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");

    let mut client = through(&proxy).await;
    client.write_all(plain).await.expect("written");
    assert_eq!(read(&mut client, plain.len()).await, plain);

    proxy.admit(Whom::Upgrades, Admission::Reset);
    let mut client = through(&proxy).await;
    client.write_all(upgrade).await.expect("written");
    let error = end(&mut client).await.expect_err("reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

    proxy.admit(Whom::Everybody, Admission::Swallow);
    let mut client = through(&proxy).await;
    client.write_all(plain).await.expect("written");
    assert!(is_quiet(&mut client).await);
}

#[tokio::test]
async fn whoever_is_let_in_while_the_proxy_is_told_otherwise_breaks() {
    let proxy = Proxy::start(&[]).await;
    let told = || proxy.shared.rules.lock().changes;
    let before = told();
    proxy.admit(Whom::Everybody, Admission::Reset);
    assert!(proxy.shared.let_in(proxy.address(), before).is_none());
    assert!(proxy.is_idle());
    let before = told();
    proxy.aim(&[proxy.address()]);
    assert!(proxy.shared.let_in(proxy.address(), before).is_none());
    assert!(proxy.shared.let_in(proxy.address(), told()).is_some());
    assert!(!proxy.is_idle());
}
