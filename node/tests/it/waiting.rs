//! Promises that take their time: keep-alive, silence, outages, patience. With short settings; at the defaults `cargo xtask chaos` keeps them.

use std::time::{Duration, Instant};

use tengen_bus::testing::{Admission, Gate, Proxy, Shape, Whom};
use tengen_client::{Builder, Client, CloseReason};
use tengen_node::{Answer, NodeBuilder, Payload};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::cluster::{Cluster, eventually, metric, soon};
use crate::heard::Heard;
use crate::side_by_side;
use crate::way::{By, Way};

side_by_side!(
    f24_f56_an_idle_client_sees_no_change_and_no_silence_longer_than_the_keep_alive,
    f25_f27_a_client_in_a_black_hole_is_let_go_whatever_is_pushed_to_it,
    f28_a_client_whose_server_is_in_a_black_hole_closes_with_ping_timeout,
    f29_after_an_outage_every_client_is_back_without_anybody_doing_anything,
    f31_after_a_disconnect_no_attempt_is_made_timers_that_ran_included,
    f41_a_large_item_over_a_slow_link_is_delivered_once_and_closes_nothing,
    f57_the_deadline_of_a_request_is_the_callers_and_not_the_polls,
);

/// Pings and polls of a second; silence is found after seven at the node, after four by clients: a
/// busy machine alone may well be silent for two.
fn brisk(node: NodeBuilder) -> NodeBuilder {
    node.settings(|config| {
        config.ping = Duration::from_secs(1);
        config.poll_timeout = Duration::from_secs(1);
    })
    .on("test/echo", async |Payload(text): Payload<String>| {
        Answer(text)
    })
}

fn impatient(builder: Builder) -> Builder {
    builder.options(|options| {
        options.grace_ms = 3_000;
        options.backoff_cap_ms = 500;
    })
}

async fn connected(cluster: &Cluster, proxy: &Proxy) -> Client {
    let client = impatient(cluster.through(proxy, Some("alice"))).connect();
    let client = soon("it connects", client)
        .await
        .expect("it is not refused");
    // Answered by way of its first poll: from here on all its connections are open.
    let asked = client.request::<String>("test/echo", "there?");
    assert_eq!(soon("an answer", asked).await.as_deref(), Ok("there?"));
    client
}

async fn f24_f56_an_idle_client_sees_no_change_and_no_silence_longer_than_the_keep_alive(way: Way) {
    let cluster = Cluster::with(way, 1, brisk).await;
    let proxy = cluster.proxy(&[0]).await;
    let client = connected(&cluster, &proxy).await;
    // The events of its opening are over when it is answered.
    let asked = client.request::<String>("test/echo", "there?").await;
    assert_eq!(asked.as_deref(), Ok("there?"));
    let (mut state, mut events) = (client.state(), client.events());
    state.borrow_and_update();
    let empty = "tengen_poll_empty_total";
    let (begun, before) = (Instant::now(), metric(&cluster, 0, empty).await);
    for _ in 0..3 {
        let links = proxy.links();
        let passed = || links.iter().map(|link| link.passed().1).collect::<Vec<_>>();
        let before = passed();
        // A second, the second of the sweep, and a little for a busy machine.
        sleep(Duration::from_millis(2_500)).await;
        assert_ne!(passed(), before, "no sign of life");
    }
    assert!(
        !state.has_changed().expect("it lives"),
        "{:?}",
        state.borrow()
    );
    let event = timeout(Duration::ZERO, events.recv()).await;
    assert!(event.is_err(), "{event:?}");
    let polls = metric(&cluster, 0, empty).await - before;
    // One after the other, a second each, and no pause between them.
    let seconds = begun.elapsed().as_secs();
    let expected = match way.by {
        By::Poll => seconds * 7 / 10..=seconds + 1,
        By::Ws | By::Auto => 0..=0,
    };
    assert!(expected.contains(&polls), "{polls} polls in {seconds} s");
}

async fn f25_f27_a_client_in_a_black_hole_is_let_go_whatever_is_pushed_to_it(way: Way) {
    let cluster = Cluster::with(way, 1, |node| {
        brisk(node).settings(|config| config.session_ttl = Duration::from_secs(1))
    })
    .await;
    let proxy = cluster.proxy(&[0]).await;
    let client = connected(&cluster, &proxy).await;
    let sessions = async || metric(&cluster, 0, "tengen_hub_sessions").await;
    eventually("it is counted", async || sessions().await == 1).await;
    proxy.shape(blackhole());
    let handle = cluster.node(0).handle();
    let begun = Instant::now();
    while sessions().await > 0 {
        let pushed = handle.send_to_uid("alice", "t/n", "into the void").await;
        pushed.expect("accepted");
        sleep(Duration::from_millis(100)).await;
        let took = begun.elapsed();
        // 7 s of silence, 1 s of ttl, a sweep for each.
        assert!(took < Duration::from_secs(14), "it is still there");
    }
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(4), "{took:?} is no patience");
    drop(client);
}

fn blackhole() -> Shape {
    Shape {
        gate: Gate::Blackholed,
        ..Shape::default()
    }
}

async fn f28_a_client_whose_server_is_in_a_black_hole_closes_with_ping_timeout(way: Way) {
    let cluster = Cluster::with(way, 1, brisk).await;
    let proxy = cluster.proxy(&[0]).await;
    let client = connected(&cluster, &proxy).await;
    let begun = Instant::now();
    proxy.shape(blackhole());
    // What it says itself is no sign of life.
    let unheard = client.send("test/echo", "hello?").queue().await;
    let mut state = client.state();
    let closed = soon("it closes", state.wait_for(|state| !state.open)).await;
    let closed = closed.expect("it lives").clone();
    let took = begun.elapsed();
    let expected = Duration::from_millis(2_500)..Duration::from_millis(8_000);
    assert!(expected.contains(&took), "{took:?}");
    let close = closed.last_close.as_ref().expect("it was open");
    assert_eq!(close.reason, CloseReason::PingTimeout);

    proxy.shape(Shape::default());
    for link in proxy.links() {
        link.reset();
    }
    let sent = soon("it is taken in the end", unheard.expect("in line"));
    sent.await.expect("the session goes on");
}

async fn f29_after_an_outage_every_client_is_back_without_anybody_doing_anything(way: Way) {
    let mut cluster = Cluster::with(way, 2, brisk).await;
    let proxy = cluster.proxy(&[0]).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(connected(&cluster, &proxy).await);
    }
    proxy.admit(Whom::Everybody, Admission::Reset);
    proxy.aim(&cluster.addresses(&[1]));
    cluster.take(0).stop().await;
    for client in &clients {
        let mut state = client.state();
        drop(soon("out", state.wait_for(|state| !state.open)).await);
    }
    sleep(Duration::from_secs(3)).await;
    for client in &clients {
        assert!(!client.state().borrow().open);
    }
    proxy.admit(Whom::Everybody, Admission::Pass);
    for client in &clients {
        let asked = client.request::<String>("test/echo", "back");
        assert_eq!(soon("an answer", asked).await.as_deref(), Ok("back"));
    }
}

async fn f31_after_a_disconnect_no_attempt_is_made_timers_that_ran_included(way: Way) {
    // A server that hangs up on everybody, and so keeps a timer running for the next attempt.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let client = impatient(way.client(&way.url(address)));
    let client = client.spawn().expect("it is described");
    let mut attempts = 0;
    while attempts < 4 {
        let (socket, _) = soon("an attempt", listener.accept())
            .await
            .expect("it listens");
        drop(socket);
        attempts += 1;
    }
    client.disconnect().await.expect("it lives");
    let mut state = client.state();
    let idle = state.wait_for(|state| state.next_reconnect_at.is_none());
    drop(soon("no attempt is planned", idle).await.expect("it lives"));
    // One that had begun may still be in the listener's line.
    while timeout(Duration::from_millis(50), listener.accept())
        .await
        .is_ok()
    {}
    let quiet = timeout(Duration::from_secs(3), listener.accept()).await;
    assert!(quiet.is_err(), "it tried again");
}

async fn f41_a_large_item_over_a_slow_link_is_delivered_once_and_closes_nothing(way: Way) {
    let cluster = Cluster::with(way, 1, brisk).await;
    let proxy = cluster.proxy(&[0]).await;
    let client = connected(&cluster, &proxy).await;
    let mut heard = Heard::by(&client);
    let mut state = client.state();
    state.borrow_and_update();
    // 128 kbit/s: it takes five seconds, longer than the silence that counts as the end.
    proxy.shape(Shape::slow(16 << 10));
    let large = "x".repeat(80 << 10);
    let sent = soon("it arrives", client.send("test/echo", &large));
    sent.await.expect("it is taken");
    let handle = cluster.node(0).handle();
    let pushed = handle.send_to_uid("alice", "t/large", &large).await;
    pushed.expect("accepted");
    assert_eq!(heard.data::<String>("t/large").await, large);
    proxy.shape(Shape::default());
    let asked = client.request::<String>("test/echo", "still there");
    assert_eq!(soon("an answer", asked).await.as_deref(), Ok("still there"));
    assert!(
        !state.has_changed().expect("it lives"),
        "{:?}",
        state.borrow()
    );
}

async fn f57_the_deadline_of_a_request_is_the_callers_and_not_the_polls(way: Way) {
    let cluster = Cluster::with(way, 1, |node| {
        node.settings(|config| config.poll_timeout = Duration::from_millis(200))
            .on("test/slow", async || {
                sleep(Duration::from_millis(1_500)).await;
                Answer("at last")
            })
    })
    .await;
    let client = cluster.client(0, Some("alice")).await;
    let asked = client.request::<String>("test/slow", &());
    let asked = soon("an answer", asked.timeout(Duration::from_secs(5)));
    assert_eq!(asked.await.as_deref(), Ok("at last"));
    eventually("it is still open", async || client.state().borrow().open).await;
}
