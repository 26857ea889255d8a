//! Services over real sockets and buses: what no handler takes goes to them, and their answers come back.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tengen_bus::{Bus, Delivery, Message, Publish, Service, ServiceError, Subscribe};
use tengen_client::FailureKind;
use tengen_node::Answer;
use tengen_protocol::{Codec, Data, ErrorCode, Limits};

use crate::cluster::{Cluster, eventually, metric, soon};
use crate::each_way;
use crate::way::Way;

each_way!(
    f10_a_service_on_any_node_receives_who_and_answers,
    f14b_f20_without_a_service_a_request_gets_no_handler_at_once,
    f20_two_queue_groups_answer_and_one_reply_comes_the_second_is_counted,
    f10b_f17_a_services_errors_and_silence_reach_the_caller_as_such,
    f26_a_hundred_events_reach_a_service_in_order,
    f49_every_uid_and_event_id_reaches_a_service_unchanged,
    f88_payloads_up_to_max_bytes_go_to_services_and_back,
);

/// A service that answers every request under `test/` with what `answer` makes of it.
async fn serve<F>(bus: &Bus, answer: impl Fn(Message) -> F + Send + Sync + 'static) -> Service
where
    F: Future<Output = Result<Bytes, ServiceError>> + Send + 'static,
{
    Service::start(bus, "tengen.request.test.*", "test", 16, answer)
        .await
        .expect("the service subscribes")
}

fn header(message: &Message, name: &str) -> String {
    let value = message.headers.first(name).unwrap_or_default();
    tengen_protocol::subject::decode_header(value).expect("it is encoded")
}

/// What was asked, whichever codec its client speaks.
fn asked(message: &Message) -> Data {
    let codec = Codec::from_content_type(message.headers.first("Content-Type"));
    Data::checked(codec, message.body.clone(), &Limits::default()).expect("a value")
}

fn code(failure: &tengen_client::Failure) -> Option<ErrorCode> {
    failure.refusal.as_ref().map(|refusal| refusal.code)
}

async fn f10_a_service_on_any_node_receives_who_and_answers(way: Way) {
    let cluster = Cluster::with(way, 2, |node| {
        node.service_header("user-agent")
            .on("test/own", async || Answer("handler"))
    })
    .await;
    let bus = cluster.service().await;
    let _service = serve(&bus, async |message: Message| {
        let told = json!({
            "uid": header(&message, "Tengen-Uid"),
            "client": header(&message, "Tengen-Client"),
            "node": header(&message, "Tengen-Node"),
            "event": header(&message, "Tengen-Event"),
            "agent": header(&message, "Tengen-Header-user-agent"),
            "session": header(&message, "Tengen-Session").len(),
            "value": asked(&message).to::<Value>().expect("a value"),
        });
        Ok(told.to_string().into())
    })
    .await;
    for number in 0..2 {
        let client = cluster
            .builder(number, Some("alice"))
            .client_id("left-tab")
            .header("user-agent", "Test/1.0")
            .connect()
            .await
            .expect("it connects");
        let told = client
            .request::<Value>("test/whoami", &json!([1, null]))
            .await;
        let expected = json!({
            "uid": "alice", "client": "left-tab", "node": format!("n{number}"), "event": "test/whoami",
            "agent": "Test/1.0", "session": 22, "value": [1, null],
        });
        assert_eq!(told, Ok(expected));
        assert_eq!(
            client.request::<String>("test/own", &()).await.as_deref(),
            Ok("handler")
        );
    }
}

async fn f14b_f20_without_a_service_a_request_gets_no_handler_at_once(way: Way) {
    let cluster = Cluster::start(way, 1).await;
    let bus = cluster.service().await;
    // What `nats sub 'tengen.event.>'` is to the bus.
    let mut observer = bus
        .subscribe("tengen.event.>", Subscribe::default())
        .await
        .expect("it subscribes");
    let client = cluster.client(0, Some("alice")).await;
    let mut quickest = Duration::MAX;
    for _ in 0..10 {
        let begun = Instant::now();
        let failure = client
            .request::<Value>("test/nobody", &())
            .await
            .expect_err("nobody answers");
        assert_eq!(
            (failure.kind, code(&failure)),
            (FailureKind::NoHandler, Some(ErrorCode::NO_HANDLER))
        );
        quickest = quickest.min(begun.elapsed());
    }
    // A node that waits for something does so every time; a busy machine does not.
    assert!(quickest < Duration::from_millis(100), "{quickest:?}");
    // An event nobody takes is no error of its sender; the observer sees it.
    client
        .send("test/nobody", &1)
        .await
        .expect("it is acknowledged");
    let seen = soon("the event", observer.recv())
        .await
        .expect("the bus is up");
    let Delivery::Message(seen) = seen else {
        panic!("{seen:?}")
    };
    assert_eq!(
        (seen.subject.as_str(), seen.reply),
        ("tengen.event.test.nobody", None)
    );
}

async fn f20_two_queue_groups_answer_and_one_reply_comes_the_second_is_counted(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let bus = cluster.service().await;
    let answer = async |message: Message| {
        let value = asked(&message).to::<Value>().expect("a value");
        Ok(value.to_string().into())
    };
    let mut groups = Vec::new();
    for queue in ["one", "two"] {
        let group = Service::start(&bus, "tengen.request.test.*", queue, 16, answer).await;
        groups.push(group.expect("the service subscribes"));
    }
    let client = cluster.client(0, Some("alice")).await;
    for n in 1..=2_u64 {
        // A second reply would be an item nobody waits for: the two ends would count apart.
        assert_eq!(client.request("test/twice", &n).await, Ok(n));
        let name = "tengen_services_ignored_replies_total";
        eventually("the second is counted", async || {
            metric(&cluster, 0, name).await == n
        })
        .await;
        assert_eq!(metric(&cluster, 1, name).await, 0);
    }
    assert_eq!(
        client
            .request::<String>("test/twice", "last")
            .await
            .as_deref(),
        Ok("last")
    );
}

async fn f10b_f17_a_services_errors_and_silence_reach_the_caller_as_such(way: Way) {
    let cluster = Cluster::start(way, 1).await;
    let bus = cluster.service().await;
    let _service = serve(&bus, async |asked: Message| {
        match header(&asked, "Tengen-Event").as_str() {
            "test/null" => Ok("null".into()),
            "test/false" => Ok("false".into()),
            "test/app" => Err(ServiceError {
                code: ErrorCode(1234),
                message: "sold out".into(),
            }),
            "test/pretends" => Err(ServiceError {
                code: ErrorCode::TIMEOUT,
                message: "timeout".into(),
            }),
            "test/garbage" => Ok("{".into()),
            _ => std::future::pending().await,
        }
    })
    .await;
    let client = cluster.client(0, Some("alice")).await;
    let ask = async |id: &str| client.request::<Value>(id, &()).await;
    assert_eq!(ask("test/null").await, Ok(Value::Null));
    assert_eq!(ask("test/false").await, Ok(json!(false)));
    let failure = ask("test/app").await.expect_err("sold out");
    assert_eq!(
        (failure.kind, code(&failure)),
        (FailureKind::Application, Some(ErrorCode(1234)))
    );
    assert_eq!(
        failure.refusal.map(|refusal| refusal.message).as_deref(),
        Some("sold out")
    );
    for id in ["test/pretends", "test/garbage"] {
        let failure = ask(id).await.expect_err(id);
        assert_eq!(
            (failure.kind, code(&failure)),
            (FailureKind::Error, Some(ErrorCode::HANDLER_FAILED)),
            "{id}"
        );
    }
    let mut took = Vec::new();
    // What is late by itself is late every time; a busy machine is not.
    for _ in 0..5 {
        let begun = Instant::now();
        let silent = client
            .request::<Value>("test/silent", &())
            .timeout(Duration::from_millis(300));
        let silent = silent.queue().await.expect("it is sent");
        // While a service thinks, the session goes on.
        assert_eq!(ask("test/null").await, Ok(Value::Null));
        let between = begun.elapsed();
        let failure = silent.await.expect_err("it is silent");
        assert_eq!((failure.kind, failure.sent), (FailureKind::Timeout, true));
        let whole = begun.elapsed();
        if between < Duration::from_millis(250) && whole < Duration::from_millis(550) {
            return;
        }
        took.push((between, whole));
    }
    panic!("the session waits for the service, or its caller for too long: {took:?}");
}

async fn f26_a_hundred_events_reach_a_service_in_order(way: Way) {
    let cluster = Cluster::start(way, 1).await;
    let bus = cluster.service().await;
    let mut seen = bus
        .subscribe("tengen.event.test.count", Subscribe::queue("q"))
        .await
        .expect("it subscribes");
    let client = cluster.client(0, Some("alice")).await;
    for n in 0..100 {
        client
            .send("test/count", &n)
            .queue()
            .await
            .expect("it is sent");
    }
    for n in 0..100 {
        let delivery = soon("an event", seen.recv()).await.expect("the bus is up");
        let Delivery::Message(message) = delivery else {
            panic!("{delivery:?}")
        };
        assert_eq!(asked(&message).to::<u32>(), Ok(n));
    }
}

async fn f49_every_uid_and_event_id_reaches_a_service_unchanged(way: Way) {
    let cluster = Cluster::start(way, 1).await;
    let bus = cluster.service().await;
    let _service = Service::start(
        &bus,
        "tengen.request.>",
        "test",
        16,
        async |asked: Message| {
            let told = json!([
                header(&asked, "Tengen-Uid"),
                header(&asked, "Tengen-Event"),
                asked.subject.as_str()
            ]);
            Ok(told.to_string().into())
        },
    )
    .await
    .expect("the service subscribes");
    let long = "ü".repeat(128);
    for uid in [
        "alice@example.com",
        "42",
        "a.b.*.>",
        "Zoë 🦀",
        "a/b%2E",
        " ",
        long.as_str(),
    ] {
        let client = cluster.client(0, Some(uid)).await;
        for (id, subject) in [
            ("test/plain", "tengen.request.test.plain"),
            ("a.b/c", "tengen.request.a%2Eb.c"),
            ("a/b.c", "tengen.request.a.b%2Ec"),
            ("x#?!/y", "tengen.request.x#?!.y"),
        ] {
            assert_eq!(
                client.request::<Value>(id, &()).await,
                Ok(json!([uid, id, subject])),
                "{uid}"
            );
        }
    }
}

async fn f88_payloads_up_to_max_bytes_go_to_services_and_back(way: Way) {
    let cluster = Cluster::start(way, 1).await;
    let bus = cluster.service().await;
    let _service = serve(&bus, async |message: Message| {
        match header(&message, "Tengen-Event").as_str() {
            "test/more" => Ok(format!("\"{}\"", "x".repeat(600 << 10)).into()),
            _ => Ok(asked(&message)
                .transcode(Codec::Json)
                .expect("a value")
                .bytes()
                .clone()),
        }
    })
    .await;
    let (client, other) = (
        cluster.client(0, Some("alice")).await,
        cluster.client(0, Some("bob")).await,
    );
    let most = "x".repeat((512 << 10) - 100);
    assert_eq!(
        client
            .request::<String>("test/echo", &most)
            .await
            .as_deref(),
        Ok(most.as_str())
    );
    let failure = client
        .request::<Value>("test/more", &())
        .await
        .expect_err("too much");
    assert_eq!(code(&failure), Some(ErrorCode::TOO_LARGE));
    let failure = client
        .request::<Value>("test/echo", &"x".repeat(512 << 10))
        .await
        .expect_err("too much");
    assert_eq!(
        (code(&failure), failure.sent),
        (Some(ErrorCode::TOO_LARGE), false)
    );
    // Everybody's connection stands, the node's to the bus included.
    for client in [&client, &other] {
        assert!(client.state().borrow().open);
        assert_eq!(client.request::<Value>("test/echo", &1).await, Ok(json!(1)));
    }
    let mut stream = other.events();
    eventually("the push", async || {
        bus.publish(Publish::new("tengen.send-to.uid.bob", "[\"test/still\"]")).await.expect("the bus is up");
        matches!(soon("an event", stream.recv()).await, Ok(event) if event.id.as_str() == "test/still")
    })
    .await;
}
