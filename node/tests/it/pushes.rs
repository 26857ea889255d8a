//! Pushes from nodes and services: whom they reach, in which order, and what a malformed one does.

use std::collections::BTreeMap;

use bytes::Bytes;
use tengen_bus::push::{Push, Target, batch};
use tengen_bus::{Bus, Publish};
use tengen_client::Client;
use tengen_node::PushError;
use tengen_protocol::{Codec, ErrorCode, Uid};

use crate::cluster::{Cluster, Kind, PATIENCE, eventually, metric};
use crate::each_way;
use crate::heard::Heard;
use crate::way::Way;

each_way!(
    f06_a_push_from_a_node_or_a_service_reaches_each_client_of_a_user_once,
    f43_closing_one_of_three_tabs_changes_nothing_for_the_others,
    f48_all_and_anonymous_reach_each_of_theirs_once,
    f49_any_uid_gets_exactly_its_own_pushes,
    f59_f65_a_hundred_pushes_in_a_loop_arrive_in_order_in_four_writes_or_one_poll,
    f63b_a_malformed_push_is_answered_and_its_neighbours_arrive,
    f63c_the_same_message_id_is_delivered_once,
    b1_one_publishers_order_holds_across_uid_all_and_batch,
    b2_only_and_except_choose_among_a_users_clients,
);

async fn publish(bus: &Bus, subject: &str, body: &str) {
    let message = Publish::new(subject, body.to_owned());
    bus.publish(message).await.expect("published");
}

/// A mark that everybody gets after what went before it by the same publisher.
async fn end(bus: &Bus) {
    publish(bus, "tengen.send-to.all", r#"["t/end"]"#).await;
}

/// What came before the mark, id by id.
async fn before_end(heard: &mut Heard) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        match heard.next().await.0 {
            id if id == "t/end" => return ids,
            id => ids.push(id),
        }
    }
}

async fn named(cluster: &Cluster, node: usize, client: &str) -> Client {
    let builder = cluster.builder(node, Some("alice")).client_id(client);
    builder.connect().await.expect("connected")
}

async fn f06_a_push_from_a_node_or_a_service_reaches_each_client_of_a_user_once(way: Way) {
    let cluster = Cluster::start(way, 3).await;
    let mut tabs = Vec::new();
    for node in 0..3 {
        let client = cluster.client(node, Some("alice")).await;
        tabs.push((Heard::by(&client), client));
    }
    let bob = cluster.client(1, Some("bob")).await;
    let mut to_bob = Heard::by(&bob);
    let service = cluster.service().await;

    publish(&service, "tengen.send-to.uid.alice", r#"["t/service",1]"#).await;
    for node in 0..3 {
        let handle = cluster.node(node).handle();
        handle
            .send_to_uid("alice", "t/node", &node)
            .await
            .expect("accepted");
    }
    for (heard, _) in &mut tabs {
        let mut got = BTreeMap::new();
        for _ in 0..4 {
            let (id, data) = heard.next().await;
            *got.entry((id, data.to::<u64>().expect("a number")))
                .or_insert(0) += 1;
        }
        let once = |id: &str, n| ((id.to_owned(), n), 1);
        let expect = [
            once("t/node", 0),
            once("t/node", 1),
            once("t/node", 2),
            once("t/service", 1),
        ];
        assert_eq!(got, BTreeMap::from(expect));
    }
    end(&service).await;
    for (heard, _) in &mut tabs {
        assert_eq!(before_end(heard).await, [""; 0], "nothing twice");
    }
    assert_eq!(before_end(&mut to_bob).await, [""; 0]);
}

async fn f43_closing_one_of_three_tabs_changes_nothing_for_the_others(way: Way) {
    let cluster = Cluster::start(way, 3).await;
    let (one, two) = (
        cluster.client(0, Some("alice")).await,
        cluster.client(1, Some("alice")).await,
    );
    let three = cluster.client(2, Some("alice")).await;
    let (mut to_one, mut to_two) = (Heard::by(&one), Heard::by(&two));
    three.close().await;
    let service = cluster.service().await;
    publish(&service, "tengen.send-to.uid.alice", r#"["t/x",7]"#).await;
    end(&service).await;
    for heard in [&mut to_one, &mut to_two] {
        assert_eq!(before_end(heard).await, ["t/x"]);
    }
}

async fn f48_all_and_anonymous_reach_each_of_theirs_once(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let alice = cluster.client(0, Some("alice")).await;
    let (near, far) = (cluster.client(0, None).await, cluster.client(1, None).await);
    let mut heard = [&alice, &near, &far].map(Heard::by);
    let service = cluster.service().await;
    publish(&service, "tengen.send-to.anonymous", r#"["t/anonymous"]"#).await;
    publish(&service, "tengen.send-to.all", r#"["t/all"]"#).await;
    let handle = cluster.node(1).handle();
    handle
        .send_to_anonymous("t/by-node", &())
        .await
        .expect("accepted");
    handle.send_to_all("t/last", &()).await.expect("accepted");
    let expect = [
        vec!["t/all"],
        vec!["t/all", "t/anonymous", "t/by-node"],
        vec!["t/all", "t/anonymous", "t/by-node"],
    ];
    for (heard, expect) in heard.iter_mut().zip(expect) {
        // The service's and the node's pushes may come in either order.
        let mut ids = Vec::new();
        while ids.len() < expect.len() + 1 {
            ids.push(heard.next().await.0);
        }
        ids.retain(|id| id != "t/last");
        ids.sort();
        assert_eq!(ids, expect);
    }
}

async fn f49_any_uid_gets_exactly_its_own_pushes(way: Way) {
    let cluster = Cluster::start(way, 1).await;
    let long = "x".repeat(256);
    let uids = [
        "alice@example.com",
        "42",
        "a.b.*.>",
        "Zoë 🦀",
        "00000000-0000-4000-8000-000000000000",
        &long,
    ];
    let mut clients = Vec::new();
    for uid in uids {
        let client = cluster.client(0, Some(uid)).await;
        clients.push((Heard::by(&client), client));
    }
    let service = cluster.service().await;
    for uid in uids {
        let to = cluster
            .subjects()
            .send_to_uid(&Uid::parse(uid).expect("valid"));
        publish(
            &service,
            &to,
            &serde_json::json!(["t/mine", uid]).to_string(),
        )
        .await;
    }
    publish(
        &service,
        "tengen.send-to.uid.alice@example.com",
        r#"["t/dots"]"#,
    )
    .await;
    end(&service).await;
    for ((heard, _), uid) in clients.iter_mut().zip(uids) {
        assert_eq!(heard.data::<String>("t/mine").await, uid);
        let expect = if uid == "alice@example.com" {
            vec!["t/dots"]
        } else {
            vec![]
        };
        assert_eq!(before_end(heard).await, expect, "{uid}");
    }
    for bad in ["", &"x".repeat(257), "a\u{7}b"] {
        let refused = cluster.node(0).handle().send_to_uid(bad, "t/x", &()).await;
        assert!(
            matches!(refused, Err(PushError::Refused(refusal)) if refusal.code == ErrorCode::BAD_ID)
        );
    }
}

async fn f59_f65_a_hundred_pushes_in_a_loop_arrive_in_order_in_four_writes_or_one_poll(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let alice = cluster.client(1, Some("alice")).await;
    let mut heard = Heard::by(&alice);
    let handle = cluster.node(0).handle();
    let (turns, most) = match way.by.transport() {
        "poll" => ("tengen_poll_answered_total", 1),
        _ => ("tengen_edge_writes_total", 4),
    };
    let mut fewest = u64::MAX;
    // A busy machine may stop the loop in its middle; it does not do so every time.
    for _ in 0..10 {
        let before = metric(&cluster, 1, turns).await;
        for n in 0..100_u64 {
            handle
                .send_to_uid("alice", "t/n", &n)
                .try_send()
                .expect("taken");
        }
        for n in 0..100 {
            assert_eq!(heard.data::<u64>("t/n").await, n);
        }
        let writes = metric(&cluster, 1, turns).await - before;
        assert!(writes > 0, "the metric counts");
        fewest = fewest.min(writes);
        if fewest <= most {
            return;
        }
    }
    panic!("{fewest} at best");
}

async fn f63b_a_malformed_push_is_answered_and_its_neighbours_arrive(way: Way) {
    let cluster = Cluster::start(way, 1).await;
    let alice = cluster.client(0, Some("alice")).await;
    let mut heard = Heard::by(&alice);
    let service = cluster.service().await;
    let subject = "tengen.send-to.uid.alice";
    let too_large = format!(r#"["t/x","{}"]"#, "y".repeat(600 << 10));
    let cases = [
        ("application/json", "{", ErrorCode::UNDECODABLE),
        ("application/json", "7", ErrorCode::BAD_EVENT),
        ("application/json", r#"["t/x",1,2]"#, ErrorCode::BAD_EVENT),
        ("application/json", r#"["bad",1]"#, ErrorCode::NO_NAMESPACE),
        ("application/json", r#"["chsk/x",1]"#, ErrorCode::RESERVED),
        ("application/json", too_large.as_str(), ErrorCode::TOO_LARGE),
        // An array of two whose second, a string of 31 bytes, is cut off.
        ("application/cbor", "\u{2}", ErrorCode::BAD_EVENT),
    ];
    for (n, (content_type, body, expect)) in cases.iter().enumerate() {
        let ask = Publish::new(subject, (*body).to_owned()).header("Content-Type", *content_type);
        let answer = service.request(ask, PATIENCE).await.expect("an answer");
        let error = answer.headers.first("Tengen-Error").map(str::to_owned);
        assert_eq!(error, Some(expect.0.to_string()), "{body:.40}");
        publish(&service, subject, &format!(r#"["t/good",{n}]"#)).await;
    }
    let alice_uid = || Target::Uid(Uid::parse("alice").expect("valid"));
    let batch = [
        Push::new(
            alice_uid(),
            Codec::Json,
            Bytes::from_static(br#"["t/first"]"#),
        ),
        Push::new(
            alice_uid(),
            Codec::Cbor,
            Bytes::from_static(b"\x82\x63t/x\x58\x1f"),
        ),
        Push::new(
            alice_uid(),
            Codec::Json,
            Bytes::from_static(br#"["t/last"]"#),
        ),
    ];
    let message = Publish::new("tengen.send-to.batch", batch::encode(1, 1, &batch));
    service.publish(message).await.expect("published");
    end(&service).await;
    for n in 0..cases.len() as u64 {
        assert_eq!(heard.data::<u64>("t/good").await, n);
    }
    assert_eq!(before_end(&mut heard).await, ["t/first", "t/last"]);

    let malformed = metric(&cluster, 0, "tengen_ingest_malformed_total").await;
    assert_eq!(malformed, cases.len() as u64 + 1);
}

async fn f63c_the_same_message_id_is_delivered_once(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let alice = cluster.client(1, Some("alice")).await;
    let mut heard = Heard::by(&alice);
    let service = cluster.service().await;
    for _ in 0..3 {
        let once = Publish::new("tengen.send-to.uid.alice", r#"["t/once"]"#)
            .header("Nats-Msg-Id", "order-17");
        service.publish(once).await.expect("published");
    }
    end(&service).await;
    assert_eq!(before_end(&mut heard).await, ["t/once"]);
}

async fn b1_one_publishers_order_holds_across_uid_all_and_batch(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let alice = cluster.client(1, Some("alice")).await;
    let mut heard = Heard::by(&alice);
    let service = cluster.service().await;
    for n in 0..1000_u64 {
        let event = Bytes::from(format!(r#"["t/n",{n}]"#));
        let message = match n % 3 {
            0 => Publish::new("tengen.send-to.uid.alice", event),
            1 => Publish::new("tengen.send-to.all", event),
            _ => {
                let push = Push::new(Target::All, Codec::Json, event);
                Publish::new("tengen.send-to.batch", batch::encode(7, n / 3 + 1, [&push]))
            }
        };
        service.publish(message).await.expect("published");
    }
    for n in 0..1000 {
        assert_eq!(heard.data::<u64>("t/n").await, n);
    }
}

async fn b2_only_and_except_choose_among_a_users_clients(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let (phone, laptop) = (
        named(&cluster, 0, "phone").await,
        named(&cluster, 1, "laptop").await,
    );
    let mut heard = [&phone, &laptop].map(Heard::by);
    let service = cluster.service().await;
    for (header, id) in [("Tengen-Only", "t/only"), ("Tengen-Except", "t/except")] {
        let message = Publish::new("tengen.send-to.uid.alice", format!(r#"["{id}"]"#))
            .header(header, "phone");
        service.publish(message).await.expect("published");
    }
    end(&service).await;
    let [to_phone, to_laptop] = &mut heard;
    assert_eq!(before_end(to_phone).await, ["t/only"]);
    assert_eq!(before_end(to_laptop).await, ["t/except"]);

    let handle = cluster.node(0).handle();
    handle
        .send_to_uid("alice", "t/only", &())
        .only("laptop")
        .await
        .expect("accepted");
    handle
        .send_to_uid("alice", "t/except", &())
        .except("laptop")
        .await
        .expect("accepted");
    assert_eq!(to_laptop.next().await.0, "t/only");
    assert_eq!(to_phone.next().await.0, "t/except");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_counted_and_cost_nobody_anything() {
    let cluster = Cluster::start(Kind::Local, 1).await;
    let alice = cluster.client(0, Some("alice")).await;
    let mut heard = Heard::by(&alice);
    let service = cluster.service().await;
    for n in 0..50 {
        publish(
            &service,
            &format!("tengen.send-to.uid.stranger{n}"),
            r#"["t/x"]"#,
        )
        .await;
    }
    end(&service).await;
    assert_eq!(before_end(&mut heard).await, [""; 0]);
    eventually("50 strangers in the metrics", async || {
        metric(&cluster, 0, "tengen_ingest_strangers_total").await == 50
    })
    .await;
}
