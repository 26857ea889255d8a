//! A client that never reads costs the others nothing; every bound of a node ends what is over it, alone, and counts it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::json;
use tempfile::TempDir;
use tengen_bus::testing::Proxy;
use tengen_client::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::process::NodeProcess;
use crate::turns;
use crate::visitors::EVERY_WAY;
use crate::world::{eventually, scratch, soon};

const OTHERS: usize = 100;
/// Pushes to everybody in a phase, and the time between two.
const PUSHES: usize = 40;
const PACE: Duration = Duration::from_millis(40);
/// Phases without and with a reader that never reads, in turn.
const PHASES: usize = 4;
/// Below it, a percentile on a busy machine says more of the machine.
const GRAIN: Duration = Duration::from_millis(5);

/// One node on its embedded bus.
struct Stage {
    node: NodeProcess,
    http: reqwest::Client,
    _folder: TempDir,
}

impl Stage {
    async fn start(settings: &[(&'static str, &str)]) -> Stage {
        let folder = scratch();
        let settings: Vec<_> = settings
            .iter()
            .map(|(key, value)| (*key, (*value).to_owned()))
            .collect();
        let node = NodeProcess::start("n0", folder.path(), &settings);
        node.ready().await;
        Stage {
            node,
            http: reqwest::Client::new(),
            _folder: folder,
        }
    }

    fn url(&self) -> String {
        format!("ws://{}/chsk", self.node.address)
    }

    async fn push(&self, to: &str, data: serde_json::Value) {
        let url = format!("http://{}/v1/{to}", self.node.admin);
        let body = json!(["t/n", data]).to_string();
        let answer = self.http.post(url).body(body).send().await;
        let status = answer.expect("the admin port answers").status();
        assert!(status.is_success(), "{status}");
    }

    async fn client(&self, uid: &str) -> Client {
        let cookie = self.node.log_in(uid).await;
        let builder = Client::builder(self.url()).header("cookie", &cookie);
        builder.connect().await.expect("it connects")
    }

    async fn is(&self, metric: &str, expected: u64) {
        eventually(metric, async || self.node.metric(metric).await == expected).await;
    }
}

/// Says hello and never reads again, with as little room in the kernel as it gives.
async fn deaf(address: SocketAddr, cookie: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut stream = socket.connect(address).await.expect("connected");
    let request = format!(
        "GET /chsk HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tengen.v1.json\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.expect("an answer"));
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    let hello = br#"[0,{"client":"deaf","attempt":1}]"#;
    // Masked by nothing: 0 is a mask like any other.
    let mut frame = vec![0x81, 0x80 | hello.len() as u8, 0, 0, 0, 0];
    frame.extend(hello);
    stream.write_all(&frame).await.expect("written");
    assert_eq!(stream.read_u8().await.expect("the hello begins"), 0x81);
    stream
}

/// A reader that is always there and never reads: the next one comes when the node has ended the last.
async fn never_read(address: SocketAddr, cookie: String, stop: Arc<AtomicBool>) {
    let mut readers = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        readers.push(deaf(address, &cookie).await);
        tokio::time::sleep(PACE * 5).await;
    }
}

fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_never_reads_delays_nobody_by_more_than_three_times() {
    let _turn = turns::alone().await;
    let stage = Stage::start(&[]).await;
    let begun = Instant::now();
    let times = Arc::new(Mutex::new(Vec::new()));
    let clients = join_all((0..OTHERS).map(|number| {
        let builder = Client::builder(stage.url()).client_id(format!("c{number}"));
        let builder = EVERY_WAY[number % EVERY_WAY.len()].of(builder);
        async move { builder.connect().await.expect("it connects") }
    }))
    .await;
    for client in &clients {
        let times = Arc::clone(&times);
        let heard = move |event: tengen_client::Event| {
            let (_, sent): (String, u64) = event.to().expect("padding and a time");
            let late = begun.elapsed().saturating_sub(Duration::from_micros(sent));
            times.lock().push(late);
        };
        client.on("t/n", heard).keep();
    }
    let cookie = stage.node.log_in("deaf").await;
    let padding = "x".repeat(1024);
    let large = "x".repeat(200 << 10);
    let mut phases = [Vec::new(), Vec::new()];
    for phase in 0..2 * PHASES {
        let with = phase % 2;
        let stop = Arc::new(AtomicBool::new(false));
        let reader = (with == 1).then(|| {
            let (address, cookie) = (stage.node.address, cookie.clone());
            tokio::spawn(never_read(address, cookie, Arc::clone(&stop)))
        });
        for _ in 0..PUSHES {
            if with == 1 {
                // More than the kernel takes for one that does not read.
                stage.push("send-to-uid/deaf", json!([large, 0])).await;
            }
            let sent = begun.elapsed().as_micros() as u64;
            stage.push("send-to-all", json!([padding, sent])).await;
            tokio::time::sleep(PACE).await;
        }
        eventually("all have heard all", async || {
            times.lock().len() == PUSHES * OTHERS
        })
        .await;
        stop.store(true, Ordering::Relaxed);
        if let Some(reader) = reader {
            reader.await.expect("it does not panic");
        }
        let mut times = std::mem::take(&mut *times.lock());
        phases[with].push(percentile(&mut times, 0.99));
    }
    let [mut without, mut with] = phases;
    let (without, with) = (percentile(&mut without, 0.5), percentile(&mut with, 0.5));
    println!("p99 without a slow reader {without:?}, with one {with:?}");
    assert!(with <= 3 * without.max(GRAIN), "{with:?} > 3 × {without:?}");
    let slow = stage.node.metric("tengen_hub_sessions_slow_total").await;
    assert!(slow > 0, "the reader was never too slow");
    for client in &clients {
        assert!(client.state().borrow().open);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_and_retained_bytes_are_bounded_for_a_session_and_for_a_node() {
    let settings = [
        ("TENGEN_MAX_QUEUE_BYTES", "1MiB"),
        ("TENGEN_NODE_QUEUE_BYTES", "2MiB"),
        ("TENGEN_SESSION_TTL", "1h"),
    ];
    let stage = Stage::start(&settings).await;
    // Detached sessions retain what is pushed to them.
    for uid in ["first", "second", "third"] {
        let cookie = stage.node.log_in(uid).await;
        drop(deaf(stage.node.address, &cookie).await);
    }
    stage.is("tengen_hub_sessions", 3).await;
    let item = "x".repeat(300 << 10);
    for uid in ["first", "second"] {
        for _ in 0..3 {
            stage.push(&format!("send-to-uid/{uid}"), json!(item)).await;
        }
    }
    stage.is("tengen_hub_sessions", 3).await;
    // One more is over the budget of the node: who has been away the longest goes.
    stage.push("send-to-uid/third", json!(item)).await;
    stage
        .is("tengen_hub_sessions_evicted_detached_total", 1)
        .await;
    stage.is("tengen_hub_sessions", 2).await;
    // And one more than a session may have.
    stage.push("send-to-uid/second", json!(item)).await;
    stage.is("tengen_hub_sessions_slow_total", 1).await;
    stage.is("tengen_hub_sessions", 1).await;
    let bytes = stage.node.metric("tengen_hub_queue_bytes").await;
    assert!((item.len() as u64..400 << 10).contains(&bytes), "{bytes}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_without_a_connection_ends_after_its_time_and_its_client_is_told_of_the_gap() {
    let stage = Stage::start(&[("TENGEN_SESSION_TTL", "1s")]).await;
    let proxy = Proxy::start(&[stage.node.address]).await;
    let url = format!("ws://{}/chsk", proxy.address());
    let builder = Client::builder(url).options(|options| options.backoff_cap_ms = 500);
    let client = builder.connect().await.expect("it connects");
    proxy.aim(&[]);
    proxy.links()[0].reset();
    stage.is("tengen_hub_sessions_expired_total", 1).await;
    stage.is("tengen_hub_sessions", 0).await;

    proxy.aim(&[stage.node.address]);
    let mut state = client.state();
    let back = state.wait_for(|state| state.open && state.last_close.is_some());
    let back = soon("it is back", back).await.expect("it lives").clone();
    assert!(back.gap && !back.resumed, "{back:?}");
    stage.is("tengen_hub_sessions_unresumed_total", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_node_refuses_the_next_client_who_comes_when_there_is_room() {
    let stage = Stage::start(&[("TENGEN_MAX_SESSIONS", "2")]).await;
    let first = stage.client("first").await;
    let second = stage.client("second").await;
    let builder = Client::builder(stage.url()).options(|options| options.backoff_cap_ms = 500);
    let third = builder.spawn().expect("good settings");
    eventually("it is refused", async || {
        let refused = stage.node.metric("tengen_hub_hello_refused_full_total");
        refused.await > 0
    })
    .await;
    assert!(!third.state().borrow().open);
    assert!(second.state().borrow().open, "nobody is sent away for it");
    first.close().await;
    let mut state = third.state();
    let open = soon("there is room", state.wait_for(|state| state.open)).await;
    drop(open.expect("it lives"));
    stage.is("tengen_hub_sessions", 2).await;
}
