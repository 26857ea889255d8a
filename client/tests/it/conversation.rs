//! Events, requests, replies and how each promise ends.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tengen_client::{Codec, Data, ErrorCode, Failure, FailureKind, Refusal};
use tengen_protocol::ClientFrame;
use tokio::sync::mpsc;

use crate::server::{Peer, Server, soon, until};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    name: String,
    count: u64,
    price: f64,
    tags: Vec<Option<i32>>,
}

fn order() -> Order {
    Order {
        name: "tea ☕".to_owned(),
        count: 1 << 60,
        price: 1.5,
        tags: vec![Some(-1), None],
    }
}

/// The ref of the next item, which is a request.
async fn request(peer: &mut Peer) -> u32 {
    match peer.item().await {
        ClientFrame::Request { request, .. } => request,
        other => panic!("{other:?} is no request"),
    }
}

#[tokio::test]
async fn f02_an_event_reaches_the_server_and_a_push_the_handler_in_both_codecs() {
    for codec in [Codec::Cbor, Codec::Json] {
        let server = Server::start().await;
        let (client, mut peer) = server.open(server.client().codec(codec)).await;
        let (sender, mut pushed) = mpsc::unbounded_channel();
        let _on = client.on("shop/order", move |event| {
            sender.send(event.to::<Order>().unwrap()).unwrap();
        });
        let sent = client.send("shop/order", &order()).queue().await.unwrap();
        let ClientFrame::Event { id, data } = peer.item().await else {
            panic!("no event")
        };
        assert_eq!(
            (id.as_str(), data.to::<Order>().unwrap()),
            ("shop/order", order())
        );
        peer.ack(1, 0).await;
        soon(sent).await.unwrap();
        peer.push("shop/order", &order()).await;
        assert_eq!(soon(pushed.recv()).await, Some(order()));
    }
}

#[tokio::test]
async fn f05_request_gets_an_equal_value_exactly_once() {
    for codec in [Codec::Cbor, Codec::Json] {
        let server = Server::start().await;
        let (client, mut peer) = server.open(server.client().codec(codec)).await;
        let asked = client
            .request::<Order>("shop/echo", &order())
            .queue()
            .await
            .unwrap();
        let ClientFrame::Request {
            request,
            data,
            timeout_ms,
            ..
        } = peer.item().await
        else {
            panic!("no request")
        };
        assert_eq!(timeout_ms, 30_000);
        peer.reply(request, Ok(data)).await;
        // A second answer finds nobody waiting and harms nothing.
        peer.reply(request, Ok(Data::null(codec))).await;
        assert_eq!(soon(asked).await.unwrap(), order());
        assert!(client.state().borrow().open);
    }
}

#[tokio::test]
async fn f20_null_and_false_are_successes_and_errors_are_told_apart() {
    let server = Server::start().await;
    let (client, mut peer) = server.open(server.client()).await;
    let cbor = |value: &Option<bool>| Data::from(Codec::Cbor, value).unwrap();

    for value in [None, Some(false)] {
        let asked = client
            .request::<Option<bool>>("a/b", &())
            .queue()
            .await
            .unwrap();
        let request = request(&mut peer).await;
        peer.reply(request, Ok(cbor(&value))).await;
        assert_eq!(soon(asked).await.unwrap(), value);
    }
    for (code, kind) in [
        (ErrorCode::NO_HANDLER, FailureKind::NoHandler),
        (ErrorCode::TIMEOUT, FailureKind::Timeout),
        (ErrorCode::CLOSED, FailureKind::Closed),
        (ErrorCode::HANDLER_FAILED, FailureKind::Error),
        (ErrorCode(1234), FailureKind::Application),
    ] {
        let asked = client.request::<()>("a/b", &()).queue().await.unwrap();
        let request = request(&mut peer).await;
        peer.reply(request, Err(Refusal::new(code, "because")))
            .await;
        let failure = soon(asked).await.unwrap_err();
        assert_eq!((failure.kind, failure.sent), (kind, true));
        assert_eq!(failure.refusal, Some(Refusal::new(code, "because")));
    }
    // A reply of another shape than was asked for is an error of its own.
    let asked = client.request::<String>("a/b", &()).queue().await.unwrap();
    let request = request(&mut peer).await;
    peer.reply(request, Ok(cbor(&Some(true)))).await;
    assert_eq!(soon(asked).await.unwrap_err().kind, FailureKind::Error);
}

#[tokio::test]
async fn f17_a_sent_request_times_out_in_time_and_a_late_reply_is_ignored() {
    let server = Server::start().await;
    let (client, mut peer) = server.open(server.client()).await;
    let mut late = Vec::new();
    // What is late by itself is late every time; a busy machine is not.
    while late.len() < 5 && !late.iter().any(|late| *late < Duration::from_millis(250)) {
        let begin = Instant::now();
        let asked = client
            .request::<u8>("a/b", &())
            .timeout(Duration::from_millis(400));
        let asked = asked.queue().await.unwrap();
        let ClientFrame::Request {
            request,
            timeout_ms,
            ..
        } = peer.item().await
        else {
            panic!()
        };
        assert_eq!(timeout_ms, 400);
        let failure = soon(asked).await.unwrap_err();
        assert_eq!((failure.kind, failure.sent), (FailureKind::Timeout, true));
        late.push(begin.elapsed().abs_diff(Duration::from_millis(400)));
        peer.reply(request, Ok(Data::null(Codec::Cbor))).await;
    }
    let last = late.last().unwrap();
    assert!(*last < Duration::from_millis(250), "{late:?} off");

    let asked = client.request::<u8>("a/b", &()).queue().await.unwrap();
    let request = super::conversation::request(&mut peer).await;
    peer.reply(request, Ok(Data::from(Codec::Cbor, &7).unwrap()))
        .await;
    assert_eq!(soon(asked).await.unwrap(), 7);
}

#[tokio::test]
async fn f17_a_request_never_sent_by_its_deadline_is_closed_and_safe_to_repeat() {
    let server = Server::start().await;
    let client = server.client().spawn().unwrap();
    let asked = client
        .request::<u8>("a/b", &1)
        .timeout(Duration::from_millis(150));
    let sent = client.send("a/c", &1).deadline(Duration::from_millis(150));
    let (asked, sent) = (asked.queue().await.unwrap(), sent.queue().await.unwrap());
    let closed = Failure {
        kind: FailureKind::Closed,
        sent: false,
        refusal: None,
    };
    let failure = soon(asked).await.unwrap_err();
    assert_eq!((failure.kind, failure.sent), (closed.kind, closed.sent));
    let failure = soon(sent).await.unwrap_err();
    assert_eq!((failure.kind, failure.sent), (closed.kind, closed.sent));
    // The connection comes up after all: what was withdrawn is not sent.
    let mut peer = server.greeted().await;
    assert!(peer.hears_nothing(Duration::from_millis(200)).await);
}

#[tokio::test]
async fn f18_unbuffered_fails_at_once_while_buffered_waits_for_the_connection() {
    let server = Server::start().await;
    let client = server.client().spawn().unwrap();
    let failure = soon(client.send("a/now", &1).buffered(false).into_future())
        .await
        .unwrap_err();
    assert_eq!((failure.kind, failure.sent), (FailureKind::Closed, false));
    let asked = client.request::<u8>("a/now", &1).buffered(false);
    assert!(!soon(asked.into_future()).await.unwrap_err().sent);
    let sent = client.send("a/later", &1).queue().await.unwrap();
    let mut peer = server.greeted().await;
    let ClientFrame::Event { id, .. } = peer.item().await else {
        panic!("no event")
    };
    assert_eq!(id.as_str(), "a/later");
    peer.ack(1, 0).await;
    soon(sent).await.unwrap();
}

#[tokio::test]
async fn f19_every_pending_promise_ends_when_the_session_is_lost() {
    let server = Server::start().await;
    let (client, mut peer) = server.open(server.client()).await;
    let asked = client.request::<u8>("a/b", &1).queue().await.unwrap();
    let sent = client.send("a/c", &1).queue().await.unwrap();
    peer.item().await;
    peer.item().await;
    drop(peer);
    let mut peer = server.accept().await;
    peer.greet(|hello| (hello.resumed, hello.gap) = (false, true))
        .await;
    for failure in [
        soon(asked).await.unwrap_err(),
        soon(sent).await.unwrap_err(),
    ] {
        assert_eq!((failure.kind, failure.sent), (FailureKind::Closed, true));
    }
    let state = until(&client, |state| state.open).await;
    assert!(state.gap && !state.resumed);
}

#[tokio::test]
async fn f21_every_deadline_is_defined() {
    let server = Server::start().await;
    let (client, mut peer) = server.open(server.client()).await;
    let day = 24 * 60 * 60 * 1000;
    for (timeout, expected) in [
        (None, 30_000),
        (Some(Duration::ZERO), 30_000),
        (Some(Duration::from_nanos(1)), 1),
        (Some(Duration::from_secs(1_000_000_000)), day),
        (Some(Duration::MAX), day),
    ] {
        let mut asking = client.request::<u8>("a/b", &());
        if let Some(timeout) = timeout {
            asking = asking.timeout(timeout);
        }
        let asked = asking.queue().await.unwrap();
        let ClientFrame::Request { timeout_ms, .. } = peer.item().await else {
            panic!()
        };
        assert_eq!(timeout_ms, expected, "{timeout:?}");
        drop(asked);
    }
}

#[tokio::test]
async fn f26_a_hundred_events_in_a_tight_loop_arrive_once_each_in_order() {
    let server = Server::start().await;
    let (client, mut peer) = server.open(server.client()).await;
    let mut pending = Vec::new();
    for number in 0..100_u32 {
        pending.push(client.send("a/b", &number).queue().await.unwrap());
    }
    for number in 0..100_u32 {
        let ClientFrame::Event { data, .. } = peer.item().await else {
            panic!("no event")
        };
        assert_eq!(data.to::<u32>().unwrap(), number);
    }
    peer.ack(100, 0).await;
    for sent in pending {
        soon(sent).await.unwrap();
    }
}

#[tokio::test]
async fn f08_items_that_cannot_be_sent_are_refused_before_anything_is_written() {
    let server = Server::start().await;
    let (client, mut peer) = server.open(server.client()).await;
    let long = format!("a/{}", "x".repeat(5_000));
    for (id, code) in [
        ("", ErrorCode::NO_NAMESPACE),
        ("plain", ErrorCode::NO_NAMESPACE),
        ("a/b/c", ErrorCode::BAD_ID),
        ("a/b\r\n", ErrorCode::BAD_ID),
        (&long, ErrorCode::BAD_ID),
        ("chsk/ping", ErrorCode::RESERVED),
    ] {
        let failure = client.send(id, &()).await.unwrap_err();
        assert_eq!(
            (failure.kind, failure.sent),
            (FailureKind::Error, false),
            "{id:.20}"
        );
        assert_eq!(failure.refusal.unwrap().code, code, "{id:.20}");
        assert!(client.request::<()>(id, &()).await.is_err());
        assert!(client.inject(id, &()).await.is_err());
    }
    let huge = "x".repeat(600 << 10);
    let failure = soon(client.send("a/b", &huge).into_future())
        .await
        .unwrap_err();
    assert_eq!(failure.refusal.unwrap().code, ErrorCode::TOO_LARGE);
    assert!(peer.hears_nothing(Duration::from_millis(100)).await);
}

#[tokio::test]
async fn f88_half_a_megabyte_goes_both_ways() {
    for codec in [Codec::Cbor, Codec::Json] {
        let server = Server::start().await;
        let (client, mut peer) = server.open(server.client().codec(codec)).await;
        let mut events = client.events();
        let large = "y".repeat(511 << 10);
        let sent = client.send("a/b", &large).queue().await.unwrap();
        let ClientFrame::Event { data, .. } = peer.item().await else {
            panic!("no event")
        };
        assert_eq!(data.to::<String>().unwrap(), large);
        peer.ack(1, 0).await;
        soon(sent).await.unwrap();
        peer.push("a/b", &large).await;
        let event = loop {
            let event = soon(events.recv()).await.unwrap();
            if event.id.as_str() == "a/b" {
                break event;
            }
        };
        assert_eq!(event.data.to::<String>().unwrap(), large);
    }
}

#[tokio::test]
async fn many_items_are_acknowledged_and_counted() {
    let server = Server::start().await;
    let (_client, mut peer) = server.open(server.client()).await;
    for number in 0..40_u32 {
        peer.push("a/b", &number).await;
    }
    let ClientFrame::Ack { received } = peer.next().await else {
        panic!("no ack")
    };
    assert_eq!(received, 32);
    let ClientFrame::Ack { received } = peer.next().await else {
        panic!("no ack")
    };
    assert_eq!(received, 40);
}
