//! What waits for a client, or is pushed to it, while its session goes to another node.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tengen_bus::{Bus, Publish};
use tengen_client::Source;

use super::{Nomad, taken};
use crate::cluster::{Cluster, eventually, metric};
use crate::way::Way;

each_move!(
    f62_pushes_during_a_drop_arrive_on_another_node_in_order_and_once,
    f62_a_stream_of_pushes_survives_one_move_after_another,
    f62_pushes_to_all_and_to_the_anonymous_survive_moves,
    f63c_a_message_id_is_delivered_once_across_a_takeover,
    equal_pushes_around_a_takeover_all_arrive,
    a_queue_of_two_megabytes_moves_in_parts,
    b2_only_and_except_hold_across_a_takeover,
);

async fn publish(bus: &Bus, subject: &str, body: String) {
    let message = Publish::new(subject, body);
    bus.publish(message).await.expect("published");
}

async fn f62_pushes_during_a_drop_arrive_on_another_node_in_order_and_once(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let mut alice = Nomad::start(&cluster, way, Some("alice")).await;
    let far = cluster.node(1).handle();
    far.send_to_uid("alice", "t/n", &0).await.expect("accepted");
    assert_eq!(alice.heard.data::<u64>("t/n").await, 0);
    alice.is_shut_out().await;
    for n in 1..=100 {
        far.send_to_uid("alice", "t/n", &n).await.expect("accepted");
    }
    alice.moves_to(&cluster, 1).await;
    far.send_to_uid("alice", "t/n", &101)
        .await
        .expect("accepted");
    for n in 1..=101 {
        assert_eq!(alice.heard.data::<u64>("t/n").await, n);
    }
    assert_eq!(taken(&cluster, 1).await, 1);
}

async fn f62_a_stream_of_pushes_survives_one_move_after_another(way: Way) {
    const MOVES: usize = 6;
    let cluster = Cluster::start(way, 3).await;
    let alice = Nomad::start(&cluster, way, Some("alice")).await;
    // Written down as it comes: more than a stream that nobody reads would keep.
    let book = Arc::<Mutex<Vec<(String, u64)>>>::default();
    let line = Arc::clone(&book);
    let everything = alice.client.on_any(move |event| {
        let is_gap = event.id().as_str() == "chsk/gap";
        if is_gap || event.source() != Source::Library {
            let number = if is_gap {
                0
            } else {
                event.to().expect("a number")
            };
            line.lock().push((event.id().as_str().to_owned(), number));
        }
    });
    let service = cluster.service().await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    // One stream from a node, numbered by it, and one from a service, which nobody numbers.
    let from_node = tokio::spawn({
        let (handle, stopped) = (cluster.node(2).handle(), stopped.clone());
        async move {
            let mut n = 0_u64;
            while !*stopped.borrow() {
                handle
                    .send_to_uid("alice", "t/node", &n)
                    .await
                    .expect("accepted");
                n += 1;
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            n
        }
    });
    let from_service = tokio::spawn(async move {
        let mut n = 0_u64;
        while !*stopped.borrow() {
            let body = format!(r#"["t/service",{n}]"#);
            publish(&service, "tengen.send-to.uid.alice", body).await;
            n += 1;
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        n
    });
    for step in 1..=MOVES {
        alice.moves_to(&cluster, step % 3).await;
    }
    stop.send(true).expect("they listen");
    let sent = [
        from_node.await.expect("no panic"),
        from_service.await.expect("no panic"),
    ];
    let last = ["t/node", "t/service"].map(str::to_owned);
    let last = [
        (last[0].clone(), sent[0] - 1),
        (last[1].clone(), sent[1] - 1),
    ];
    eventually("everything arrives", async || {
        let book = book.lock();
        last.iter().all(|item| book.contains(item))
    })
    .await;
    drop(everything);
    // Each at most once; all of them and in order, unless a gap said that something may be amiss.
    let (mut next, mut gaps) = ([0, 0], 0);
    let mut seen = HashSet::new();
    for (id, number) in book.lock().iter() {
        let stream = match id.as_str() {
            "t/node" => 0,
            "t/service" => 1,
            "chsk/gap" => {
                gaps += 1;
                continue;
            }
            other => panic!("{other} after {next:?}"),
        };
        assert!(seen.insert((stream, *number)), "{id} {number} came twice");
        assert!(
            gaps > 0 || *number == next[stream],
            "{id} {number} after {next:?} and no gap"
        );
        next[stream] = next[stream].max(number + 1);
    }
    assert_eq!(next, sent);
    assert!(sent[0] > 0 && sent[1] > 0);
}

async fn f62_pushes_to_all_and_to_the_anonymous_survive_moves(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let mut nobody = Nomad::start(&cluster, way, None).await;
    let handle = cluster.node(1).handle();
    let mut sent = 0;
    for to in [1, 0, 1] {
        nobody.cut_and_aim(cluster.node(to).address).await;
        for _ in 0..20 {
            handle.send_to_all("t/all", &sent).await.expect("accepted");
            handle
                .send_to_anonymous("t/anonymous", &sent)
                .await
                .expect("accepted");
            sent += 1;
        }
        nobody.until_open_on(to).await;
    }
    for n in 0..sent {
        assert_eq!(nobody.heard.data::<u64>("t/all").await, n);
        assert_eq!(nobody.heard.data::<u64>("t/anonymous").await, n);
    }
}

async fn f63c_a_message_id_is_delivered_once_across_a_takeover(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let mut alice = Nomad::start(&cluster, way, Some("alice")).await;
    let handle = cluster.node(0).handle();
    let once = async || {
        let push = handle.send_to_uid("alice", "t/once", &1).id("order-4711");
        push.await.expect("accepted");
    };
    once().await;
    assert_eq!(alice.heard.data::<u64>("t/once").await, 1);
    alice.moves_to(&cluster, 1).await;
    once().await;
    // And from elsewhere, without a number.
    let service = cluster.service().await;
    let again = Publish::new("tengen.send-to.uid.alice", r#"["t/once",1]"#);
    let again = again.header("Nats-Msg-Id", "order-4711");
    service.publish(again).await.expect("published");
    publish(
        &service,
        "tengen.send-to.uid.alice",
        r#"["t/end",2]"#.to_owned(),
    )
    .await;
    assert_eq!(alice.heard.data::<u64>("t/end").await, 2);
}

async fn equal_pushes_around_a_takeover_all_arrive(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let mut alice = Nomad::start(&cluster, way, Some("alice")).await;
    let service = cluster.service().await;
    let same = || {
        publish(
            &service,
            "tengen.send-to.uid.alice",
            r#"["t/same"]"#.to_owned(),
        )
    };
    for _ in 0..10 {
        same().await;
    }
    alice.cut_and_aim(cluster.node(1).address).await;
    for _ in 0..20 {
        same().await;
    }
    alice.until_open_on(1).await;
    for _ in 0..10 {
        same().await;
    }
    publish(
        &service,
        "tengen.send-to.uid.alice",
        r#"["t/end"]"#.to_owned(),
    )
    .await;
    let mut count = 0;
    loop {
        match alice.heard.next().await.0.as_str() {
            "t/same" => count += 1,
            "t/end" => break,
            other => panic!("{other}"),
        }
    }
    assert_eq!(count, 40);
}

async fn a_queue_of_two_megabytes_moves_in_parts(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let mut alice = Nomad::start(&cluster, way, Some("alice")).await;
    alice.is_shut_out().await;
    // Each as large as it may be, and together just below what a session may keep.
    let large = "x".repeat(500_000);
    let handle = cluster.node(0).handle();
    for n in 0..4 {
        let push = handle.send_to_uid("alice", "t/large", &(n, &large));
        push.await.expect("accepted");
    }
    // A fence behind all this could be late on a slow machine, and be told as a gap.
    eventually("all of it waits", async || {
        metric(&cluster, 0, "tengen_hub_queue_bytes").await > 2_000_000
    })
    .await;
    alice.moves_to(&cluster, 1).await;
    for n in 0..4 {
        let got: (u64, String) = alice.heard.data("t/large").await;
        assert_eq!(got.0, n);
        assert!(got.1 == large, "part of it is missing");
    }
}

async fn b2_only_and_except_hold_across_a_takeover(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let named = |client| Nomad::with(&cluster, way, Some("alice"), move |b| b.client_id(client));
    let (mut one, mut two) = (named("one").await, named("two").await);
    let handle = cluster.node(0).handle();
    one.cut_and_aim(cluster.node(1).address).await;
    for n in 0..50 {
        let push = || handle.send_to_uid("alice", "t/n", &n);
        push().only("one").await.expect("accepted");
        push().except("one").await.expect("accepted");
    }
    one.until_open_on(1).await;
    for n in 0..50 {
        assert_eq!(one.heard.data::<u64>("t/n").await, n);
        assert_eq!(two.heard.data::<u64>("t/n").await, n);
    }
    handle
        .send_to_uid("alice", "t/end", &())
        .await
        .expect("accepted");
    assert_eq!(one.heard.next().await.0, "t/end");
    assert_eq!(two.heard.next().await.0, "t/end");
}
