//! What is lost is told: a bus that goes away, an ingest that cannot keep up, a client that does not read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tengen_client::Client;
use tengen_node::PushError;

use crate::cluster::{Cluster, Kind, Net, eventually, metric};
use crate::heard::Heard;

const BURST: usize = 200_000;

/// Publishes as fast as the library takes it, a message for each push of 128 bytes.
async fn burst(url: &str, subject: impl Fn(usize) -> String) {
    let publisher = async_nats::connect(url).await.expect("connected");
    let padding = "x".repeat(113);
    for n in 0..BURST {
        let body = format!(r#"["t/n",["{padding}",{n}]]"#);
        publisher
            .publish(subject(n), body.into())
            .await
            .expect("published");
    }
    publisher.flush().await.expect("flushed");
}

/// Counts what arrives, and how much of it is not the number that should be next.
#[derive(Default)]
struct Ledger {
    arrived: AtomicUsize,
    wrong: AtomicUsize,
}

impl Ledger {
    /// Expects `first`, `first + step`, ….
    fn of(client: &Client, first: usize, step: usize) -> Arc<Ledger> {
        let ledger = Arc::<Ledger>::default();
        let count = Arc::clone(&ledger);
        client
            .on_any(move |event| {
                if event.id().as_str() != "t/n" {
                    return;
                }
                let expect = first + step * count.arrived.fetch_add(1, Ordering::Relaxed);
                let (_, number): (String, usize) = event.to().expect("padding and a number");
                if number != expect {
                    count.wrong.fetch_add(1, Ordering::Relaxed);
                }
            })
            .keep();
        ledger
    }

    fn arrived(&self) -> usize {
        self.arrived.load(Ordering::Relaxed)
    }

    fn wrong(&self) -> usize {
        self.wrong.load(Ordering::Relaxed)
    }
}

/// Waits as long as something still arrives.
async fn arrive(ledgers: &[Arc<Ledger>], expect: usize) {
    let sum = || ledgers.iter().map(|ledger| ledger.arrived()).sum::<usize>();
    while sum() < expect {
        let before = sum();
        eventually("more arrives", async || sum() > before).await;
    }
    assert_eq!(sum(), expect);
    assert_eq!(
        ledgers.iter().map(|ledger| ledger.wrong()).sum::<usize>(),
        0,
        "out of order, lost or twice"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_200_000_unbatched_pushes_over_1_000_users_arrives_whole() {
    let cluster = Cluster::start(Kind::Nats, 1).await;
    let mut clients = Vec::new();
    let mut ledgers = Vec::new();
    for user in 0..1000 {
        let client = cluster.client(0, Some(&format!("user{user}"))).await;
        ledgers.push(Ledger::of(&client, user, 1000));
        clients.push(client);
    }
    burst(&cluster.net.nats().url(), |n| {
        format!("tengen.send-to.uid.user{}", n % 1000)
    })
    .await;
    arrive(&ledgers, BURST).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_to_one_user_arrives_whole_when_its_queue_may_hold_it() {
    let cluster = Cluster::with(Kind::Nats, 1, |builder| {
        builder.settings(|config| config.max_queue_bytes = tengen_node::config::Bytes(64 << 20))
    })
    .await;
    let alice = cluster.client(0, Some("alice")).await;
    let ledger = [Ledger::of(&alice, 0, 1)];
    burst(&cluster.net.nats().url(), |_| {
        "tengen.send-to.uid.alice".to_owned()
    })
    .await;
    arrive(&ledger, BURST).await;
}

/// A client that says hello and never reads again.
async fn deaf(cluster: &Cluster, uid: &str) -> impl Sized {
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;

    let mut request = cluster.node(0).url().into_client_request().expect("a url");
    let headers = request.headers_mut();
    headers.insert(
        "Sec-WebSocket-Protocol",
        "tengen.v1.json".parse().expect("a header"),
    );
    headers.insert("x-uid", uid.parse().expect("a header"));
    let stream = tokio::net::TcpStream::connect(cluster.node(0).address)
        .await
        .expect("connected");
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream)
        .await
        .expect("upgraded");
    let hello = Message::text(r#"[0,{"client":"deaf","attempt":1}]"#);
    futures_util::SinkExt::send(&mut socket, hello)
        .await
        .expect("sent");
    futures_util::StreamExt::next(&mut socket)
        .await
        .expect("a hello")
        .expect("a hello");
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_to_a_client_that_does_not_read_ends_it_alone() {
    let cluster = Cluster::start(Kind::Nats, 1).await;
    let _deaf = deaf(&cluster, "alice").await;
    let mut clients = Vec::new();
    let mut ledgers = Vec::new();
    for user in 0..20 {
        let client = cluster.client(0, Some(&format!("user{user}"))).await;
        ledgers.push(Ledger::of(&client, user, 1000));
        clients.push(client);
    }
    burst(&cluster.net.nats().url(), |n| match n % 1000 {
        0..20 => format!("tengen.send-to.uid.user{}", n % 1000),
        _ => "tengen.send-to.uid.alice".to_owned(),
    })
    .await;
    arrive(&ledgers, BURST / 1000 * 20).await;
    for client in &clients {
        assert!(client.state().borrow().open);
    }
    eventually("one slow session", async || {
        metric(&cluster, 0, "tengen_hub_sessions_slow_total").await == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_fails_pushes_at_once_and_is_told_as_a_gap_after_it() {
    let mut cluster = Cluster::start(Kind::Nats, 1).await;
    let alice = cluster.client(0, Some("alice")).await;
    let mut heard = Heard::by(&alice);
    let handle = cluster.node(0).handle();
    handle
        .send_to_uid("alice", "t/before", &1)
        .await
        .expect("accepted");
    assert_eq!(heard.data::<u64>("t/before").await, 1);

    let Net::Nats(server) = &mut cluster.net else {
        unreachable!("on NATS")
    };
    server.stop();
    eventually("the node is not ready", async || {
        cluster.node(0).node.ready().await.is_err()
    })
    .await;
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        let down = handle.send_to_uid("alice", "t/lost", &2).await;
        assert_eq!(down, Err(PushError::BusDown));
        quickest = quickest.min(begun.elapsed());
    }
    // A node that waits for something does so every time; a busy machine does not.
    assert!(quickest < Duration::from_millis(500), "{quickest:?}");
    assert!(alice.state().borrow().open, "the client stays connected");

    let Net::Nats(server) = &mut cluster.net else {
        unreachable!("on NATS")
    };
    server.start_again().await;
    cluster.ready(0).await;
    handle
        .send_to_uid("alice", "t/after", &3)
        .await
        .expect("accepted");
    let (gap, data) = heard.next().await;
    assert_eq!(gap, "chsk/gap");
    assert_eq!(
        data.to::<serde_json::Value>().expect("a map")["reason"],
        "bus-down"
    );
    // The refused push left a hole in its publisher's numbers. Where the first gap was written
    // already when the hole is seen, that is a second one.
    let (next, data) = loop {
        let (next, data) = heard.next().await;
        if next != "chsk/gap" {
            break (next, data);
        }
    };
    assert_eq!((next.as_str(), data.to::<u64>()), ("t/after", Ok(3)));
}
