//! What strangers may send over a raw socket: each fault has its number, and the clients beside it notice nothing.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tengen_node::{Answer, Payload};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cluster::{Cluster, Kind, metric};
use crate::heard::Heard;
use crate::poller::Poller;
use crate::raw::{BINARY, FIN, PING, Raw, Seen, TEXT, frame, header};

/// The head of a handshake for JSON, but for what a test adds.
const HANDSHAKE: &str = "GET /chsk HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

async fn cluster() -> Cluster {
    let echo = async |Payload(value): Payload<Value>| Answer(value);
    Cluster::with(Kind::Local, 1, |builder| builder.on("a/b", echo)).await
}

/// Sends a handshake; returns the answer's head and what follows it.
async fn handshake(address: SocketAddr, headers: &str) -> (String, Raw<TcpStream>) {
    let mut socket = TcpStream::connect(address).await.expect("it listens");
    let request = format!("{HANDSHAKE}{headers}\r\n");
    socket
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = socket.read_u8().await.expect("an answer");
        head.push(byte);
    }
    let head = String::from_utf8(head).expect("a head is text");
    (head, Raw::new(socket, Vec::new()))
}

async fn open(cluster: &Cluster) -> Raw<TcpStream> {
    open_as(cluster, "").await
}

/// A WebSocket of this user (nobody, if empty), for JSON, before its hello.
pub(crate) async fn open_as(cluster: &Cluster, uid: &str) -> Raw<TcpStream> {
    let mut offer = "Sec-WebSocket-Protocol: tengen.v1.json\r\n".to_owned();
    if !uid.is_empty() {
        offer.push_str(&format!("x-uid: {uid}\r\n"));
    }
    let (head, raw) = handshake(cluster.node(0).address, &offer).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    raw
}

/// Lets `offend` happen beside an open client, which then still sends, asks and hears.
async fn beside_a_client(cluster: &Cluster, offend: impl AsyncFnOnce(Raw<TcpStream>)) {
    let bystander = cluster.client(0, Some("bystander")).await;
    let mut heard = Heard::by(&bystander);
    let session = bystander.state().borrow().session.clone();
    offend(open(cluster).await).await;
    let echoed: Value = bystander
        .request("a/b", &json!({"n": 1}))
        .await
        .expect("an answer");
    assert_eq!(echoed, json!({"n": 1}));
    let uid = tengen_protocol::Uid::parse("bystander").expect("a uid");
    cluster
        .node(0)
        .handle()
        .send_to_uid(&uid, "a/push", &7)
        .await
        .expect("pushed");
    assert_eq!(heard.data::<u64>("a/push").await, 7);
    assert_eq!(
        bystander.state().borrow().session,
        session,
        "never reconnected"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_hello_is_closed_after_five_seconds() {
    let cluster = cluster().await;
    beside_a_client(&cluster, async |mut raw| {
        let begun = std::time::Instant::now();
        raw.refused(4408).await;
        let seconds = begun.elapsed().as_secs_f32();
        assert!((4.5..8.0).contains(&seconds), "{seconds} s");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f75_a_malformed_client_id_and_anything_else_before_hello_are_refused() {
    let cluster = cluster().await;
    for first in [
        r#"[0,{"client":"a b","attempt":1}]"#,
        r#"[0,{"attempt":1}]"#,
        r#"[0,{"client":"","attempt":1}]"#,
        r#"[1,"a/b",1]"#,
        "nonsense",
        "[99]",
    ] {
        beside_a_client(&cluster, async |mut raw| {
            raw.send(first).await;
            raw.refused(4500).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_hello_is_refused() {
    let cluster = cluster().await;
    beside_a_client(&cluster, async |mut raw| {
        raw.hello("c", 1).await;
        raw.send(r#"[0,{"client":"c","attempt":2}]"#).await;
        raw.refused(4500).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lower_attempt_is_refused_and_the_current_connection_stays() {
    let cluster = cluster().await;
    beside_a_client(&cluster, async |mut raw| {
        let hello: Value = serde_json::from_str(&raw.hello("c", 9).await).expect("json");
        let session = hello[1]["session"].as_str().expect("a session");
        let mut late = open(&cluster).await;
        late.send(
            &json!([0, {"client": "c", "attempt": 8, "session": session, "received": 0}])
                .to_string(),
        )
        .await;
        late.refused(4505).await;
        raw.send(r#"[2,1,"a/b","on",1000]"#).await;
        assert_eq!(raw.text_that_begins("[3,").await, r#"[3,1,0,"on"]"#);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f74_undecodable_frames_and_unknown_kinds_are_numbered_and_repeated_abuse_closes() {
    let cluster = cluster().await;
    beside_a_client(&cluster, async |mut raw| {
        raw.hello("c", 1).await;
        for bad in ["{", "[77,1]", "[]"] {
            raw.send(bad).await;
            let error = raw.text_that_begins(r#"[1,"chsk/error""#).await;
            assert!(error.contains(r#""code":"#), "{error}");
        }
        for _ in 0..20 {
            raw.send("{").await;
        }
        raw.refused(4506).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f08_event_ids_outside_the_grammar_reserved_and_of_5_kb_are_numbered() {
    let cluster = cluster().await;
    beside_a_client(&cluster, async |mut raw| {
        raw.hello("c", 1).await;
        let long = format!("a/{}", "x".repeat(5_000));
        for (id, code) in [
            ("chsk/x", 4),
            ("plain", 3),
            ("a/b/c", 2),
            ("a/b\\r\\nNats-Msg-Id: 1", 2),
            (&long, 2),
        ] {
            raw.send(&format!(r#"[2,1,"{id}",null,1000]"#)).await;
            let reply = raw.text_that_begins("[3,").await;
            assert!(reply.starts_with(&format!("[3,1,{code},")), "{reply}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f88_a_full_frame_passes_one_byte_more_is_an_error_and_far_more_closes() {
    let cluster = cluster().await;
    beside_a_client(&cluster, async |mut raw| {
        raw.hello("c", 1).await;
        let request = |len: usize| {
            let frame = r#"[2,1,"a/b","",60000]"#;
            frame.replace(r#""""#, &format!(r#""{}""#, "x".repeat(len - frame.len())))
        };
        let max = 512 << 10;
        raw.send(&request(max + 1)).await;
        let reply = raw.text_that_begins("[3,").await;
        assert!(reply.starts_with("[3,1,6,"), "{reply}");
        raw.send(&request(max)).await;
        let reply = raw.text_that_begins("[3,").await;
        assert!(
            reply.starts_with(r#"[3,1,0,"xxx"#),
            "a full frame is answered"
        );
        raw.send_bytes(&header(FIN | BINARY, 1 << 62)).await;
        raw.send_bytes(&[1, 2, 3, 4, 5]).await;
        raw.refused(4500).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breaking_rfc_6455_is_closed_by_its_codes() {
    let cluster = cluster().await;
    for (wire, code) in [
        (vec![FIN | TEXT, 1, b'x'], 1002),
        (frame(FIN | 0x40 | TEXT, b"x"), 1002),
        (frame(PING, b"x"), 1002),
        (frame(FIN | TEXT, b"\xff"), 1007),
    ] {
        beside_a_client(&cluster, async |mut raw| {
            raw.hello("c", 1).await;
            raw.send_bytes(&wire).await;
            raw.closed(code).await;
        })
        .await;
    }
    beside_a_client(&cluster, async |mut raw| {
        raw.hello("c", 1).await;
        raw.send_bytes(&frame(FIN | BINARY, b"\x81\x05")).await;
        raw.refused(4507).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_or_missing_subprotocol_is_refused_before_the_upgrade() {
    let cluster = cluster().await;
    for offer in ["", "Sec-WebSocket-Protocol: mqtt, tengen.v2.json\r\n"] {
        let (head, _) = handshake(cluster.node(0).address, offer).await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        assert!(head.contains("tengen-error: 4507\r\n"), "{head}");
        assert!(head.contains("cache-control: no-store\r\n"), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f49_a_uid_that_is_none_is_refused_and_odd_ones_are_not() {
    let cluster = cluster().await;
    let offer = "Sec-WebSocket-Protocol: tengen.v1.json\r\n";
    for uid in ["%0D%0AX: y", &"u".repeat(257), &"u".repeat(5_000)] {
        let headers = format!("{offer}x-uid: {uid}\r\n");
        let (head, _) = handshake(cluster.node(0).address, &headers).await;
        assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
        assert!(head.contains("tengen-error: 4501\r\n"), "{head}");
    }
    for uid in ["a.b.*.>", "42", "Zoë 🦀", &"u".repeat(256)] {
        let encoded = tengen_protocol::subject::encode_header(uid);
        let headers = format!("{offer}x-uid: {encoded}\r\n");
        let (head, mut raw) = handshake(cluster.node(0).address, &headers).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let hello: Value = serde_json::from_str(&raw.hello("c", 1).await).expect("json");
        assert_eq!(hello[1]["uid"], uid);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f02_f35_one_socket_carries_hello_event_request_push_and_close() {
    let cluster = cluster().await;
    let mut raw = open(&cluster).await;
    raw.send("[5]").await;
    assert_eq!(raw.text().await, "[6]", "a probe, before hello");
    raw.send(r#"[0,{"client":"c","attempt":1}]"#).await;
    assert!(raw.text().await.starts_with("[0,{"), "hello comes first");
    raw.send(r#"[2,5,"a/b",[1,null,"x"],1000]"#).await;
    assert_eq!(raw.text_that_begins("[3,").await, r#"[3,5,0,[1,null,"x"]]"#);
    let pushed = cluster
        .node(0)
        .handle()
        .send_to_anonymous("x/y", &"hi")
        .await;
    pushed.expect("pushed");
    assert_eq!(raw.text_that_begins("[1,").await, r#"[1,"x/y","hi"]"#);
    raw.send_close(1000).await;
    loop {
        match raw.next().await {
            Seen::Text(_) => {}
            Seen::Close(code, _) => break assert_eq!(code, Some(1000)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(raw.next().await, Seen::End);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f25_a_client_that_falls_silent_is_closed_with_ping_timeout() {
    let cluster = cluster().await;
    // Two ends of one promise: a silent client is closed at 35 s, one that answers is not.
    let bystander = cluster.client(0, None).await;
    let mut raw = open(&cluster).await;
    raw.hello("c", 1).await;
    let begun = std::time::Instant::now();
    assert_eq!(raw.text_that_begins("[5").await, "[5]");
    let pinged = begun.elapsed().as_secs_f32();
    assert!((14.5..18.0).contains(&pinged), "{pinged} s");
    raw.refused(4002).await;
    let closed = begun.elapsed().as_secs_f32();
    assert!((34.5..39.0).contains(&closed), "{closed} s");
    assert!(bystander.state().borrow().open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f27_a_client_whose_socket_is_reset_or_half_closed_is_let_go() {
    let cluster = cluster().await;
    beside_a_client(&cluster, async |mut raw| {
        raw.hello("c", 1).await;
        raw.socket().shutdown().await.expect("shut down");
        assert_eq!(raw.next().await, Seen::End);
    })
    .await;
    beside_a_client(&cluster, async |mut raw| {
        raw.hello("c", 1).await;
        raw.socket()
            .set_zero_linger()
            .expect("a reset instead of a close");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_send_and_is_refused_is_counted_on_both_transports() {
    let cluster = cluster().await;
    let faults = async || metric(&cluster, 0, "tengen_edge_faults_total").await;
    let hellos = async || metric(&cluster, 0, "tengen_edge_hellos_refused_total").await;
    let before = (faults().await, hellos().await);

    let mut raw = open(&cluster).await;
    raw.send(r#"[0,{"client":"a b","attempt":1}]"#).await;
    raw.refused(4500).await;
    let hello_refused = (before.0, before.1 + 1);
    assert_eq!((faults().await, hellos().await), hello_refused);

    let mut raw = open(&cluster).await;
    raw.hello("c", 1).await;
    // An event's id, text that is no frame, an ack without a number; good ones do not count.
    for frame in [r#"[1,"a"]"#, "nonsense", r#"[4,"many"]"#, r#"[1,"a/b"]"#] {
        raw.send(frame).await;
    }
    // An ack of what was never sent ends the session.
    raw.send("[4,1000]").await;
    raw.refused(4500).await;
    assert_eq!(faults().await, before.0 + 4);

    let poller = Poller::open(&cluster, 0, None).await;
    let bodies = [r#"[1,"a"]"#, "nonsense", r#"[1,"a/b"]"#];
    for (first, body) in (1..).zip(bodies) {
        let answer = poller.post_at(0, first, body).await;
        assert_eq!(answer.frames()[0][1], first);
    }
    assert_eq!(faults().await, before.0 + 6);
    assert_eq!(hellos().await, before.1 + 1);
}
