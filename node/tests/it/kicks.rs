//! Kicks: all of a user's connections on all nodes, after what was pushed before.

use tengen_bus::Publish;

use crate::cluster::{Cluster, eventually};
use crate::each_way;
use crate::heard::Heard;
use crate::way::Way;

each_way!(
    f64_a_kick_closes_all_connections_of_a_user_after_what_was_queued,
    f64_a_service_may_kick_and_others_stay,
);

async fn f64_a_kick_closes_all_connections_of_a_user_after_what_was_queued(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let tabs = [
        cluster.client(0, Some("alice")).await,
        cluster.client(1, Some("alice")).await,
    ];
    let mut heard = [Heard::by(&tabs[0]), Heard::by(&tabs[1])];
    let handle = cluster.node(0).handle();
    for n in 0..100_u64 {
        handle
            .send_to_uid("alice", "t/n", &n)
            .try_send()
            .expect("taken");
    }
    handle.kick("alice", "enough").await.expect("accepted");
    for heard in &mut heard {
        for n in 0..100 {
            assert_eq!(heard.data::<u64>("t/n").await, n);
        }
    }
    for tab in &tabs {
        let state = tab.state();
        eventually("closed by the kick", async || {
            let state = state.borrow();
            !state.open
                && state.last_close.as_ref().is_some_and(|close| {
                    format!("{:?}", close.reason)
                        .to_lowercase()
                        .contains("kicked")
                })
        })
        .await;
    }
    let again = cluster.client(1, Some("alice")).await;
    assert!(again.state().borrow().open, "no ban: she may come back");
}

async fn f64_a_service_may_kick_and_others_stay(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let (alice, bob) = (
        cluster.client(1, Some("alice")).await,
        cluster.client(1, Some("bob")).await,
    );
    let mut to_bob = Heard::by(&bob);
    let service = cluster.service().await;
    for body in [
        "nonsense",
        r#"{"uid":""}"#,
        r#"{"uid":"alice","reason":"spam"}"#,
    ] {
        service
            .publish(Publish::new("tengen.kick", body))
            .await
            .expect("published");
    }
    let state = alice.state();
    eventually("alice is out", async || !state.borrow().open).await;
    service
        .publish(Publish::new("tengen.send-to.all", r#"["t/end",1]"#))
        .await
        .expect("published");
    assert_eq!(to_bob.data::<u64>("t/end").await, 1);
    assert!(bob.state().borrow().open);
}
