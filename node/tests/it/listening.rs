//! What an application on the client's side hears: handlers, the stream of events, what comes early, values of its own types.

use std::sync::Arc;

use bytes::Bytes;
use tengen_bus::testing::{Admission, Whom};
use tengen_client::{Client, Event, Source};
use tengen_node::{NodeBuilder, Payload};
use tengen_protocol::{Codec, Data, Target, Uid, Value};
use tokio::sync::{Semaphore, mpsc};

use crate::cluster::{Cluster, soon};
use crate::each_way;
use crate::heard::Heard;
use crate::way::Way;

each_way!(
    f11_f13_f14_handlers_and_the_stream_get_every_event_with_its_source,
    f14b_a_clients_nearest_handler_takes_a_push_until_its_registration_is_dropped,
    f14c_pushes_that_come_before_the_first_handler_wait_for_it_in_order,
    f15_a_clients_handler_that_panics_or_hangs_stops_no_other,
    f30_while_nothing_answers_the_state_says_when_the_next_attempt_is,
    f35_no_client_is_open_before_its_hello_and_nothing_comes_before_it,
    f68_values_with_tags_and_opaque_bytes_come_through_both_codecs_equal,
);

fn alice() -> Uid {
    Uid::parse("alice").expect("a uid")
}

async fn push(cluster: &Cluster, id: &str, number: u64) {
    let handle = cluster.node(0).handle();
    let pushed = handle.send_to_uid(alice(), id, &number).await;
    pushed.expect("pushed");
}

/// A handler that hands on the numbers it gets.
fn collector() -> (impl Fn(Event) + Clone, mpsc::UnboundedReceiver<u64>) {
    let (tell, told) = mpsc::unbounded_channel();
    // A test that has seen enough has dropped its end.
    let handler = move |event: Event| {
        if event.source() != Source::Library {
            let _ = tell.send(event.to().expect("a number"));
        }
    };
    (handler, told)
}

async fn numbers(from: &mut mpsc::UnboundedReceiver<u64>, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        numbers.push(soon("a number", from.recv()).await.expect("a handler"));
    }
    numbers
}

async fn f11_f13_f14_handlers_and_the_stream_get_every_event_with_its_source(way: Way) {
    let (tell, mut told) = mpsc::unbounded_channel();
    let cluster = Cluster::with(way, 1, |node| {
        let tell = tell.clone();
        node.on(
            "test/answer",
            move |Payload(said): Payload<(String, u64)>| {
                let _ = tell.send(said);
                async {}
            },
        )
    })
    .await;
    let client = cluster.client(0, Some("alice")).await;
    let mut stream = client.events();
    let _on = client.on("test/ask", |event| {
        assert_eq!(event.id().as_str(), "test/ask");
        let uid = event.state().uid.as_ref().expect("it is open").to_string();
        let number: u64 = event.to().expect("a number");
        let answer = event.client().send("test/answer", &(uid, number));
        drop(answer.try_queue().expect("in line"));
    });
    push(&cluster, "test/ask", 1).await;
    let answer = soon("the first answer", told.recv()).await;
    assert_eq!(answer, Some(("alice".to_owned(), 1)));
    client.inject("test/ask", &2).await.expect("it lives");
    let answer = soon("the second answer", told.recv()).await;
    assert_eq!(answer, Some(("alice".to_owned(), 2)));

    let mut sources = Vec::new();
    while sources.len() < 2 {
        let event = soon("an event", stream.recv()).await.expect("it lives");
        let is_library = event.id.is_reserved();
        assert_eq!(is_library, event.source == Source::Library, "{}", event.id);
        if !is_library {
            sources.push(event.source);
        }
    }
    assert_eq!(sources, [Source::Push, Source::Injected]);
}

async fn f14b_a_clients_nearest_handler_takes_a_push_until_its_registration_is_dropped(way: Way) {
    let cluster = Cluster::start(way, 1).await;
    let client = cluster.client(0, Some("alice")).await;
    let (exact, mut by_name) = collector();
    let (namespace, mut by_namespace) = collector();
    let (any, mut by_any) = collector();
    let exact = client.on("a/b", exact);
    let _namespace = client.on("a/*", namespace);
    let _any = client.on_any(any);
    for (number, id) in (0..).zip(["a/b", "a/c", "x/y", "a/b"]) {
        push(&cluster, id, number).await;
    }
    assert_eq!(numbers(&mut by_name, 2).await, [0, 3]);
    assert_eq!(numbers(&mut by_namespace, 1).await, [1]);
    assert_eq!(numbers(&mut by_any, 1).await, [2]);
    drop(exact);
    push(&cluster, "a/b", 4).await;
    assert_eq!(numbers(&mut by_namespace, 1).await, [4]);
    assert_eq!(by_name.recv().await, None, "the handler is gone");
}

async fn f14c_pushes_that_come_before_the_first_handler_wait_for_it_in_order(way: Way) {
    let cluster = Cluster::start(way, 1).await;
    let client = cluster.client(0, Some("alice")).await;
    let mut heard = Heard::by(&client);
    for number in 0..10 {
        push(&cluster, "a/b", number).await;
    }
    for number in 0..10 {
        assert_eq!(heard.data::<u64>("a/b").await, number);
    }
    let (handler, mut handled) = collector();
    let _on = client.on("a/b", handler);
    for number in 10..20 {
        push(&cluster, "a/b", number).await;
    }
    assert_eq!(numbers(&mut handled, 20).await, (0..20).collect::<Vec<_>>());
    // A late watcher sees the current state first.
    assert!(client.state().borrow().open);
}

async fn f15_a_clients_handler_that_panics_or_hangs_stops_no_other(way: Way) {
    let cluster = Cluster::start(way, 1).await;
    let client = cluster.client(0, Some("alice")).await;
    let _panics = client.on("a/b", |_| panic!("on purpose"));
    let _hangs = client.on_async("a/b", |_| std::future::pending());
    let (handler, mut handled) = collector();
    let _good = client.on("a/b", handler);
    for number in 0..3 {
        push(&cluster, "a/b", number).await;
    }
    assert_eq!(numbers(&mut handled, 3).await, [0, 1, 2]);
    assert!(client.state().borrow().open);
}

async fn f30_while_nothing_answers_the_state_says_when_the_next_attempt_is(way: Way) {
    let cluster = Cluster::start(way, 1).await;
    let proxy = cluster.proxy(&[0]).await;
    let builder = cluster.through(&proxy, Some("alice")).options(|options| {
        options.backoff_base_ms = 20;
        options.backoff_cap_ms = 100;
    });
    let client = builder.connect().await.expect("it connects");
    proxy.admit(Whom::Everybody, Admission::Reset);
    for link in proxy.links() {
        link.reset();
    }
    let mut state = client.state();
    let mut next = None;
    // More than one time: the first retry is immediate, and each failure plans another.
    for _ in 0..3 {
        let waiting = state.wait_for(|state| {
            let planned = state.next_reconnect_at;
            !state.open && planned.is_some() && planned != next
        });
        let waiting = soon("a retry is planned", waiting).await;
        let waiting = waiting.expect("it lives").clone();
        assert!(waiting.next_reconnect_at > next, "later than the last");
        assert!(waiting.last_error.is_some(), "and why is shown");
        next = waiting.next_reconnect_at;
    }
    proxy.admit(Whom::Everybody, Admission::Pass);
    let back = soon("it is back", state.wait_for(|state| state.open)).await;
    let back = back.expect("it lives").clone();
    assert!(back.resumed && back.next_reconnect_at.is_none(), "{back:?}");
}

async fn f35_no_client_is_open_before_its_hello_and_nothing_comes_before_it(way: Way) {
    let gate = Arc::new(Semaphore::new(0));
    let (knock, mut at_the_door) = mpsc::unbounded_channel();
    let cluster = Cluster::with(way, 1, |node: NodeBuilder| {
        let (gate, knock) = (Arc::clone(&gate), knock.clone());
        node.handshake_data(move |_, _| {
            let (gate, knock) = (Arc::clone(&gate), knock.clone());
            async move {
                let _ = knock.send(());
                gate.acquire().await.expect("never closed").forget();
                Ok(1)
            }
        })
    })
    .await;
    let client = cluster.builder(0, Some("alice")).idle();
    let client: Client = client.expect("it is described");
    let mut stream = client.events();
    client.connect().await.expect("it lives");
    soon("it is at the door", at_the_door.recv()).await;
    let mut state = client.state();
    assert!(!state.borrow().open, "it is kept there");
    gate.add_permits(1);
    let open = soon("it opens", state.wait_for(|state| state.open)).await;
    drop(open.expect("it lives"));
    push(&cluster, "a/b", 1).await;
    let mut before = Vec::new();
    loop {
        let event = soon("an event", stream.recv()).await.expect("it lives");
        if event.source == Source::Push {
            break;
        }
        before.push(event.id.to_string());
    }
    let handshakes = before.iter().filter(|id| *id == "chsk/handshake").count();
    assert_eq!(handshakes, 1, "{before:?}");
}

async fn f68_values_with_tags_and_opaque_bytes_come_through_both_codecs_equal(way: Way) {
    let (tell, mut told) = mpsc::unbounded_channel();
    let cluster = Cluster::with(way, 1, |node| {
        let tell = tell.clone();
        node.on("test/back", move |value: Data| {
            let _ = tell.send(value);
            async {}
        })
    })
    .await;
    let client = cluster.client(0, Some("alice")).await;
    let mut heard = Heard::by(&client);
    let text = |text: &str| Value::Text(text.to_owned());
    let point = Value::Array(vec![Value::Int(3), Value::Int(-4)]);
    let values = [
        // A type of the application's own, and one inside another.
        Value::Tag(40_001, Box::new(point.clone())),
        Value::Map(vec![(
            text("nested"),
            Value::Tag(40_002, Box::new(Value::Tag(40_001, Box::new(point)))),
        )]),
        // What some other format made.
        Value::Bytes(Bytes::from_static(b"\x82\xa1a\x01\xc0\xff\x00")),
    ];
    for value in values {
        for codec in Codec::ALL {
            let event = Value::Array(vec![text("a/b"), value.clone()]);
            let event = Data::from_value(codec, &event).expect("encodable");
            let handle = cluster.node(0).handle();
            let target = Target::Uid(alice());
            let sent = handle.send_encoded(target, codec, event.bytes().clone());
            sent.await.expect("pushed");
            let (id, data) = heard.next().await;
            assert_eq!(id, "a/b");
            assert_eq!(data.codec(), way.codec);
            assert_eq!(data.value().as_ref(), Ok(&value), "{codec:?}");
            let back = client.send_data("test/back", &data).await;
            back.expect("it is taken");
            let back = soon("it is back", told.recv()).await.expect("a handler");
            assert_eq!(back.value().as_ref(), Ok(&value), "{codec:?}");
        }
    }
}
