//! Tests of whom a push through the bus reaches, in which order.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn f43_a_push_from_anywhere_reaches_each_tab_of_a_user_once_on_every_node() {
    let net = LocalNet::new();
    let nodes = [
        node(&net, "n1").await,
        node(&net, "n2").await,
        node(&net, "n3").await,
    ];
    let mut tabs: Vec<_> = nodes
        .iter()
        .map(|node| node.tab(Some("alice"), "tab"))
        .collect();
    let mut bob = nodes[0].tab(Some("bob"), "bob");

    nodes[1]
        .handle
        .send_to_uid("alice", "t/by-node", &1)
        .await
        .expect("accepted");
    nodes[2]
        .publish("tengen.send-to.uid.alice", r#"["t/by-service",2]"#)
        .await;
    nodes[0]
        .handle
        .send_to_all("t/end", &())
        .await
        .expect("accepted");
    for tab in &mut tabs {
        tab.next("t/end").await;
        tab.next("t/by-service").await;
        assert_eq!(tab.events.len(), 3, "{:?}", tab.events);
        tab.next("t/by-node").await;
    }
    bob.next("t/end").await;
    assert_eq!(bob.ids(), ["t/end"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_one_publishers_order_holds_across_uid_all_and_batch() {
    let net = LocalNet::new();
    let node = node(&net, "n1").await;
    let mut tab = node.tab(Some("alice"), "tab");
    let event = |n: usize| Bytes::from(format!(r#"["t/n",{n}]"#));
    for n in 0..1000 {
        let message = match n % 3 {
            0 => Publish::new("tengen.send-to.uid.alice", event(n)),
            1 => Publish::new("tengen.send-to.all", event(n)),
            _ => {
                let target = Target::Uid(Uid::parse("alice").expect("valid"));
                let push = Push::new(target, Codec::Json, event(n));
                Publish::new(
                    "tengen.send-to.batch",
                    batch::encode(7, n as u64 / 3 + 1, [&push]),
                )
            }
        };
        node.bus.publish(message).await.expect("published");
    }
    tab.until("1,000 events", |tab| tab.events.len() >= 1000)
        .await;
    let got: Vec<_> = tab
        .events
        .iter()
        .map(|(_, data)| data.parse::<usize>().expect("a number"))
        .collect();
    assert_eq!(got, (0..1000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_pushes_of_one_handle_keep_their_order_and_come_back_by_echo() {
    let net = LocalNet::new();
    let (here, there) = (node(&net, "n1").await, node(&net, "n2").await);
    let mut tabs = [here.tab(Some("alice"), "a"), there.tab(Some("alice"), "b")];
    for n in 0..300 {
        match n % 2 {
            0 => here.handle.send_to_uid("alice", "t/n", &n).await,
            _ => here.handle.send_to_all("t/n", &n).await,
        }
        .expect("accepted");
    }
    for tab in &mut tabs {
        tab.until("300 events", |tab| tab.events.len() >= 300).await;
        let got: Vec<_> = tab
            .events
            .iter()
            .map(|(_, data)| data.parse::<usize>().expect("a number"))
            .collect();
        assert_eq!(got, (0..300).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_only_and_except_reach_the_named_clients_by_handle_and_by_bus() {
    let net = LocalNet::new();
    let (near, far) = (node(&net, "n1").await, node(&net, "n2").await);
    let (mut one, mut two) = (
        near.tab(Some("alice"), "one"),
        far.tab(Some("alice"), "two"),
    );
    let send = |id: &'static str| near.handle.send_to_uid("alice", id, &());
    send("t/only-two").only("two").await.expect("accepted");
    send("t/except-two").except("two").await.expect("accepted");
    for (header, id) in [
        ("Tengen-Only", "t/bus-only"),
        ("Tengen-Except", "t/bus-except"),
    ] {
        let body = format!(r#"["{id}"]"#);
        let message = Publish::new("tengen.send-to.uid.alice", body).header(header, "two");
        near.bus.publish(message).await.expect("published");
    }
    near.publish("tengen.send-to.all", r#"["t/end"]"#).await;
    for tab in [&mut one, &mut two] {
        tab.until("five or four events", |tab| tab.events.len() >= 3)
            .await;
        tab.next("t/end").await;
    }
    let sorted = |tab: &Tab| {
        let mut ids: Vec<_> = tab.ids().into_iter().map(str::to_owned).collect();
        ids.sort();
        ids
    };
    assert_eq!(sorted(&one), ["t/bus-except", "t/end", "t/except-two"]);
    assert_eq!(sorted(&two), ["t/bus-only", "t/end", "t/only-two"]);
    let refused = near
        .handle
        .send_to_uid("alice", "t/x", &())
        .only("no spaces")
        .await;
    assert!(
        matches!(refused, Err(PushError::Refused(refusal)) if refusal.code == ErrorCode::BAD_ID)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f49_any_uid_gets_exactly_its_own_pushes() {
    let net = LocalNet::new();
    let node = node(&net, "n1").await;
    let long = "x".repeat(256);
    let uids = [
        "alice@example.com",
        "42",
        "a.b.*.>",
        "Zoë 🦀",
        "00000000-0000-4000-8000-000000000000",
        &long,
    ];
    let mut tabs: Vec<_> = uids
        .iter()
        .enumerate()
        .map(|(n, uid)| node.tab(Some(uid), &format!("t{n}")))
        .collect();
    let subjects = Subjects::default();
    for uid in uids {
        let to = subjects.send_to_uid(&Uid::parse(uid).expect("valid"));
        node.bus
            .publish(Publish::new(to, format!(r#"["t/bus",{uid:?}]"#)))
            .await
            .expect("published");
        node.handle
            .send_to_uid(uid, "t/handle", uid)
            .await
            .expect("accepted");
    }
    node.publish("tengen.send-to.uid.alice@example.com", r#"["t/dots"]"#)
        .await;
    for (tab, uid) in tabs.iter_mut().zip(uids) {
        tab.next("t/handle").await;
        tab.next("t/bus").await;
        if uid == "alice@example.com" {
            tab.next("t/dots").await;
        }
        let mine = format!("{uid:?}");
        assert!(
            tab.events
                .iter()
                .all(|(id, data)| id == "t/dots" || *data == mine),
            "{uid}: {:?}",
            tab.events
        );
        assert_eq!(
            tab.events.len(),
            if uid == "alice@example.com" { 3 } else { 2 }
        );
    }
    for bad in ["", &"x".repeat(257), "a\nb"] {
        let refused = node.handle.send_to_uid(bad, "t/x", &()).await;
        assert!(
            matches!(refused, Err(PushError::Refused(refusal)) if refusal.code == ErrorCode::BAD_ID),
            "{bad:?}"
        );
    }
}
