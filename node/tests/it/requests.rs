//! Requests over real sockets: equal answers, once; errors that cannot be confused; deadlines.

use std::time::{Duration, Instant};

use serde_bytes::ByteBuf;
use serde_json::{Value, json};
use tengen_client::{FailureKind, Streamed};
use tengen_node::{Answer, AppError, NodeBuilder, Payload, Reply};
use tengen_protocol::{Data, ErrorCode, EventId};
use tokio::sync::mpsc;

use crate::cluster::{Cluster, soon};
use crate::each_way;
use crate::way::Way;

each_way!(
    f04_an_event_needs_no_reply_and_a_request_gets_one,
    f05_f72_request_gets_an_equal_value_exactly_once,
    f08_f14_what_a_client_may_not_send_is_told_and_reaches_nobody,
    f10b_outcomes_of_a_request_cannot_be_confused,
    f17_f21_deadlines_are_the_callers,
);

/// A cluster of one node, and a client of it.
async fn one(way: Way, change: impl Fn(NodeBuilder) -> NodeBuilder) -> Cluster {
    Cluster::with(way, 1, change).await
}

async fn f04_an_event_needs_no_reply_and_a_request_gets_one(way: Way) {
    let (tell, mut told) = mpsc::unbounded_channel();
    let cluster = one(way, |node| {
        let tell = tell.clone();
        node.on(
            "test/maybe",
            move |reply: Option<Reply>, Payload(n): Payload<u32>| {
                let _ = tell.send((n, reply.is_some()));
                async move {
                    if let Some(reply) = reply {
                        let _ = reply.answer(&(n * 2));
                    }
                }
            },
        )
    })
    .await;
    let client = cluster.client(0, Some("alice")).await;
    client
        .send("test/maybe", &1)
        .await
        .expect("it is acknowledged");
    assert_eq!(client.request::<u32>("test/maybe", &2).await, Ok(4));
    assert_eq!(told.recv().await, Some((1, false)));
    assert_eq!(told.recv().await, Some((2, true)));
}

async fn f05_f72_request_gets_an_equal_value_exactly_once(way: Way) {
    let cluster = one(way, |node| {
        node.on("test/typed", async |Payload(value): Payload<Value>| {
            Answer(value)
        })
        .on("test/raw", async |value: Data| value)
        .on("test/bytes", async |Payload(bytes): Payload<ByteBuf>| {
            Answer(bytes)
        })
    })
    .await;
    let bytes = ByteBuf::from((0..=255).collect::<Vec<u8>>());
    let client = cluster.client(0, None).await;
    for value in [
        json!(null),
        json!(false),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(0.5),
        json!("Zoë 🦀 \u{0} \""),
        json!([[], {}, [[null]]]),
        json!({"": 1, "$bytes": "no bytes", "nested": {"list": [1, "2"]}}),
    ] {
        for id in ["test/typed", "test/raw"] {
            assert_eq!(
                client.request::<Value>(id, &value).await,
                Ok(value.clone()),
                "{id}"
            );
        }
    }
    for id in ["test/bytes", "test/raw"] {
        assert_eq!(
            client.request::<ByteBuf>(id, &bytes).await,
            Ok(bytes.clone())
        );
    }
}

async fn f08_f14_what_a_client_may_not_send_is_told_and_reaches_nobody(way: Way) {
    let cluster = one(way, |node| {
        node.on_any(async |id: EventId| Answer(id.to_string()))
    })
    .await;
    let bus = cluster.service().await;
    let mut seen = bus
        .subscribe("tengen.>", Default::default())
        .await
        .expect("it subscribes");
    let client = cluster.client(0, Some("alice")).await;
    for (id, code) in [
        ("no-namespace", ErrorCode::NO_NAMESPACE),
        ("a/b/c", ErrorCode::BAD_ID),
        ("a/", ErrorCode::BAD_ID),
        ("ä/b", ErrorCode::BAD_ID),
        ("chsk/handshake", ErrorCode::RESERVED),
    ] {
        let failure = client.request::<Value>(id, &()).await.expect_err(id);
        assert_eq!(
            failure.refusal.map(|refusal| refusal.code),
            Some(code),
            "{id}"
        );
        assert!(!failure.sent, "{id}");
    }
    // Legal ids of every kind of character arrive as they are, and in no other's place.
    for id in ["a.b/c.d", "A-Z_09/x#y?z!", "a.b/c", "a/b.c"] {
        assert_eq!(client.request::<String>(id, &()).await.as_deref(), Ok(id));
    }
    bus.publish(tengen_bus::Publish::new("tengen.test.end", ""))
        .await
        .expect("the bus is up");
    loop {
        let delivery = soon("the end", seen.recv()).await.expect("the bus is up");
        let tengen_bus::Delivery::Message(message) = delivery else {
            continue;
        };
        let subject = message.subject.to_string();
        assert!(
            !subject.starts_with("tengen.request") && !subject.starts_with("tengen.event"),
            "{subject}"
        );
        if subject == "tengen.test.end" {
            break;
        }
    }
}

async fn f10b_outcomes_of_a_request_cannot_be_confused(way: Way) {
    let (keep, mut kept) = mpsc::unbounded_channel::<Reply>();
    let cluster = one(way, |node| {
        let keep = keep.clone();
        node.on("test/value", async || {
            Answer(json!({"code": 11, "message": "timeout"}))
        })
        .on("test/null", async || Answer(None::<u8>))
        .on("test/false", async || Answer(false))
        .on("test/app", async || {
            Err::<Answer<()>, _>(AppError::new(1404, "no such order"))
        })
        .on("test/dropped", async |reply: Reply| drop(reply))
        .on("test/later", move |reply: Reply| {
            let _ = keep.send(reply);
            async {}
        })
    })
    .await;
    let client = cluster.client(0, Some("alice")).await;
    let ask = async |id: &str| client.request::<Value>(id, &()).await;
    assert_eq!(
        ask("test/value").await,
        Ok(json!({"code": 11, "message": "timeout"}))
    );
    assert_eq!(ask("test/null").await, Ok(Value::Null));
    assert_eq!(ask("test/false").await, Ok(json!(false)));
    let failure = ask("test/app").await.expect_err("an error");
    assert_eq!(
        (failure.kind, failure.sent),
        (FailureKind::Application, true)
    );
    assert_eq!(
        failure
            .refusal
            .map(|refusal| (refusal.code, refusal.message)),
        Some((ErrorCode(1404), "no such order".into()))
    );
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        let failure = ask("test/dropped").await.expect_err("an error");
        assert_eq!(failure.kind, FailureKind::Error);
        assert_eq!(
            failure.refusal.map(|refusal| refusal.code),
            Some(ErrorCode::HANDLER_FAILED)
        );
        quickest = quickest.min(begun.elapsed());
    }
    assert!(quickest < Duration::from_secs(1), "at once");
    let failure = ask("test/nobody").await.expect_err("an error");
    assert_eq!(failure.kind, FailureKind::NoHandler);

    let pending = client
        .request::<String>("test/later", &())
        .queue()
        .await
        .expect("it is sent");
    let reply = soon("the handler", kept.recv())
        .await
        .expect("the handler ran");
    // Other items of the session go on meanwhile.
    assert_eq!(ask("test/false").await, Ok(json!(false)));
    tokio::task::spawn_blocking(move || reply.answer("from a thread"))
        .await
        .expect("the thread ends")
        .expect("the caller waits");
    assert_eq!(pending.await.as_deref(), Ok("from a thread"));
}

async fn f17_f21_deadlines_are_the_callers(way: Way) {
    let (keep, mut kept) = mpsc::unbounded_channel::<Reply>();
    let cluster = one(way, |node| {
        let keep = keep.clone();
        node.on("test/hang", async || {
            std::future::pending::<()>().await;
            Answer(())
        })
        .on("test/later", move |reply: Reply| {
            let _ = keep.send(reply);
            async {}
        })
        .on("test/quick", async || Answer("quick"))
    })
    .await;
    let client = cluster.client(0, Some("alice")).await;
    let mut stream = client.events();
    for id in ["test/hang", "test/later"] {
        let mut took = Vec::new();
        // What is late by itself is late every time; a busy machine is not.
        while took.len() < 5 && !took.iter().any(|took| *took < Duration::from_millis(550)) {
            let begun = Instant::now();
            let asked = client
                .request::<Value>(id, &())
                .timeout(Duration::from_millis(300));
            let failure = asked.await.expect_err("nobody answers");
            assert_eq!(
                (failure.kind, failure.sent),
                (FailureKind::Timeout, true),
                "{id}"
            );
            took.push(begun.elapsed());
        }
        let expected = Duration::from_millis(290)..Duration::from_millis(550);
        let last = took.last().expect("it was asked");
        assert!(expected.contains(last), "{id}: {took:?}");
    }
    // A later answer is ignored, on the node and by the client.
    let late = soon("the handler", kept.recv())
        .await
        .expect("the handler ran");
    let _ = late.answer("too late");
    for deadline in [
        Duration::ZERO,
        Duration::from_secs(1_000_000_000_000),
        Duration::MAX,
    ] {
        let asked = client
            .request::<String>("test/quick", &())
            .timeout(deadline);
        assert_eq!(asked.await.as_deref(), Ok("quick"), "{deadline:?}");
    }
    client
        .inject("test/end", &())
        .await
        .expect("the client lives");
    loop {
        let Streamed { id, .. } = soon("the end", stream.recv())
            .await
            .expect("the client lives");
        assert_ne!(
            id.as_str(),
            "chsk/error",
            "a timeout is no fault of the session"
        );
        if id.as_str() == "test/end" {
            break;
        }
    }
}
