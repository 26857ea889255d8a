//! Closing a client, and what is left of it: nothing.

use std::time::{Duration, Instant};

use tengen_client::{Client, FailureKind};
use tengen_protocol::ClientFrame;
use tokio::runtime::Handle;

use crate::server::{LIMIT, Server, soon, until};

/// Waits until no more tasks live than at the beginning.
async fn tasks_are_back_to(before: usize) {
    let begin = Instant::now();
    while Handle::current().metrics().num_alive_tasks() > before {
        assert!(begin.elapsed() < LIMIT, "tasks are left");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn f95_close_says_goodbye_resolves_everything_and_leaves_no_task() {
    let server = Server::start().await;
    let before = Handle::current().metrics().num_alive_tasks();
    let (client, mut peer) = server.open(server.client()).await;
    let _hanging = client.on_async("a/b", |_| std::future::pending());
    let asked = client.request::<()>("a/b", &()).queue().await.unwrap();
    let last = client.send("a/last", &1).queue().await.unwrap();
    let handle = client.clone();
    let closing = tokio::spawn(client.close());
    // What was asked before the end is still written.
    peer.item().await;
    let ClientFrame::Event { id, .. } = peer.item().await else {
        panic!("no event")
    };
    assert_eq!(id.as_str(), "a/last");
    assert_eq!(peer.gone().await.unwrap().0, 1000);
    soon(closing).await.unwrap();
    assert_eq!(Handle::current().metrics().num_alive_tasks(), before);
    assert_eq!(soon(asked).await.unwrap_err().kind, FailureKind::Closed);
    assert_eq!(soon(last).await.unwrap_err().kind, FailureKind::Closed);
    // Other handles are of no use any more, and say so.
    assert!(!handle.send("a/b", &1).await.unwrap_err().sent);
    assert!(handle.connect().await.is_err());
    assert!(handle.events().recv().await.is_err());
    soon(handle.close()).await;
    assert!(server.is_left_alone(Duration::from_millis(200)).await);
}

#[tokio::test]
async fn f95_dropping_the_last_handle_ends_the_client() {
    let server = Server::start().await;
    let before = Handle::current().metrics().num_alive_tasks();
    let (client, peer) = server.open(server.client()).await;
    let _on = client.on("a/b", |_| {});
    let other = client.clone();
    drop(client);
    assert!(other.state().borrow().open);
    drop(other);
    assert_eq!(peer.gone().await.unwrap().0, 1000);
    tasks_are_back_to(before).await;
}

#[tokio::test]
async fn f95_close_does_not_wait_for_a_server_that_does_not_answer() {
    let server = Server::start().await;
    let (client, peer) = server.open(server.client()).await;
    let begin = Instant::now();
    soon(client.close()).await;
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
    drop(peer);
}

#[tokio::test]
async fn f95_close_ends_a_client_that_is_dialling_or_waiting_to() {
    let server = Server::start().await;
    let client = server.client().spawn().unwrap();
    soon(client.close()).await;

    // Nobody answers: the client waits for its next attempt.
    let gone = Server::nowhere();
    let client = Client::builder(format!("ws://{gone}/chsk"))
        .spawn()
        .unwrap();
    until(&client, |state| state.next_reconnect_at.is_some()).await;
    soon(client.close()).await;

    let client = server.client().idle().unwrap();
    soon(client.close()).await;
}

#[tokio::test]
async fn f95_a_handler_may_close_its_own_client() {
    let server = Server::start().await;
    let (client, mut peer) = server.open(server.client()).await;
    let _on = client.on_async("a/end", |event| async move {
        event.client().clone().close().await
    });
    peer.push("a/end", &()).await;
    assert_eq!(peer.gone().await.unwrap().0, 1000);
    soon(client.close()).await;
}

#[tokio::test]
async fn f94_several_clients_live_in_one_process_without_sharing_state() {
    let server = Server::start().await;
    let (alice, mut alice_peer) = server.open(server.client().client_id("alice")).await;
    let (bob, mut bob_peer) = server.open(server.client().client_id("bob")).await;
    let (mut alice_events, mut bob_events) = (alice.events(), bob.events());
    alice_peer.push("to/alice", &1).await;
    bob_peer.push("to/bob", &2).await;
    assert_eq!(
        soon(alice_events.recv()).await.unwrap().id.as_str(),
        "to/alice"
    );
    assert_eq!(soon(bob_events.recv()).await.unwrap().id.as_str(), "to/bob");
    alice.close().await;
    assert!(bob.state().borrow().open);
    bob_peer.push("to/bob", &3).await;
    assert_eq!(soon(bob_events.recv()).await.unwrap().id.as_str(), "to/bob");
}

#[tokio::test]
async fn f95_a_thousand_cycles_of_open_and_close_leave_no_task() {
    let server = Server::start().await;
    let before = Handle::current().metrics().num_alive_tasks();
    for _ in 0..1_000 {
        let (client, peer) = server.open(server.client()).await;
        let (_, goodbye) = tokio::join!(client.close(), peer.gone());
        assert_eq!(goodbye.unwrap().0, 1000);
    }
    assert_eq!(Handle::current().metrics().num_alive_tasks(), before);
}
