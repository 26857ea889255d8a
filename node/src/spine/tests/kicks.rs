//! Tests of kicks through the bus.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn f64_a_kick_closes_all_of_a_users_sessions_on_all_nodes_after_what_was_pushed_before() {
    let net = LocalNet::new();
    let nodes = [node(&net, "n1").await, node(&net, "n2").await];
    let mut alice = [
        nodes[0].tab(Some("alice"), "a"),
        nodes[1].tab(Some("alice"), "b"),
    ];
    let mut bob = nodes[1].tab(Some("bob"), "c");
    for n in 0..50 {
        nodes[0]
            .handle
            .send_to_uid("alice", "t/n", &n)
            .await
            .expect("accepted");
    }
    nodes[0]
        .handle
        .kick("alice", "enough")
        .await
        .expect("accepted");
    for tab in &mut alice {
        tab.until("closed", |tab| tab.close.is_some()).await;
        assert_eq!(tab.close, Some(CloseCode::KICKED));
        assert_eq!(tab.events.len(), 50, "everything pushed before the kick");
    }
    nodes[0]
        .handle
        .send_to_all("t/end", &())
        .await
        .expect("accepted");
    bob.next("t/end").await;
    assert_eq!(bob.close, None);
    assert_eq!(
        nodes[0].tab(Some("alice"), "a").close,
        None,
        "no ban: she may come back"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f64_a_kick_by_a_service_works_and_a_malformed_one_does_nothing() {
    let net = LocalNet::new();
    let node = node(&net, "n1").await;
    let mut alice = node.tab(Some("alice"), "a");
    for bad in ["", "[]", r#"{"reason":"who?"}"#, r#"{"uid":""}"#] {
        node.publish("tengen.kick", bad).await;
    }
    eventually("all counted", || {
        node.metrics.ingest.kicks_malformed.value() == 4
    })
    .await;
    alice.look();
    assert_eq!(alice.close, None);
    node.publish(
        "tengen.kick",
        r#"{"uid":"alice","reason":"x","ban_ms":1000}"#,
    )
    .await;
    alice
        .until("closed", |tab| tab.close == Some(CloseCode::KICKED))
        .await;
}
