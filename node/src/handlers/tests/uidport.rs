//! Handlers of users that come and go: in order per user, none held up by another, and what is finished is said in order.

use std::sync::Arc;
use std::time::Duration;

use tengen_protocol::{ClientId, EventId, NodeId, Uid};
use tokio::sync::{Semaphore, mpsc};

use super::{Desk, PATIENCE, Setup};
use crate::handlers::event::Event;
use crate::handlers::extract::Payload;
use crate::handlers::registry::Registry;
use crate::handlers::uidport::{Routes, Uidports};

const LIMIT: Duration = Duration::from_secs(30);

fn uids(names: &[&str]) -> Vec<Uid> {
    names.iter().map(|name| Uid::parse(name).unwrap()).collect()
}

fn start(register: impl Fn(&mut Registry)) -> (Desk, Uidports) {
    start_with(LIMIT, register)
}

fn start_with(limit: Duration, register: impl Fn(&mut Registry)) -> (Desk, Uidports) {
    let mut registry = Registry::default();
    register(&mut registry);
    let desk = Setup::default().desk(&register);
    let uidports = Uidports::new(
        Routes::of(&registry),
        desk.dispatcher.clone(),
        limit,
        desk.tracker.clone(),
        desk.shutdown.clone(),
    );
    (desk, uidports)
}

async fn next<T>(heard: &mut mpsc::UnboundedReceiver<T>) -> T {
    let heard = tokio::time::timeout(PATIENCE, heard.recv()).await;
    heard.expect("in time").expect("still open")
}

#[tokio::test]
async fn f52_f53_handlers_get_the_user_in_order_and_nothing_of_a_client() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let (closed, errors) = (told.clone(), told.clone());
    let (_desk, uidports) = start(move |on| {
        let (told, closed, errors) = (told.clone(), closed.clone(), errors.clone());
        on.on(
            "chsk/uidport-open",
            move |uid: Uid, id: EventId, node: NodeId| {
                told.send(format!("{id} {uid} {node}")).unwrap();
                async {}
            },
        );
        on.on(
            "chsk/uidport-close",
            move |Payload(uid): Payload<String>, event: Event| {
                assert!(!event.is_from_client());
                closed.send(format!("{} {uid}", event.id())).unwrap();
                async {}
            },
        );
        on.on_any(move |event: Event| {
            errors.send(format!("not here: {}", event.id())).unwrap();
            async {}
        });
    });
    let (done, mut finished) = mpsc::unbounded_channel();
    for n in 0..100 {
        let done = done.clone();
        let (opens, closes) = if n % 2 == 0 {
            (uids(&["alice"]), vec![])
        } else {
            (vec![], uids(&["alice"]))
        };
        uidports.told(opens, closes, move || done.send(n).unwrap());
    }
    for n in 0..50 {
        assert_eq!(next(&mut heard).await, "chsk/uidport-open alice n1", "{n}");
        assert_eq!(next(&mut heard).await, "chsk/uidport-close alice", "{n}");
    }
    for n in 0..100 {
        assert_eq!(next(&mut finished).await, n);
    }
    uidports.finish(PATIENCE).await;
    assert!(heard.try_recv().is_err(), "once each");
}

#[tokio::test]
async fn a_slow_handler_holds_up_neither_telling_nor_other_users() {
    let gate = Arc::new(Semaphore::new(0));
    let (told, mut heard) = mpsc::unbounded_channel();
    let opened = gate.clone();
    let (_desk, uidports) = start(move |on| {
        let (gate, told) = (opened.clone(), told.clone());
        on.on("chsk/uidport-open", move |uid: Uid| {
            let (gate, told) = (gate.clone(), told.clone());
            async move {
                if uid.as_str() == "slow" {
                    gate.acquire().await.unwrap().forget();
                }
                told.send(uid.to_string()).unwrap();
            }
        });
    });
    let (done, mut finished) = mpsc::unbounded_channel();
    let first = done.clone();
    // There is no handler for those who go: they are handled at once.
    uidports.told(uids(&["slow", "alice"]), uids(&["erin"]), move || {
        first.send("first").unwrap();
    });
    uidports.told(uids(&["bob"]), vec![], move || done.send("second").unwrap());
    let mut quick = [next(&mut heard).await, next(&mut heard).await];
    quick.sort();
    assert_eq!(quick, ["alice", "bob"]);
    assert!(
        finished.try_recv().is_err(),
        "what is finished is said in order"
    );
    uidports.finish(Duration::from_millis(20)).await;
    gate.add_permits(1);
    assert_eq!(next(&mut heard).await, "slow");
    assert_eq!(next(&mut finished).await, "first");
    assert_eq!(next(&mut finished).await, "second");
}

#[tokio::test]
async fn a_handler_that_panics_hangs_or_wants_a_client_is_contained() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let (desk, uidports) = start_with(Duration::from_millis(50), move |on| {
        let told = told.clone();
        on.on("chsk/uidport-open", move |uid: Uid| {
            let told = told.clone();
            async move {
                match uid.as_str() {
                    "panics" => panic!("as it does"),
                    "hangs" => std::future::pending().await,
                    _ => told.send(uid.to_string()).unwrap(),
                }
            }
        });
        on.on("chsk/uidport-close", async |client: ClientId| {
            assert_eq!(client.as_str(), "", "it is nobody's");
        });
    });
    let (done, mut finished) = mpsc::unbounded_channel();
    let opens = uids(&["panics", "hangs", "alice"]);
    uidports.told(opens, uids(&["bob"]), move || done.send(()).unwrap());
    assert_eq!(next(&mut heard).await, "alice");
    next(&mut finished).await;
    let handlers = &desk.hub.metrics().handlers;
    let counted = [&handlers.panicked, &handlers.timed_out, &handlers.refused];
    assert_eq!(counted.map(|counter| counter.value()), [1, 1, 1]);
}

#[tokio::test]
async fn what_waits_for_handlers_is_bounded_and_what_does_not_fit_is_counted() {
    let (desk, uidports) = start(|on| {
        on.on("chsk/uidport-open", |_: Uid| std::future::pending::<()>());
    });
    for round in 0..7 {
        let many: Vec<String> = (0..10_000).map(|n| format!("{round}-{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        uidports.told(uids(&many), vec![], || {});
    }
    let shed = desk.hub.metrics().handlers.uidports_shed.value();
    assert_eq!(shed, 70_000 - (1 << 16));
    desk.shutdown.cancel();
}
