//! Tests of malformed and repeated pushes.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn f63b_a_malformed_push_is_dropped_counted_and_answered_and_its_neighbours_arrive() {
    let net = LocalNet::new();
    let node = node(&net, "n1").await;
    let mut tab = node.tab(Some("alice"), "tab");
    let subject = "tengen.send-to.uid.alice";
    let too_large = format!(r#"["t/x","{}"]"#, "y".repeat(600 << 10));
    let cases = [
        ("{", ErrorCode::UNDECODABLE),
        ("7", ErrorCode::BAD_EVENT),
        ("[]", ErrorCode::BAD_EVENT),
        (r#"["t/x",1,2]"#, ErrorCode::BAD_EVENT),
        (r#"[1,2]"#, ErrorCode::BAD_ID),
        (r#"["nonamespace",1]"#, ErrorCode::NO_NAMESPACE),
        (r#"["t/with space",1]"#, ErrorCode::BAD_ID),
        (r#"["chsk/forged",1]"#, ErrorCode::RESERVED),
        (r#"["t/x",1] 2"#, ErrorCode::UNDECODABLE),
        (too_large.as_str(), ErrorCode::TOO_LARGE),
    ];
    for (n, (body, expect)) in cases.iter().enumerate() {
        let ask = Publish::new(subject, (*body).to_owned());
        let answer: Message = node
            .bus
            .request(ask, Duration::from_secs(5))
            .await
            .expect("an answer");
        let code = answer.headers.first("Tengen-Error").map(str::to_owned);
        assert_eq!(code, Some(expect.0.to_string()), "{:.60}", body);
        node.publish(subject, &format!(r#"["t/good",{n}]"#)).await;
    }
    tab.until("the good ones", |tab| tab.events.len() >= cases.len())
        .await;
    assert!(
        tab.ids().iter().all(|id| *id == "t/good"),
        "{:?}",
        tab.ids()
    );
    assert_eq!(node.metrics.ingest.malformed.value(), cases.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn f63b_a_bad_push_in_a_batch_spares_its_neighbours() {
    let net = LocalNet::new();
    let node = node(&net, "n1").await;
    let mut tab = node.tab(Some("alice"), "tab");
    let target = || Target::Uid(Uid::parse("alice").expect("valid"));
    let truncated_cbor = Bytes::from_static(b"\x82\x63t/x\x58\xff");
    let pushes = [
        Push::new(target(), Codec::Json, Bytes::from_static(br#"["t/first"]"#)),
        Push::new(target(), Codec::Cbor, truncated_cbor),
        Push::new(target(), Codec::Json, Bytes::from_static(br#"["t/last"]"#)),
    ];
    node.bus
        .publish(Publish::new(
            "tengen.send-to.batch",
            batch::encode(9, 1, &pushes),
        ))
        .await
        .expect("published");
    tab.next("t/last").await;
    assert_eq!(tab.ids(), ["t/first", "t/last"]);
    assert_eq!(node.metrics.ingest.malformed.value(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn f63b_who_asks_hears_what_is_wrong_with_a_push_to_a_stranger_too() {
    let net = LocalNet::new();
    let node = node(&net, "n1").await;
    let ask = Publish::new("tengen.send-to.uid.nobody", r#"["noslash"]"#);
    let answer = node
        .bus
        .request(ask, Duration::from_secs(5))
        .await
        .expect("an answer");
    assert_eq!(answer.headers.first("Tengen-Error"), Some("3"));
    node.publish("tengen.send-to.uid.nobody", r#"["noslash"]"#)
        .await;
    eventually("counted as a stranger", || {
        node.metrics.ingest.strangers.value() == 2
    })
    .await;
    assert_eq!(
        node.metrics.ingest.malformed.value(),
        1,
        "nobody pays for a stranger's check"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f63c_the_same_message_id_is_delivered_once() {
    let net = LocalNet::new();
    let node = node(&net, "n1").await;
    let (mut alice, mut bob) = (node.tab(Some("alice"), "a"), node.tab(Some("bob"), "b"));
    for uid in ["alice", "alice", "bob"] {
        let message = Publish::new(format!("tengen.send-to.uid.{uid}"), r#"["t/once"]"#)
            .header("Nats-Msg-Id", "order-17");
        node.bus.publish(message).await.expect("published");
    }
    node.handle
        .send_to_uid("alice", "t/once", &())
        .id("order-17")
        .await
        .expect("accepted");
    node.handle
        .send_to_all("t/end", &())
        .await
        .expect("accepted");
    for tab in [&mut alice, &mut bob] {
        tab.next("t/end").await;
        assert_eq!(tab.ids(), ["t/once", "t/end"]);
    }
    assert_eq!(node.metrics.ingest.duplicates.value(), 2);
}
