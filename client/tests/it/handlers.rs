//! Events of all sources, the handlers they go to, and how handlers end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tengen_client::{Client, Codec, Event, Source, StreamError};
use tengen_protocol::ClientFrame;
use tokio::sync::{Notify, mpsc};

use crate::server::{Peer, Server, soon};

/// A handler that hands every event's number over, and where it goes to.
fn collector() -> (
    impl Fn(Event) + Send + Sync + 'static,
    mpsc::UnboundedReceiver<u32>,
) {
    let (sender, receiver) = mpsc::unbounded_channel();
    // A receiver that is gone has seen enough.
    let handler = move |event: Event| {
        let _ = sender.send(event.to().expect("a number"));
    };
    (handler, receiver)
}

async fn open() -> (Server, Client, Peer) {
    let server = Server::start().await;
    let (client, peer) = server.open(server.client()).await;
    (server, client, peer)
}

#[tokio::test]
async fn f11_a_handler_gets_event_id_data_source_a_send_handle_and_the_state() {
    let (_server, client, mut peer) = open().await;
    let _on = client.on("a/ask", |event| {
        assert_eq!(
            (event.id().as_str(), event.source()),
            ("a/ask", Source::Push)
        );
        assert_eq!(event.data().codec(), Codec::Cbor);
        let uid = event.state().uid.as_ref().unwrap().to_string();
        let number: u32 = event.to().unwrap();
        assert!(event.to::<String>().is_err());
        drop(
            event
                .client()
                .send("a/answer", &(uid, number))
                .try_queue()
                .unwrap(),
        );
    });
    peer.push("a/ask", &5_u32).await;
    let ClientFrame::Event { id, data } = peer.item().await else {
        panic!("no event")
    };
    assert_eq!(id.as_str(), "a/answer");
    assert_eq!(data.to::<(String, u32)>().unwrap(), ("ann".to_owned(), 5));
}

#[tokio::test]
async fn f13_f14_the_raw_stream_shows_every_event_with_its_source_beside_the_handlers() {
    let server = Server::start().await;
    let client = server.client().spawn().unwrap();
    let mut events = client.events();
    let (handler, mut handled) = collector();
    let _on = client.on("a/b", handler);
    let mut peer = server.greeted().await;
    peer.push("a/b", &1_u32).await;
    assert_eq!(soon(handled.recv()).await, Some(1));
    client.inject("a/b", &2_u32).await.unwrap();
    assert_eq!(soon(handled.recv()).await, Some(2));
    client.close().await;

    let mut seen = Vec::new();
    loop {
        match soon(events.recv()).await {
            Ok(event) => seen.push((event.id.to_string(), event.source)),
            Err(StreamError::Ended) => break,
            Err(missed) => panic!("{missed}"),
        }
    }
    let of_app: Vec<_> = seen
        .iter()
        .filter(|(id, _)| id == "a/b")
        .map(|(_, source)| *source)
        .collect();
    assert_eq!(of_app, [Source::Push, Source::Injected]);
    assert_eq!(
        seen.iter().filter(|(id, _)| id == "chsk/handshake").count(),
        1
    );
    assert!(
        seen.iter()
            .all(|(id, source)| id.starts_with("chsk/") == (*source == Source::Library))
    );
}

#[tokio::test]
async fn f14_a_slow_reader_of_the_stream_is_told_how_much_it_missed() {
    let (_server, client, mut peer) = open().await;
    let mut events = client.events();
    let (handler, mut handled) = collector();
    let _on = client.on("a/b", handler);
    for number in 0..1_500_u32 {
        peer.push("a/b", &number).await;
    }
    for number in 0..1_500 {
        assert_eq!(soon(handled.recv()).await, Some(number));
    }
    assert_eq!(
        soon(events.recv()).await,
        Err(StreamError::Missed(1_500 - 1_024))
    );
    assert_eq!(
        soon(events.recv()).await.unwrap().data.to::<u32>().unwrap(),
        476
    );
}

#[tokio::test]
async fn f14b_namespace_and_catch_all_take_what_no_other_did() {
    let (_server, client, mut peer) = open().await;
    let (exact, mut exact_seen) = collector();
    let (namespace, mut namespace_seen) = collector();
    let (any, mut any_seen) = collector();
    let exact = client.on("a/b", exact);
    let _namespace = client.on("a/*", namespace);
    let _any = client.on_any(move |event| {
        if event.source() == Source::Push {
            any(event);
        }
    });
    for (number, id) in ["a/b", "a/c", "x/y", "a/b"].into_iter().enumerate() {
        peer.push(id, &number).await;
    }
    assert_eq!(
        (soon(exact_seen.recv()).await, soon(exact_seen.recv()).await),
        (Some(0), Some(3))
    );
    assert_eq!(soon(namespace_seen.recv()).await, Some(1));
    assert_eq!(soon(any_seen.recv()).await, Some(2));
    // Dropping the registration ends its calls: the next one in line takes over.
    drop(exact);
    peer.push("a/b", &9_u32).await;
    assert_eq!(soon(namespace_seen.recv()).await, Some(9));
    assert_eq!(
        soon(exact_seen.recv()).await,
        None,
        "the handler is gone, and with it its sender"
    );
}

#[tokio::test]
async fn f14b_ten_thousand_registrations_leave_nothing_behind() {
    let (_server, client, mut peer) = open().await;
    let alive = Arc::new(());
    for _ in 0..10_000 {
        let held = alive.clone();
        drop(client.on("a/b", move |_| drop(held.clone())));
    }
    assert_eq!(Arc::strong_count(&alive), 1);
    let (handler, mut handled) = collector();
    client.on("a/b", handler).keep();
    peer.push("a/b", &1_u32).await;
    assert_eq!(soon(handled.recv()).await, Some(1));
}

#[tokio::test]
async fn f14c_early_pushes_wait_for_the_first_handler_and_come_before_later_ones() {
    let (_server, client, mut peer) = open().await;
    let mut events = client.events();
    for number in 0..10_u32 {
        peer.push("a/b", &number).await;
    }
    for _ in 0..10 {
        soon(events.recv()).await.unwrap();
    }
    let (handler, mut handled) = collector();
    let _on = client.on("a/b", handler);
    for number in 10..20_u32 {
        peer.push("a/b", &number).await;
    }
    for number in 0..20 {
        assert_eq!(soon(handled.recv()).await, Some(number));
    }
}

#[tokio::test]
async fn f14c_a_late_watcher_gets_the_current_state_first() {
    let (_server, client, _peer) = open().await;
    let state = client.state();
    assert!(state.borrow().open && state.borrow().ever_opened);
    assert_eq!(state.borrow().uid.as_ref().unwrap().as_str(), "ann");
}

#[tokio::test]
async fn f15_a_handler_that_panics_stops_neither_itself_nor_others() {
    let (_server, client, mut peer) = open().await;
    let _bad = client.on("a/b", |_| panic!("on purpose"));
    let _worse = client.on_async("a/b", |_| async { panic!("on purpose") });
    let (handler, mut handled) = collector();
    let _good = client.on("a/b", handler);
    let (sender, mut late) = mpsc::unbounded_channel();
    let calls = AtomicU32::new(0);
    let _second_time = client.on_async("a/b", move |_| {
        let (call, sender) = (calls.fetch_add(1, Ordering::SeqCst), sender.clone());
        assert!(call > 0, "the first call panics before there is a future");
        async move { sender.send(call).unwrap() }
    });
    for number in 0..3_u32 {
        peer.push("a/b", &number).await;
        assert_eq!(soon(handled.recv()).await, Some(number));
    }
    assert_eq!(
        (soon(late.recv()).await, soon(late.recv()).await),
        (Some(1), Some(2))
    );
}

#[tokio::test]
async fn f15_an_asynchronous_handler_that_hangs_stops_nothing_but_itself() {
    let (_server, client, mut peer) = open().await;
    let released = Arc::new(Notify::new());
    let (sender, mut slow) = mpsc::unbounded_channel();
    let gate = released.clone();
    let hanging = client.on_async("a/b", move |event| {
        let (sender, gate) = (sender.clone(), gate.clone());
        async move {
            gate.notified().await;
            sender.send(event.to::<u32>().unwrap()).unwrap();
        }
    });
    let (handler, mut handled) = collector();
    let _quick = client.on("a/b", handler);
    for number in 0..50_u32 {
        peer.push("a/b", &number).await;
        assert_eq!(soon(handled.recv()).await, Some(number));
    }
    // It goes on with its own, in order, once it may.
    for number in 0..3_u32 {
        released.notify_one();
        assert_eq!(soon(slow.recv()).await, Some(number));
    }
    // Dropping its registration ends it in the middle of an event.
    drop(hanging);
    assert_eq!(soon(slow.recv()).await, None);
}

#[tokio::test]
async fn an_asynchronous_handler_that_is_too_slow_finds_a_gap_where_events_are_missing() {
    let (_server, client, mut peer) = open().await;
    let released = Arc::new(Notify::new());
    let (sender, mut slow) = mpsc::unbounded_channel();
    let gate = released.clone();
    let _hanging = client.on_async("a/b", move |event| {
        let (sender, gate) = (sender.clone(), gate.clone());
        async move {
            if event.to::<u32>() == Ok(0) {
                gate.notified().await;
            }
            sender
                .send((event.id().to_string(), event.to::<u32>().ok()))
                .unwrap();
        }
    });
    let (handler, mut handled) = collector();
    let _quick = client.on("a/b", handler);
    // One is being handled, 1,024 wait, the rest find no place.
    for number in 0..1_100_u32 {
        peer.push("a/b", &number).await;
        assert_eq!(soon(handled.recv()).await, Some(number));
    }
    released.notify_one();
    for number in 0..1_025 {
        assert_eq!(
            soon(slow.recv()).await,
            Some(("a/b".to_owned(), Some(number)))
        );
    }
    peer.push("a/b", &2_000_u32).await;
    assert_eq!(soon(slow.recv()).await, Some(("chsk/gap".to_owned(), None)));
    assert_eq!(
        soon(slow.recv()).await,
        Some(("a/b".to_owned(), Some(2_000)))
    );
}

#[tokio::test]
async fn f36_f38_the_handshake_is_told_at_each_connect_and_one_change_is_the_first_open() {
    let server = Server::start().await;
    let client = server.client().idle().unwrap();
    let mut events = client.events();
    client.connect().await.unwrap();
    let peer = server.greeted().await;
    drop(peer);
    let _peer = server.greeted().await;
    let (mut handshakes, mut firsts, mut opens) = (Vec::new(), 0, 0);
    while handshakes.len() < 2 || opens < 2 {
        let event = soon(events.recv()).await.unwrap();
        if event.id.as_str() == "chsk/handshake" {
            let (uid, (), first) = event.data.to::<(String, (), bool)>().unwrap();
            handshakes.push((uid, first));
        } else if event.id.as_str() == "chsk/state" {
            #[derive(serde::Deserialize)]
            struct Seen {
                open: bool,
                first_open: bool,
            }
            let (old, new) = event.data.to::<(Seen, Seen)>().unwrap();
            firsts += u32::from(new.first_open);
            opens += u32::from(new.open && !old.open);
        }
    }
    assert_eq!(
        handshakes,
        [("ann".to_owned(), true), ("ann".to_owned(), false)]
    );
    assert_eq!(firsts, 1);
}

#[tokio::test]
#[should_panic(expected = "is no pattern of events")]
async fn a_pattern_that_is_none_is_a_mistake_of_the_program() {
    let server = Server::start().await;
    let client = server.client().idle().unwrap();
    let _on = client.on("no namespace", |_| {});
}

#[tokio::test]
async fn a_handler_attached_by_a_handler_gets_the_next_event() {
    let (_server, client, mut peer) = open().await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let _outer = client.on("a/first", move |event| {
        let sender = sender.clone();
        event
            .client()
            .on("a/second", move |event| {
                sender.send(event.to::<u32>().unwrap()).unwrap();
            })
            .keep();
    });
    peer.push("a/first", &0_u32).await;
    peer.push("a/second", &1_u32).await;
    assert_eq!(soon(seen.recv()).await, Some(1));
    // A late subscriber is no reason to wait: nothing else came.
    assert!(
        tokio::time::timeout(Duration::from_millis(50), seen.recv())
            .await
            .is_err()
    );
}
