//! Tests of the hub's rules, without sockets or bus: sessions, queues and counted wakers.

use std::sync::atomic::AtomicUsize;
use std::task::{Wake, Waker};

use bytes::Bytes;
use tengen_bus::push::{Filter, Push, Target};
use tengen_protocol::{ClientId, Data, RawEvent, ServerFrame, ServerHello};

use super::members::Crowd;
use super::touched::Touched;
use super::*;
use crate::ingest::gap;
use crate::interest::EveryNode;

/// Counts how often a connection would have been polled.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// One client as the edge would hold it: attached, greeted, parked.
struct Tab {
    hub: Arc<Hub>,
    attachment: Attachment,
    wakes: Arc<Wakes>,
}

fn node() -> NodeId {
    NodeId::parse("n1").expect("valid")
}

fn hub_with(change: impl FnOnce(&mut HubConfig)) -> Arc<Hub> {
    let mut config = HubConfig::new(node());
    change(&mut config);
    Hub::new(config, Arc::default(), Arc::new(EveryNode))
}

fn hub() -> Arc<Hub> {
    hub_with(|_| {})
}

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("valid")
}

fn hello(client: &str, attempt: u64) -> ClientHello {
    let client = ClientId::parse(client).expect("valid");
    ClientHello {
        client,
        attempt,
        session: None,
        received: None,
        params: None,
    }
}

fn naming(client: &str, attempt: u64, port: &Port) -> ClientHello {
    ClientHello {
        session: Some(port.id.clone()),
        received: Some(0),
        ..hello(client, attempt)
    }
}

fn open(hub: &Arc<Hub>, user: Option<&str>, client: &str) -> Tab {
    open_as(hub, user, client, Codec::Json)
}

fn open_as(hub: &Arc<Hub>, user: Option<&str>, client: &str, codec: Codec) -> Tab {
    let attachment = hub
        .hello(&hello(client, 1), user.map(uid), codec, hub.now())
        .expect("a session");
    Tab::greeted(hub, attachment)
}

impl Tab {
    fn greeted(hub: &Arc<Hub>, attachment: Attachment) -> Tab {
        let tab = Tab {
            hub: Arc::clone(hub),
            attachment,
            wakes: Arc::default(),
        };
        let Attachment {
            port,
            attached,
            link,
            ..
        } = &tab.attachment;
        let greeting = ServerHello {
            session: port.id.clone(),
            resumed: attached.resumed,
            gap: attached.gap,
            received: attached.received,
            uid: port.uid.clone(),
            data: Data::null(port.codec),
            ping_ms: 15_000,
            max_bytes: 1 << 19,
            node: node(),
        };
        assert!(port.with(|inner| inner.session.hello(*link, &greeting)));
        tab.write();
        tab.park(true);
        tab
    }

    fn port(&self) -> &Arc<Port> {
        &self.attachment.port
    }

    fn park(&self, hungry: bool) -> bool {
        let waker = Waker::from(Arc::clone(&self.wakes));
        self.port()
            .with(|inner| inner.park(self.attachment.link, &waker, hungry))
    }

    /// Everything that would now go to the socket, and the close code after it.
    fn write(&self) -> (Vec<Bytes>, Option<CloseCode>) {
        let (hub, link) = (&self.hub, self.attachment.link);
        let mut out = Vec::new();
        let written = self.port().with(|inner| {
            inner.session.write(
                link,
                &mut out,
                1_000_000,
                usize::MAX,
                hub.now(),
                hub.bounds(),
            )
        });
        (out, written.close.map(|(code, _)| code))
    }

    /// The ids of the events that would now go to the socket.
    fn events(&self) -> Vec<String> {
        self.write().0.iter().filter_map(event_id).collect()
    }
}

fn event_id(ws: &Bytes) -> Option<String> {
    let body = ws.slice(if ws[1] == 126 { 4 } else { 2 }..);
    let codec = if ws[0] == 0x81 {
        Codec::Json
    } else {
        Codec::Cbor
    };
    match ServerFrame::decode(codec, body, &Default::default()) {
        Ok(ServerFrame::Event { id, .. }) => Some(id.as_str().to_owned()),
        _ => None,
    }
}

fn event(json: &str) -> (Push, RawEvent) {
    let body = Bytes::copy_from_slice(json.as_bytes());
    let event = RawEvent::check(Codec::Json, body, &Default::default()).expect("an event");
    (crate::push::to(Target::All, &event), event)
}

fn push(hub: &Hub, target: Target, filter: Filter, json: &str, touched: &mut Touched) -> usize {
    let (mut push, event) = event(json);
    push.target = target;
    push.filter = filter;
    hub.recipients(&push.target)
        .map_or(0, |to| hub.deliver(&to, &push.filter, &event, touched))
}

fn push_now(hub: &Hub, target: Target, json: &str) -> usize {
    let mut touched = Touched::default();
    let count = push(hub, target, Filter::None, json, &mut touched);
    hub.settle(&mut touched);
    count
}

#[test]
fn a_push_reaches_every_client_of_its_user_and_nobody_else() {
    let hub = hub();
    let tabs = [
        open(&hub, Some("alice"), "a1"),
        open(&hub, Some("alice"), "a2"),
    ];
    let others = [open(&hub, Some("bob"), "b"), open(&hub, None, "c")];
    assert_eq!(push_now(&hub, Target::Uid(uid("alice")), r#"["t/x",1]"#), 2);
    assert_eq!(
        push_now(&hub, Target::Uid(uid("nobody")), r#"["t/y",1]"#),
        0
    );
    for tab in &tabs {
        assert_eq!(tab.events(), ["t/x"]);
    }
    for tab in &others {
        assert_eq!(tab.events(), [""; 0]);
    }
}

#[test]
fn f48_anonymous_and_all_reach_each_of_theirs_once() {
    let hub = hub();
    let (alice, ghost, other) = (
        open(&hub, Some("alice"), "a"),
        open(&hub, None, "g"),
        open(&hub, None, "o"),
    );
    assert_eq!(push_now(&hub, Target::Anonymous, r#"["t/anonymous"]"#), 2);
    assert_eq!(push_now(&hub, Target::All, r#"["t/all"]"#), 3);
    assert_eq!(alice.events(), ["t/all"]);
    assert_eq!(ghost.events(), ["t/anonymous", "t/all"]);
    assert_eq!(other.events(), ["t/anonymous", "t/all"]);
}

#[test]
fn b2_only_and_except_choose_among_the_clients_of_a_user() {
    let hub = hub();
    let (one, two) = (
        open(&hub, Some("alice"), "one"),
        open(&hub, Some("alice"), "two"),
    );
    let stranger = open(&hub, Some("bob"), "one");
    let client = |text| ClientId::parse(text).expect("valid");
    let mut touched = Touched::default();
    let alice = || Target::Uid(uid("alice"));
    assert_eq!(
        push(
            &hub,
            alice(),
            Filter::Only(client("one")),
            r#"["t/only"]"#,
            &mut touched
        ),
        1
    );
    assert_eq!(
        push(
            &hub,
            alice(),
            Filter::Except(client("one")),
            r#"["t/except"]"#,
            &mut touched
        ),
        1
    );
    assert_eq!(
        push(
            &hub,
            alice(),
            Filter::Only(client("none")),
            r#"["t/none"]"#,
            &mut touched
        ),
        0
    );
    hub.settle(&mut touched);
    assert_eq!(one.events(), ["t/only"]);
    assert_eq!(two.events(), ["t/except"]);
    assert_eq!(stranger.events(), [""; 0]);
}

#[test]
fn a_push_is_encoded_once_per_codec_and_shared() {
    let hub = hub();
    let json = [
        open(&hub, Some("alice"), "j1"),
        open(&hub, Some("alice"), "j2"),
    ];
    let cbor = [Codec::Cbor; 2].map(|codec| open_as(&hub, Some("alice"), "c", codec));
    assert_eq!(
        push_now(&hub, Target::Uid(uid("alice")), r#"["t/x",{"n":1}]"#),
        4
    );
    let frame = |tab: &Tab| tab.write().0.remove(0);
    let (j1, j2, c1, c2) = (
        frame(&json[0]),
        frame(&json[1]),
        frame(&cbor[0]),
        frame(&cbor[1]),
    );
    assert_eq!(j1.as_ptr(), j2.as_ptr(), "one buffer for all JSON clients");
    assert_eq!(c1.as_ptr(), c2.as_ptr(), "one buffer for all CBOR clients");
    assert_eq!(
        (event_id(&j1), event_id(&c1)),
        (Some("t/x".into()), Some("t/x".into()))
    );
}

#[test]
fn f59_many_pushes_wake_a_connection_once_and_keep_their_order() {
    let hub = hub();
    let tab = open(&hub, Some("alice"), "a");
    let mut touched = Touched::default();
    for n in 0..100 {
        push(
            &hub,
            Target::Uid(uid("alice")),
            Filter::None,
            &format!(r#"["t/n{n}"]"#),
            &mut touched,
        );
    }
    assert_eq!(
        tab.wakes.count(),
        0,
        "nobody is woken before the batch is in line"
    );
    hub.settle(&mut touched);
    assert_eq!(tab.wakes.count(), 1);
    assert_eq!(
        tab.events(),
        (0..100).map(|n| format!("t/n{n}")).collect::<Vec<_>>()
    );
}

#[test]
fn a_blocked_connection_is_not_woken_by_pushes_but_by_a_kick() {
    let hub = hub();
    let tab = open(&hub, Some("alice"), "a");
    assert!(tab.park(false));
    push_now(&hub, Target::Uid(uid("alice")), r#"["t/x"]"#);
    assert_eq!(tab.wakes.count(), 0);
    assert_eq!(hub.kick(&uid("alice"), "bye"), 1);
    assert_eq!(tab.wakes.count(), 1);
}

#[test]
fn f64_a_kick_closes_after_what_was_queued_and_frees_the_user() {
    let hub = hub();
    let tabs = [
        open(&hub, Some("alice"), "a1"),
        open(&hub, Some("alice"), "a2"),
    ];
    let bob = open(&hub, Some("bob"), "b");
    push_now(&hub, Target::Uid(uid("alice")), r#"["t/last"]"#);
    assert_eq!(hub.kick(&uid("alice"), "enough"), 2);
    assert_eq!(
        push_now(&hub, Target::Uid(uid("alice")), r#"["t/late"]"#),
        0
    );
    for tab in &tabs {
        let (frames, close) = tab.write();
        assert_eq!(
            frames.iter().filter_map(event_id).collect::<Vec<_>>(),
            ["t/last"]
        );
        assert_eq!(close, Some(CloseCode::KICKED));
        assert!(hub.session(&tab.port().id).is_none());
    }
    assert_eq!(bob.write().1, None);
    assert_eq!((hub.counts().sessions, hub.counts().users), (1, 1));
}

#[test]
fn a_session_is_resumed_by_its_own_client_and_uid() {
    let hub = hub();
    let tab = open(&hub, Some("alice"), "a");
    let port = Arc::clone(tab.port());
    drop(tab);
    push_now(&hub, Target::Uid(uid("alice")), r#"["t/while-away"]"#);
    let again = hub
        .hello(
            &naming("a", 2, &port),
            Some(uid("alice")),
            Codec::Json,
            hub.now(),
        )
        .expect("resumed");
    assert!(again.attached.resumed && !again.attached.gap);
    assert_eq!(again.port.id, port.id);
    assert_eq!(Tab::greeted_events(&hub, again), ["t/while-away"]);
    assert_eq!(hub.counts().sessions, 1);
}

impl Tab {
    /// Greets and says which events come with the hello.
    fn greeted_events(hub: &Arc<Hub>, attachment: Attachment) -> Vec<String> {
        let Attachment {
            port,
            attached,
            link,
            ..
        } = &attachment;
        let greeting = ServerHello {
            session: port.id.clone(),
            resumed: attached.resumed,
            gap: attached.gap,
            received: 0,
            uid: port.uid.clone(),
            data: Data::null(port.codec),
            ping_ms: 15_000,
            max_bytes: 1 << 19,
            node: node(),
        };
        assert!(port.with(|inner| inner.session.hello(*link, &greeting)));
        Tab {
            hub: Arc::clone(hub),
            attachment,
            wakes: Arc::default(),
        }
        .events()
    }
}

#[test]
fn f32_another_uid_ends_the_old_session_at_once_and_shows_nothing_of_it() {
    let hub = hub();
    let alice = open(&hub, Some("alice"), "tab");
    push_now(&hub, Target::Uid(uid("alice")), r#"["t/secret"]"#);
    let bob = hub
        .hello(
            &naming("tab", 2, alice.port()),
            Some(uid("bob")),
            Codec::Json,
            hub.now(),
        )
        .expect("fresh");
    assert!(!bob.attached.resumed && bob.attached.gap);
    assert_ne!(bob.port.id, alice.port().id);
    assert_eq!(Tab::greeted_events(&hub, bob), [""; 0]);
    let (frames, close) = alice.write();
    assert_eq!(close, Some(CloseCode::SUPERSEDED));
    assert_eq!(frames.iter().filter_map(event_id).count(), 0);
    assert!(hub.session(&alice.port().id).is_none());
    assert_eq!(
        alice.wakes.count(),
        1,
        "its look is on its way since the push"
    );
}

#[test]
fn another_client_that_names_a_session_leaves_it_alone() {
    let hub = hub();
    let alice = open(&hub, Some("alice"), "tab");
    let thief = hub
        .hello(
            &naming("copy", 9, alice.port()),
            Some(uid("alice")),
            Codec::Json,
            hub.now(),
        )
        .expect("fresh");
    assert!(!thief.attached.resumed && thief.attached.gap);
    assert!(alice.park(true), "still the current connection");
}

#[test]
fn a_lower_attempt_is_refused_and_changes_nothing() {
    let hub = hub();
    let tab = open(&hub, Some("alice"), "a");
    let second = hub
        .hello(
            &naming("a", 3, tab.port()),
            Some(uid("alice")),
            Codec::Json,
            hub.now(),
        )
        .expect("resumed");
    assert_eq!(tab.wakes.count(), 1, "the superseded connection is woken");
    assert_eq!(tab.write().1, Some(CloseCode::SUPERSEDED));
    assert!(!tab.park(true), "and may not wait for anything");
    let late = hub.hello(
        &naming("a", 2, tab.port()),
        Some(uid("alice")),
        Codec::Json,
        hub.now(),
    );
    assert_eq!(late.err(), Some(HelloRefused::Superseded));
    drop(tab);
    assert!(
        second
            .port
            .with(|inner| inner.session.detached_since())
            .is_none(),
        "the late end of the old one"
    );
}

#[test]
fn a_detached_session_ends_after_its_time() {
    let hub = hub();
    let tab = open(&hub, Some("alice"), "a");
    let keep = open(&hub, Some("alice"), "b");
    let gone = tab.port().id.clone();
    drop(tab);
    let sweep = |after| {
        (0..Crowd::SHARDS).for_each(|shard| hub.sweep(shard, hub.now() + after, &mut Vec::new()))
    };
    sweep(Duration::from_secs(59));
    assert!(hub.session(&gone).is_some());
    keep.port().with(|inner| {
        inner
            .session
            .heard(keep.attachment.link, hub.now() + Duration::from_secs(60))
    });
    sweep(Duration::from_secs(61));
    assert!(hub.session(&gone).is_none());
    assert_eq!(hub.metrics().hub.expired.value(), 1);
    assert_eq!(hub.counts().sessions, 1);
}

#[test]
fn a_sweep_wakes_who_has_something_to_say_and_closes_who_is_silent() {
    let hub = hub();
    let tab = open(&hub, Some("alice"), "a");
    let sweep = |after| {
        (0..Crowd::SHARDS).for_each(|shard| hub.sweep(shard, hub.now() + after, &mut Vec::new()))
    };
    sweep(Duration::from_secs(14));
    assert_eq!(tab.wakes.count(), 0);
    sweep(Duration::from_secs(16));
    assert_eq!(tab.wakes.count(), 1, "a ping is due");
    tab.park(true);
    sweep(Duration::from_secs(36));
    assert_eq!(tab.wakes.count(), 2);
    assert_eq!(tab.write().1, Some(CloseCode::PING_TIMEOUT));
    assert_eq!(hub.metrics().hub.silent.value(), 1);
}

#[test]
fn a_slow_consumer_ends_alone_and_is_counted() {
    let hub = hub_with(|config| config.bounds.max_queue_bytes = 10_000);
    let slow = open(&hub, Some("alice"), "slow");
    assert!(slow.park(false), "its socket is blocked");
    let mut quick = open(&hub, Some("alice"), "quick");
    for n in 1..=100 {
        push_now(
            &hub,
            Target::Uid(uid("alice")),
            &format!(r#"["t/x","{}"]"#, "y".repeat(200)),
        );
        quick.events();
        quick = quick.resumed(1 + n, n);
    }
    assert_eq!(slow.wakes.count(), 1, "woken to close");
    assert_eq!(slow.write().1, Some(CloseCode::SLOW));
    assert_eq!(quick.write().1, None);
    assert!(hub.session(&slow.port().id).is_none());
    assert_eq!(hub.metrics().hub.slow.value(), 1);
    assert_eq!(
        hub.counts().queue_bytes,
        quick.port().with(|inner| inner.session.queue_bytes())
    );
}

#[test]
fn over_the_node_budget_detached_sessions_go_by_age_then_the_largest() {
    let hub = hub_with(|config| config.node_queue_bytes = 100_000);
    let old = open(&hub, Some("old"), "a");
    let young = open(&hub, Some("young"), "b");
    let large = open(&hub, Some("large"), "c");
    let small = open(&hub, Some("small"), "d");
    let ids = [&old, &young, &large, &small].map(|tab| tab.port().id.clone());
    let fill = |user: &str, bytes: usize| {
        push_now(
            &hub,
            Target::Uid(uid(user)),
            &format!(r#"["t/x","{}"]"#, "y".repeat(bytes)),
        );
    };
    let alive = || {
        ids.iter()
            .map(|id| hub.session(id).is_some())
            .collect::<Vec<_>>()
    };
    fill("old", 20_000);
    fill("young", 20_000);
    old.detach_at(Millis(1));
    young.detach_at(Millis(2));
    fill("large", 40_000);
    fill("small", 10_000);
    assert_eq!(alive(), [true; 4]);
    fill("small", 15_000);
    assert_eq!(
        alive(),
        [false, true, true, true],
        "the one detached longest goes first"
    );
    fill("small", 16_000);
    assert_eq!(alive(), [false, false, true, true]);
    fill("small", 24_000);
    assert_eq!(
        alive(),
        [false, false, true, false],
        "then the largest attached"
    );
    assert_eq!(small.write().1, Some(CloseCode::SLOW));
    assert_eq!(large.write().1, None);
    let metrics = &hub.metrics().hub;
    assert_eq!(
        (
            metrics.evicted_detached.value(),
            metrics.evicted_attached.value()
        ),
        (2, 1)
    );
}

impl Tab {
    /// Comes back on a new connection and says how much it has.
    fn resumed(self, attempt: u64, received: u64) -> Tab {
        let hello = ClientHello {
            received: Some(received),
            ..naming(self.port().client.as_str(), attempt, self.port())
        };
        let uid = self.port().uid.clone();
        let attachment = self
            .hub
            .hello(&hello, uid, self.port().codec, self.hub.now())
            .expect("resumed");
        assert!(attachment.attached.resumed);
        Tab::greeted(&self.hub, attachment)
    }

    fn detach_at(&self, now: Millis) {
        assert!(
            self.port()
                .with(|inner| inner.session.detach(self.attachment.link, now))
        );
    }
}

#[test]
fn a_full_node_refuses_hellos_and_says_so() {
    let hub = hub_with(|config| config.max_sessions = 2);
    let _one = open(&hub, None, "1");
    let two = open(&hub, None, "2");
    let refused = hub.hello(&hello("3", 1), None, Codec::Json, hub.now());
    assert_eq!(refused.err(), Some(HelloRefused::Full));
    assert_eq!(hub.metrics().hub.refused_full.value(), 1);
    hub.end(two.port(), CloseCode::KICKED, "");
    open(&hub, None, "3");
}

#[test]
fn gaps_reach_only_whom_they_may_touch() {
    let hub = hub();
    let (alice, bob) = (open(&hub, Some("alice"), "a"), open(&hub, Some("bob"), "b"));
    let mut touched = Touched::default();
    hub.deliver_gap(&Target::Uid(uid("alice")), gap::OVERLOAD, &mut touched);
    hub.settle(&mut touched);
    assert_eq!(
        (alice.events(), bob.events()),
        (vec!["chsk/gap".to_owned()], vec![])
    );
    hub.deliver_gap(&Target::All, gap::LOST, &mut touched);
    hub.deliver_gap(&Target::All, gap::LOST, &mut touched);
    hub.settle(&mut touched);
    assert_eq!(
        (alice.events(), bob.events()),
        (vec!["chsk/gap".to_owned()], vec!["chsk/gap".to_owned()])
    );
}

#[test]
fn coming_and_going_at_once_leaves_nothing_behind() {
    let hub = hub();
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let hub = Arc::clone(&hub);
            std::thread::spawn(move || {
                for n in 0..500 {
                    // Few users, so that first and last clients of the same one collide.
                    let user = (n % 3 > 0).then(|| format!("user{}", n % 2));
                    let tab = open(&hub, user.as_deref(), &format!("w{worker}-{n}"));
                    let reached = push_now(&hub, Target::Uid(uid("user0")), r#"["t/x"]"#);
                    assert!(reached >= usize::from(user.as_deref() == Some("user0")));
                    hub.end(tab.port(), CloseCode::KICKED, "");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("no panic");
    }
    assert_eq!(
        hub.counts(),
        Counts {
            sessions: 0,
            users: 0,
            anonymous: 0,
            queue_bytes: 0
        }
    );
    assert_eq!(push_now(&hub, Target::All, r#"["t/x"]"#), 0);
}
