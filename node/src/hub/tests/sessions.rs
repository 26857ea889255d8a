//! Tests of which session a hello gets, and how one ends.

use super::*;

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
            Transport::Ws,
            hub.now(),
        )
        .expect("resumed");
    assert!(again.attached.resumed && !again.attached.gap);
    assert_eq!(again.port.id, port.id);
    assert_eq!(Tab::greeted_events(&hub, again), ["t/while-away"]);
    assert_eq!(hub.counts().sessions, 1);
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
            Transport::Ws,
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
            Transport::Ws,
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
            Transport::Ws,
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
        Transport::Ws,
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
