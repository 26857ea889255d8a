//! What a client sent, while its session goes to another node: handled once, in order, and answered.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tengen_client::FailureKind;
use tengen_node::{Answer, Payload};
use tokio::sync::Semaphore;

use super::{Nomad, cluster_with};
use crate::cluster::{eventually, soon};
use crate::way::Way;

each_move!(
    a_request_in_flight_is_answered_after_the_move,
    a_reply_follows_the_session_through_two_moves,
    f26_what_the_client_sent_and_nobody_acknowledged_is_handled_once_in_order,
    a_handler_still_running_at_the_old_node_keeps_the_next_item_waiting,
    items_counted_and_not_started_are_handled_by_the_new_node,
);

/// Handlers on all nodes that write into one book, and wait at one door.
#[derive(Clone)]
struct Book {
    lines: Arc<Mutex<Vec<u64>>>,
    door: Arc<Semaphore>,
}

impl Book {
    fn new() -> Book {
        Book {
            lines: Arc::default(),
            door: Arc::new(Semaphore::new(0)),
        }
    }

    fn lines(&self) -> Vec<u64> {
        self.lines.lock().clone()
    }

    /// Writes what comes, each at once.
    async fn note(self, number: u64) {
        self.lines.lock().push(number);
    }

    /// Writes what comes, and returns when the door lets it.
    async fn wait(self, number: u64) {
        self.lines.lock().push(number);
        if let Ok(pass) = self.door.acquire().await {
            pass.forget();
        }
    }
}

fn with_book(book: &Book) -> impl Fn(tengen_node::NodeBuilder) -> tengen_node::NodeBuilder + use<> {
    let book = book.clone();
    move |node| {
        let (noting, waiting, asking) = (book.clone(), book.clone(), book.clone());
        node.on("t/note", move |Payload(number): Payload<u64>| {
            noting.clone().note(number)
        })
        .on("t/wait", move |Payload(number): Payload<u64>| {
            waiting.clone().wait(number)
        })
        .on("t/ask", move |Payload(number): Payload<u64>| {
            let book = asking.clone();
            async move {
                book.wait(number).await;
                Answer(number + 1)
            }
        })
    }
}

async fn a_request_in_flight_is_answered_after_the_move(way: Way) {
    let book = Book::new();
    let cluster = cluster_with(way, 2, with_book(&book)).await;
    let alice = Nomad::start(&cluster, way, Some("alice")).await;
    let asked = alice.client.request::<u64>("t/ask", &41);
    let pending = asked.queue().await.expect("it is sent");
    eventually("it is asked", async || book.lines() == [41]).await;
    alice.moves_to(&cluster, 1).await;
    book.door.add_permits(1);
    assert_eq!(soon("the reply", pending).await, Ok(42));
    assert_eq!(book.lines(), [41], "asked once");
}

async fn a_reply_follows_the_session_through_two_moves(way: Way) {
    let book = Book::new();
    let cluster = cluster_with(way, 3, with_book(&book)).await;
    let alice = Nomad::start(&cluster, way, Some("alice")).await;
    let asked = alice.client.request::<u64>("t/ask", &41);
    let pending = asked.queue().await.expect("it is sent");
    eventually("it is asked", async || book.lines() == [41]).await;
    alice.moves_to(&cluster, 1).await;
    alice.moves_to(&cluster, 2).await;
    book.door.add_permits(1);
    assert_eq!(soon("the reply", pending).await, Ok(42));
    assert_eq!(book.lines(), [41], "asked once");
}

async fn f26_what_the_client_sent_and_nobody_acknowledged_is_handled_once_in_order(way: Way) {
    let book = Book::new();
    let cluster = cluster_with(way, 2, with_book(&book)).await;
    let alice = Nomad::start(&cluster, way, Some("alice")).await;
    let mut sent = Vec::new();
    for number in 0..300 {
        // In the middle of it the connection breaks, wherever that finds each item.
        if number == 150 {
            alice.cut_and_aim(cluster.node(1).address).await;
        }
        let event = alice.client.send("t/note", &number);
        sent.push(event.queue().await.expect("it is queued"));
    }
    for event in sent {
        assert_eq!(soon("the ack", event).await, Ok(()));
    }
    alice.until_open_on(1).await;
    let all: Vec<u64> = (0..300).collect();
    eventually("all are handled", async || book.lines().len() >= all.len()).await;
    assert_eq!(book.lines(), all);
}

async fn a_handler_still_running_at_the_old_node_keeps_the_next_item_waiting(way: Way) {
    let book = Book::new();
    let cluster = cluster_with(way, 2, with_book(&book)).await;
    let alice = Nomad::start(&cluster, way, Some("alice")).await;
    let queue = async |id, number| {
        let event = alice.client.send(id, &number);
        event.queue().await.expect("it is queued");
    };
    queue("t/wait", 1).await;
    eventually("the first is running", async || book.lines() == [1]).await;
    alice.moves_to(&cluster, 1).await;
    queue("t/note", 2).await;
    // The new node has it, and still does not begin it.
    let pong = alice.client.send("t/note", &3).into_future();
    assert_eq!(soon("the ack", pong).await, Ok(()));
    assert_eq!(book.lines(), [1]);
    book.door.add_permits(1);
    eventually("the others follow", async || book.lines().len() == 3).await;
    assert_eq!(book.lines(), [1, 2, 3]);
}

async fn items_counted_and_not_started_are_handled_by_the_new_node(way: Way) {
    let book = Book::new();
    let cluster = cluster_with(way, 2, with_book(&book)).await;
    let alice = Nomad::start(&cluster, way, Some("alice")).await;
    let mut sent = Vec::new();
    for (id, number) in [("t/wait", 1), ("t/note", 2), ("t/note", 3)] {
        let event = alice.client.send(id, &number);
        sent.push(event.queue().await.expect("it is queued"));
    }
    let asked = alice.client.request::<u64>("t/ask", &4);
    let asked = asked.queue().await.expect("it is queued");
    let too_late = alice.client.request::<u64>("t/ask", &5);
    let too_late = too_late.timeout(Duration::from_millis(500));
    let too_late = too_late.queue().await.expect("it is queued");
    for event in sent {
        // Acknowledged: the client will not send them again, wherever it goes.
        assert_eq!(soon("the ack", event).await, Ok(()));
    }
    // What is acknowledged has been counted; that it begins may be a moment later.
    eventually("the first begins", async || book.lines() == [1]).await;
    alice.moves_to(&cluster, 1).await;
    let failure = soon("its deadline", too_late)
        .await
        .expect_err("nobody began it");
    assert_eq!(failure.kind, FailureKind::Timeout);
    book.door.add_permits(2);
    assert_eq!(soon("the reply", asked).await, Ok(5));
    assert_eq!(book.lines()[..4], [1, 2, 3, 4]);
}
