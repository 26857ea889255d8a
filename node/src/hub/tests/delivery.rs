//! Tests of whom a push reaches, encoded and woken how often.

use super::*;

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
