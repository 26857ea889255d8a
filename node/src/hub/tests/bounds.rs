//! Tests of the hub's bounds: time, queue bytes, number of sessions.

use super::super::sweep::Found;
use super::*;
use crate::handlers::connected::Connected;
use crate::identity::Identified;

#[test]
fn a_detached_session_ends_after_its_time() {
    let hub = hub();
    let tab = open(&hub, Some("alice"), "a");
    let keep = open(&hub, Some("alice"), "b");
    let gone = tab.port().id.clone();
    drop(tab);
    let sweep = |after| {
        (0..Crowd::SHARDS)
            .for_each(|shard| hub.sweep(shard, hub.now() + after, &mut Found::default()))
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

/// The parts of no request in particular.
fn connected() -> Arc<Connected> {
    let (parts, ()) = axum::http::Request::new(()).into_parts();
    let peer = ([127, 0, 0, 1], 9).into();
    let (identified, data) = (Identified::default(), Data::null(Codec::Json));
    let connected = Connected::new(parts, peer, Transport::Ws, &identified, &data);
    Arc::new(connected)
}

#[test]
fn an_ended_session_is_not_forgotten_before_its_counted_items_have_been_started() {
    let hub = hub();
    let tab = open(&hub, Some("alice"), "a");
    let id = tab.port().id.clone();
    for _ in 0..2 {
        tab.port().with(|inner| {
            let frame = Bytes::from_static(br#"[1,"t/x",null]"#);
            let (link, context) = (tab.attachment.link, connected());
            let session = &mut inner.session;
            session.receive(link, frame, &context, hub.now(), hub.bounds())
        });
    }
    hub.end_now(tab.port(), CloseCode::SLOW, "the node's queues are full");
    let sweep = || {
        let mut found = Found::default();
        (0..Crowd::SHARDS).for_each(|shard| hub.sweep(shard, hub.now(), &mut found));
        found.moving
    };
    let to_start = sweep();
    assert_eq!(to_start.len(), 1, "whoever looks after these starts them");
    assert!(hub.session(&id).is_some());
    let item = to_start[0].with(|inner| inner.session.next_item());
    assert_eq!(item.expect("the first").position, 1);
    drop(tab);
    // The task that handles them has the session now.
    assert!(sweep().is_empty());
    assert!(hub.session(&id).is_none());
    assert_eq!(hub.counts().sessions, 0);
}

#[test]
fn a_sweep_wakes_who_has_something_to_say_and_closes_who_is_silent() {
    let hub = hub();
    let tab = open(&hub, Some("alice"), "a");
    let sweep = |after| {
        (0..Crowd::SHARDS)
            .for_each(|shard| hub.sweep(shard, hub.now() + after, &mut Found::default()))
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

#[test]
fn a_full_node_refuses_hellos_and_says_so() {
    let hub = hub_with(|config| config.max_sessions = 2);
    let _one = open(&hub, None, "1");
    let two = open(&hub, None, "2");
    let refused = hub.hello(&hello("3", 1), None, Codec::Json, Transport::Ws, hub.now());
    assert_eq!(refused.err(), Some(HelloRefused::Full));
    assert_eq!(hub.metrics().hub.refused_full.value(), 1);
    hub.end(two.port(), CloseCode::KICKED, "");
    open(&hub, None, "3");
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

#[test]
fn a_session_that_has_just_begun_is_not_swept_on_a_node_that_is_up_for_long() {
    let hub = hub();
    let up_for_long = Millis(100_000);
    let (port, _) = hub
        .begin(
            &hello("a", 1),
            Some(uid("alice")),
            Codec::Json,
            Transport::Ws,
            up_for_long,
        )
        .expect("a session");
    (0..Crowd::SHARDS).for_each(|shard| hub.sweep(shard, up_for_long, &mut Found::default()));
    assert!(hub.session(&port.id).is_some());
}

#[test]
fn only_frames_that_stand_in_line_count_as_delivered() {
    let hub = hub();
    let tab = open(&hub, Some("alice"), "a");
    let mut touched = Touched::default();
    hub.deliver_gap(&Target::All, gap::LOST, &mut touched);
    hub.deliver_gap(&Target::All, gap::LOST, &mut touched);
    assert_eq!(touched.frames(), 1, "the second gap says nothing new");
    tab.port().change(Session::end);
    push(
        &hub,
        Target::All,
        Filter::None,
        r#"["t/late"]"#,
        &mut touched,
    );
    assert_eq!(touched.frames(), 1, "the session has ended");
}
