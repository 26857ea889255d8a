//! What items may weigh, what they cost on the wire, and from which address they come.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_bytes::ByteBuf;
use tengen_client::{Client, ErrorCode};
use tengen_node::{Answer, Event, Payload};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket};

use crate::cluster::Cluster;
use crate::each_way;
use crate::heard::Heard;
use crate::way::Way;

each_way!(
    f72_bytes_travel_both_ways_unchanged,
    f88_items_up_to_max_bytes_pass_both_ways_and_one_byte_more_is_an_error,
    f102_a_client_whose_address_changes_keeps_receiving,
    f106_a_hundred_pushes_cost_at_most_a_fifth_more_than_they_weigh,
);

async fn f72_bytes_travel_both_ways_unchanged(way: Way) {
    let cluster = Cluster::with(way, 1, |node| {
        node.on("test/echo", async |Payload(bytes): Payload<ByteBuf>| {
            Answer(bytes)
        })
    })
    .await;
    let client = cluster.client(0, Some("alice")).await;
    let mut heard = Heard::by(&client);
    let handle = cluster.node(0).handle();
    for length in [0, 1, 255, 256, 100_000] {
        let bytes: Vec<u8> = (0..length).map(|n| (n * 7 % 256) as u8).collect();
        let bytes = ByteBuf::from(bytes);
        let echoed = client.request::<ByteBuf>("test/echo", &bytes).await;
        assert_eq!(echoed.as_ref(), Ok(&bytes));
        let pushed = handle.send_to_uid("alice", "t/bytes", &bytes).await;
        pushed.expect("accepted");
        assert_eq!(heard.data::<ByteBuf>("t/bytes").await, bytes);
    }
}

/// The largest text that fits into an event or request `test/echo` of the client's codec.
fn most(client: &Client, around: usize) -> String {
    let head = match client.codec() {
        // A text's head of five bytes.
        tengen_client::Codec::Cbor => 5,
        tengen_client::Codec::Json => 2,
    };
    "x".repeat((512 << 10) - around - head)
}

async fn f88_items_up_to_max_bytes_pass_both_ways_and_one_byte_more_is_an_error(way: Way) {
    let cluster = Cluster::with(way, 1, |node| {
        node.on("test/echo", async |Payload(text): Payload<String>| {
            Answer(text.len())
        })
    })
    .await;
    let client = cluster.client(0, Some("alice")).await;
    let mut heard = Heard::by(&client);

    // `[1, "test/echo", …]` without its data.
    let around = match client.codec() {
        tengen_client::Codec::Cbor => 1 + 1 + 10,
        tengen_client::Codec::Json => r#"[1,"test/echo",]"#.len(),
    };
    let text = most(&client, around);
    client.send("test/echo", &text).await.expect("it fits");
    let failure = client.send("test/echo", &format!("{text}x")).await;
    let failure = failure.expect_err("one byte more");
    assert_eq!(
        (failure.refusal.map(|refusal| refusal.code), failure.sent),
        (Some(ErrorCode::TOO_LARGE), false)
    );
    let asked = "x".repeat((512 << 10) - 64);
    assert_eq!(
        client.request("test/echo", &asked).await,
        Ok((512 << 10) - 64)
    );

    let handle = cluster.node(0).handle();
    // As an event on the bus: the frame is two bytes longer.
    let largest = "x".repeat((512 << 10) - 64);
    let pushed = handle.send_to_uid("alice", "t/large", &largest).await;
    pushed.expect("it fits");
    assert_eq!(heard.data::<String>("t/large").await, largest);
    let pushed = handle.send_to_uid("alice", "t/large", &"x".repeat(512 << 10));
    assert!(pushed.await.is_err(), "too large");
    assert_eq!(client.request("test/echo", "still").await, Ok(5));
    let state = client.state().borrow().clone();
    assert!(state.open && state.last_close.is_none(), "{state:?}");
}

/// Passes connections on, each from a source address of its own: 127.0.0.2, 127.0.0.3, ….
async fn from_other_addresses(target: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let last = Arc::new(AtomicU8::new(1));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let last = Arc::clone(&last);
            tokio::spawn(async move {
                let host = last.fetch_add(1, Ordering::Relaxed) + 1;
                let socket = TcpSocket::new_v4().expect("a socket");
                let source = SocketAddr::from(([127, 0, 0, host], 0));
                socket.bind(source).expect("an address of this machine");
                let mut server = socket.connect(target).await.expect("it listens");
                // Either end may go first.
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    address
}

async fn f102_a_client_whose_address_changes_keeps_receiving(way: Way) {
    let cluster = Cluster::with(way, 1, |node| {
        node.on("test/where", async |event: Event| {
            Answer(event.peer().ip().to_string())
        })
    })
    .await;
    let roaming = from_other_addresses(cluster.node(0).address).await;
    let client = way.client(&way.url(roaming)).header("x-uid", "alice");
    let client = client.connect().await.expect("it connects");
    let mut heard = Heard::by(&client);
    let session = client.state().borrow().session.clone();
    let handle = cluster.node(0).handle();
    let mut places = Vec::new();
    for n in 0..5_u64 {
        let place = client.request::<String>("test/where", &()).await;
        places.push(place.expect("an answer"));
        let pushed = handle.send_to_uid("alice", "t/n", &n).await;
        pushed.expect("accepted");
        client.break_connection(true).await.expect("it lives");
    }
    for n in 0..5 {
        assert_eq!(heard.data::<u64>("t/n").await, n);
    }
    places.dedup();
    assert_eq!(places.len(), 5, "{places:?}");
    assert_eq!(client.state().borrow().session, session);
}

async fn f106_a_hundred_pushes_cost_at_most_a_fifth_more_than_they_weigh(way: Way) {
    let cluster = Cluster::start(way, 1).await;
    let proxy = cluster.proxy(&[0]).await;
    let client = cluster.through(&proxy, Some("alice"));
    let client = client.connect().await.expect("it connects");
    let mut heard = Heard::by(&client);
    let handle = cluster.node(0).handle();
    let text = "x".repeat(100);
    let event = ("t/news", &text);
    let payload = tengen_client::Data::from(way.codec, &event).expect("a value");
    let payload = payload.bytes().len() as u64 * 100;
    let mut least = u64::MAX;
    // A busy machine may stop the loop in its middle; it does not do so every time.
    for _ in 0..10 {
        let links = proxy.links();
        let passed = || links.iter().map(|link| link.passed().1).sum::<u64>();
        let before = passed();
        for _ in 0..100 {
            let pushed = handle.send_to_uid("alice", "t/news", &text);
            pushed.try_send().expect("taken");
        }
        for _ in 0..100 {
            assert_eq!(heard.data::<String>("t/news").await, text);
        }
        if proxy.links().len() != links.len() {
            // A connection came or went, and its bytes with it.
            continue;
        }
        least = least.min(passed() - before);
        if least <= payload * 12 / 10 {
            return;
        }
    }
    panic!("{least} bytes for {payload}");
}
