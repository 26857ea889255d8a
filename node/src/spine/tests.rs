//! Tests of hub and bus together, on the local bus: sessions without sockets, real tasks.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tengen_bus::push::batch;
use tengen_bus::push::{Push, Target};
use tengen_bus::{LocalNet, Message, Publish};
use tengen_protocol::{
    ClientHello, ClientId, CloseCode, Codec, Data, ErrorCode, NodeId, ServerFrame, ServerHello, Uid,
};

use super::*;
use crate::handle::Handle;
use crate::hub::Attachment;
use crate::interest::EveryNode;
use crate::push::PushError;

/// One node without its edge.
struct Node {
    spine: Spine,
    handle: Handle,
    bus: Bus,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// One client without its socket.
struct Tab {
    hub: Arc<Hub>,
    attachment: Attachment,
    events: Vec<(String, String)>,
    received: u64,
    close: Option<CloseCode>,
}

async fn node_with(net: &LocalNet, name: &str, change: impl FnOnce(&mut SpineConfig)) -> Node {
    let mut config = SpineConfig {
        hub: HubConfig::new(NodeId::parse(name).expect("valid")),
        subjects: Subjects::default(),
        ingest_queue_bytes: 64 << 20,
        routing: Arc::new(EveryNode),
    };
    change(&mut config);
    let (bus, metrics, stop) = (
        net.bus(),
        Arc::<Metrics>::default(),
        CancellationToken::new(),
    );
    let tracker = TaskTracker::new();
    let spine = Spine::start(
        config,
        bus.clone(),
        Arc::clone(&metrics),
        |_| {},
        &tracker,
        &stop,
    )
    .await
    .expect("subscribed");
    spine.interest.open().await.expect("open");
    let handle = Handle::new(Arc::clone(&spine.pusher));
    Node {
        spine,
        handle,
        bus,
        metrics,
        stop,
    }
}

async fn node(net: &LocalNet, name: &str) -> Node {
    node_with(net, name, |_| {}).await
}

impl Node {
    fn tab(&self, user: Option<&str>, client: &str) -> Tab {
        let hub = Arc::clone(&self.spine.hub);
        let client = ClientId::parse(client).expect("valid");
        let hello = ClientHello {
            client,
            attempt: 1,
            session: None,
            received: None,
            params: None,
        };
        let uid = user.map(|uid| Uid::parse(uid).expect("valid"));
        let attachment = hub
            .hello(&hello, uid, Codec::Json, hub.now())
            .expect("a session");
        let greeting = ServerHello {
            session: attachment.port.id.clone(),
            resumed: false,
            gap: false,
            received: 0,
            uid: attachment.port.uid.clone(),
            data: Data::null(Codec::Json),
            ping_ms: 15_000,
            max_bytes: 1 << 19,
            node: hub.config().node.clone(),
        };
        assert!(
            attachment
                .port
                .with(|inner| inner.session.hello(attachment.link, &greeting))
        );
        Tab {
            hub,
            attachment,
            events: Vec::new(),
            received: 0,
            close: None,
        }
    }

    async fn publish(&self, subject: &str, body: &str) {
        self.bus
            .publish(Publish::new(subject, body.to_owned()))
            .await
            .expect("published");
    }
}

impl Tab {
    /// Takes what stands in line, as a connection would.
    fn look(&mut self) {
        let (hub, link) = (&self.hub, self.attachment.link);
        let mut out = Vec::new();
        let written = self.attachment.port.with(|inner| {
            inner
                .session
                .write(link, &mut out, 100_000, 1 << 30, hub.now(), hub.bounds())
        });
        self.close = self.close.or(written.close.map(|(code, _)| code));
        for ws in out {
            let start = match ws[1] {
                126 => 4,
                127 => 10,
                _ => 2,
            };
            if let Ok(ServerFrame::Event { id, data }) =
                ServerFrame::decode(Codec::Json, ws.slice(start..), &Default::default())
            {
                self.received += 1;
                let data = String::from_utf8(data.bytes().to_vec()).expect("json");
                self.events.push((id.as_str().to_owned(), data));
            }
        }
    }

    /// Waits until `done` holds of what this client has got.
    async fn until(&mut self, what: &str, done: impl Fn(&Tab) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            self.look();
            if done(self) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{what}: got {} events, last {:?}",
                self.events.len(),
                self.events.last()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn next(&mut self, id: &str) {
        self.until(id, |tab| tab.events.iter().any(|(got, _)| got == id))
            .await;
    }

    fn ids(&self) -> Vec<&str> {
        self.events.iter().map(|(id, _)| id.as_str()).collect()
    }
}

/// Waits until `done` holds.
async fn eventually(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

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

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_closes_the_node_fails_pushes_at_once_and_is_told_as_a_gap_after_it() {
    let net = LocalNet::new();
    let (near, far) = (node(&net, "n1").await, node(&net, "n2").await);
    let mut tab = near.tab(Some("alice"), "a");
    net.take_down(&near.bus, "unplugged");
    eventually("not open", || !near.spine.interest.status().is_open()).await;
    let begun = Instant::now();
    let down = near.handle.send_to_uid("alice", "t/lost", &()).await;
    assert_eq!(down, Err(PushError::BusDown));
    assert!(begun.elapsed() < Duration::from_millis(500));
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
    near.spine.interest.open().await.expect("open again");
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
    let begun = Instant::now();
    assert!(node.spine.interest.open().await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(node.spine.interest.status().why_closed(), Some("draining"));
}
