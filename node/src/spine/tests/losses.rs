//! Tests of what is lost: outages, holes, overload; each told as a gap.

use super::*;

// One thread: the publisher's task runs once the loop is over.
#[tokio::test]
async fn f59_a_loop_of_pushes_is_handed_over_whole_and_in_order() {
    let net = LocalNet::new();
    let (here, there) = (node(&net, "n1").await, node(&net, "n2").await);
    let mut tab = there.tab(Some("alice"), "a");
    let before = there.metrics.ingest.messages.value();
    for n in 0..100 {
        here.handle
            .send_to_uid("alice", "t/n", &n)
            .try_send()
            .expect("taken");
    }
    tab.until("100 events", |tab| tab.events.len() >= 100).await;
    let got: Vec<_> = tab
        .events
        .iter()
        .map(|(_, data)| data.parse::<usize>().expect("a number"))
        .collect();
    assert_eq!(got, (0..100).collect::<Vec<_>>());
    let batches = there.metrics.ingest.messages.value() - before;
    assert!(batches <= 2, "{batches} batches for 100 pushes");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_closes_the_node_fails_pushes_at_once_and_is_told_as_a_gap_after_it() {
    let net = LocalNet::new();
    let (near, far) = (node(&net, "n1").await, node(&net, "n2").await);
    let mut tab = near.tab(Some("alice"), "a");
    net.take_down(&near.bus, "unplugged");
    eventually("not open", || !near.spine.interest.status().is_open()).await;
    fails_at_once(&near.handle).await;
    far.handle
        .send_to_uid("alice", "t/missed", &())
        .await
        .expect("far has its bus");
    tab.look();
    assert_eq!(
        tab.ids(),
        [""; 0],
        "no gap before the interest is confirmed again"
    );

    net.bring_up(&near.bus);
    until_open(&near.spine.interest).await;
    far.handle
        .send_to_uid("alice", "t/after", &())
        .await
        .expect("accepted");
    tab.next("t/after").await;
    assert!(tab.ids().contains(&"chsk/gap"), "{:?}", tab.ids());
    assert!(!tab.ids().contains(&"t/missed"), "{:?}", tab.ids());
    let gap = tab
        .events
        .iter()
        .find(|(id, _)| id == "chsk/gap")
        .map(|(_, data)| data.clone());
    assert_eq!(gap.as_deref(), Some(r#"{"reason":"bus-down"}"#));
    assert_eq!(
        far.metrics.ingest.interruptions.value(),
        0,
        "the other node heard all"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_a_publishers_numbers_is_told_as_a_gap_in_its_place() {
    let net = LocalNet::new();
    let node = node(&net, "n1").await;
    let mut tabs = [node.tab(Some("alice"), "a"), node.tab(None, "b")];
    for (seq, event) in [(1, r#"["t/1"]"#), (3, r#"["t/3"]"#)] {
        let push = Push::new(Target::All, Codec::Json, Bytes::from(event));
        node.bus
            .publish(Publish::new(
                "tengen.send-to.batch",
                batch::encode(5, seq, [&push]),
            ))
            .await
            .expect("published");
    }
    for tab in &mut tabs {
        tab.next("t/3").await;
        assert_eq!(tab.ids(), ["t/1", "chsk/gap", "t/3"]);
    }
    assert_eq!(node.metrics.ingest.lost_batches.value(), 1);
}

#[tokio::test]
async fn pushes_beyond_the_ingest_bound_are_shed_counted_and_told_to_whom_they_were_for() {
    let net = LocalNet::new();
    let node = node_with(&net, "n1", |config| config.ingest_queue_bytes = 100_000).await;
    let (mut alice, mut bob) = (node.tab(Some("alice"), "a"), node.tab(Some("bob"), "b"));
    // One thread: ingest does not run in between, and the local bus delivers within publish.
    let other = net.bus();
    for n in 0..100 {
        let body = format!(r#"["t/n","{n}{}"]"#, "x".repeat(2000));
        let publish = other.publish(Publish::new("tengen.send-to.uid.alice", body));
        tokio::task::coop::unconstrained(publish)
            .await
            .expect("published");
    }
    let shed = || node.metrics.ingest.shed.value();
    eventually("shed", || shed() > 0).await;
    alice.next("chsk/gap").await;
    node.handle
        .send_to_all("t/end", &())
        .await
        .expect("accepted");
    alice.next("t/end").await;
    bob.next("t/end").await;
    let delivered = alice.ids().iter().filter(|id| **id == "t/n").count() as u64;
    assert_eq!(delivered + shed(), 100, "every push arrived or was counted");
    assert!(delivered > 20);
    assert_eq!(bob.ids(), ["t/end"], "the gap is told to alice alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_node_is_not_open_at_once() {
    let net = LocalNet::new();
    let node = node(&net, "n1").await;
    node.spine.interest.drain();
    assert!(!node.spine.interest.status().is_open());
    assert_eq!(node.spine.interest.status().why_closed(), Some("draining"));
}
