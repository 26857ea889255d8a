//! Tests over a real NATS server: bursts from a publisher that knows no pace, and a restart.

use tengen_bus::NatsOptions;
use tengen_bus::testing::NatsServer;

use super::*;

const BURST: usize = 200_000;

async fn node_at(server: &NatsServer, name: &str, change: impl FnOnce(&mut SpineConfig)) -> Node {
    let bus = Bus::nats(NatsOptions::new(server.url()))
        .await
        .expect("a url");
    let mut up = bus.health();
    up.wait_for(|health| health.is_up()).await.expect("up");
    node_on(bus, name, change).await
}

/// Publishes as fast as the client library takes it, one message a push, and waits for the
/// server to have them all.
async fn burst(server: &NatsServer, subject: impl Fn(usize) -> String) {
    let publisher = async_nats::connect(server.url()).await.expect("connected");
    let padding = "x".repeat(112);
    for n in 0..BURST {
        let body = format!(r#"["t/n","{n:06}{padding}"]"#);
        assert_eq!(body.len(), 128);
        publisher
            .publish(subject(n), body.into())
            .await
            .expect("published");
    }
    publisher.flush().await.expect("flushed");
}

/// The number in the event's data.
fn number(data: &str) -> usize {
    data[1..7].parse().expect("six digits")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_200_000_unbatched_pushes_over_1_000_users_arrives_whole() {
    let server = NatsServer::start().await;
    let node = node_at(&server, "n1", |_| {}).await;
    let mut tabs: Vec<_> = (0..1000)
        .map(|n| node.tab(Some(&format!("user{n}")), "tab"))
        .collect();
    burst(&server, |n| format!("tengen.send-to.uid.user{}", n % 1000)).await;
    for (user, tab) in tabs.iter_mut().enumerate() {
        tab.until("200 events", |tab| tab.events.len() >= BURST / 1000)
            .await;
        let got: Vec<_> = tab.events.iter().map(|(_, data)| number(data)).collect();
        let expect: Vec<_> = (0..BURST / 1000).map(|n| n * 1000 + user).collect();
        assert_eq!(got, expect, "user{user}");
    }
    assert_eq!(node.metrics.ingest.shed.value(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_200_000_pushes_to_one_user_arrives_whole_when_its_queue_may_hold_it() {
    let server = NatsServer::start().await;
    let node = node_at(&server, "n1", |config| {
        config.hub.bounds.max_queue_bytes = 64 << 20
    })
    .await;
    let mut alice = node.tab(Some("alice"), "tab");
    burst(&server, |_| "tengen.send-to.uid.alice".to_owned()).await;
    alice
        .until("all events", |tab| tab.events.len() >= BURST)
        .await;
    assert!(
        alice
            .events
            .iter()
            .map(|(_, data)| number(data))
            .eq(0..BURST)
    );
    assert_eq!(alice.close, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_to_one_user_with_the_default_bound_ends_that_session_alone() {
    let server = NatsServer::start().await;
    let node = node_at(&server, "n1", |_| {}).await;
    let mut alice = node.tab(Some("alice"), "never-reads");
    let mut others: Vec<_> = (0..20)
        .map(|n| node.tab(Some(&format!("user{n}")), "tab"))
        .collect();
    burst(&server, |n| match n % 1000 {
        0..20 => format!("tengen.send-to.uid.user{}", n % 1000),
        _ => "tengen.send-to.uid.alice".to_owned(),
    })
    .await;
    for (user, tab) in others.iter_mut().enumerate() {
        tab.until("200 events", |tab| tab.events.len() >= BURST / 1000)
            .await;
        let expect = (0..BURST / 1000).map(|n| n * 1000 + user);
        assert!(
            tab.events.iter().map(|(_, data)| number(data)).eq(expect),
            "user{user}"
        );
        assert_eq!(tab.close, None);
    }
    alice.look();
    assert_eq!(alice.close, Some(CloseCode::SLOW));
    assert_eq!(node.metrics.hub.slow.value(), 1);
    assert_eq!(node.metrics.ingest.shed.value(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_closes_the_node_and_is_told_as_a_gap() {
    let mut server = NatsServer::start().await;
    let node = node_at(&server, "n1", |_| {}).await;
    let mut tab = node.tab(Some("alice"), "a");
    node.handle
        .send_to_uid("alice", "t/before", &())
        .await
        .expect("accepted");
    tab.next("t/before").await;
    server.stop();
    eventually("not open", || !node.spine.interest.status().is_open()).await;
    fails_at_once(&node.handle).await;
    server.start_again().await;
    eventually("open again", || node.spine.interest.status().is_open()).await;
    node.handle
        .send_to_uid("alice", "t/after", &())
        .await
        .expect("accepted");
    tab.next("t/after").await;
    assert_eq!(tab.ids(), ["t/before", "chsk/gap", "t/after"]);
}
