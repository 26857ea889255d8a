//! Promises about coming up: hello, state, handshake, queue before the first connection.

use super::*;

#[test]
fn f35_hello_is_the_first_frame_and_the_client_is_not_open_before_the_answer() {
    let mut tab = Tab::new();
    tab.session.connect(tab.now);
    tab.send(1);
    let hello = tab.say_hello();
    assert_eq!(
        (hello.attempt, hello.session, hello.received),
        (1, None, None)
    );
    assert!(tab.written.is_empty());
    assert!(!tab.state().open);
    tab.server(&ServerFrame::Hello(server_hello(1, false, 0, "alice")));
    assert!(tab.state().open);
    assert_eq!(tab.items(), [1]);
}

#[test]
fn f37_state_shows_what_the_hello_said() {
    let tab = Tab::open();
    let state = tab.state();
    assert_eq!(state.transport, Some(Transport::Ws));
    assert_eq!(state.uid.as_ref().map(Uid::as_str), Some("alice"));
    assert_eq!(state.session, Some(session_id(1)));
    assert_eq!(state.handshake_data, Some(number(42)));
    assert_eq!(state.node.as_ref().map(NodeId::as_str), Some("n1"));
    assert_eq!(
        (state.resumed, state.gap, state.next_reconnect_at),
        (false, false, None)
    );
    let Value::Map(entries) = state.to_value() else {
        panic!()
    };
    let keys: Vec<_> = entries.iter().map(|(key, _)| key.clone()).collect();
    let expected = [
        "transport",
        "open",
        "ever_opened",
        "first_open",
        "uid",
        "session",
        "resumed",
        "gap",
        "handshake_data",
        "node",
        "last_close",
        "last_ws_close",
        "last_error",
        "downgrade",
        "next_reconnect_at",
    ];
    assert_eq!(keys, expected.map(|key| Value::Text(key.into())));
}

#[test]
fn f38_each_change_is_one_event_and_exactly_one_is_the_first_open() {
    let mut tab = Tab::new();
    tab.session.connect(tab.now);
    tab.greet(server_hello(1, false, 0, "alice"));
    for _ in 0..3 {
        tab.lose(&TransportClose::default());
        tab.pass(20_000);
        tab.greet(server_hello(1, true, 0, "alice"));
    }
    assert_eq!(tab.events_named(EventId::STATE), tab.states.len());
    let first = tab.states.iter().filter(|(_, new)| new.first_open).count();
    assert_eq!(first, 1);
    for ((_, new), (old, _)) in tab.states.iter().zip(&tab.states[1..]) {
        assert_eq!(new, old);
    }
    for (old, new) in &tab.states {
        assert_ne!(old, new);
    }
}

#[test]
fn f36_handshake_is_an_event_on_each_connect_and_first_once() {
    let mut tab = Tab::new();
    tab.session.connect(tab.now);
    tab.greet(server_hello(1, false, 0, "alice"));
    tab.lose(&TransportClose::default());
    tab.greet(server_hello(1, true, 0, "alice"));
    let handshakes = tab
        .events
        .iter()
        .filter(|event| event.id.as_str() == EventId::HANDSHAKE);
    let values: Vec<_> = handshakes
        .map(|event| event.data.value().unwrap())
        .collect();
    let expected = |first| {
        Value::Array(vec![
            Value::Text("alice".into()),
            Value::Int(42),
            Value::Bool(first),
        ])
    };
    assert_eq!(values, [expected(true), expected(false)]);
}

#[test]
fn attempts_rise_with_every_hello_and_name_the_session_and_its_count() {
    let mut tab = Tab::open();
    tab.server(&pushed(1));
    tab.server(&pushed(2));
    tab.lose(&TransportClose::default());
    let hello = tab.say_hello();
    assert_eq!(
        (hello.attempt, hello.session, hello.received),
        (2, Some(session_id(1)), Some(2))
    );
}

#[test]
fn f18_sending_before_the_first_connection_waits_within_256_items() {
    let mut tab = Tab::new();
    let tokens: Vec<_> = (0..257).map(|n| tab.send(n)).collect();
    assert_eq!(tab.resolved.len(), 1);
    assert_eq!(
        tab.failure(tokens[256]),
        Some(failed(FailureKind::Error, false))
    );
    let refusal = tab
        .outcome(tokens[256])
        .unwrap()
        .as_ref()
        .unwrap_err()
        .refusal
        .clone();
    assert_eq!(refusal.map(|refusal| refusal.code), Some(ErrorCode::RATE));
    tab.session.connect(tab.now);
    tab.greet(server_hello(1, false, 0, "alice"));
    assert_eq!(tab.items(), (0..256).collect::<Vec<_>>());
}

#[test]
fn f18_sending_before_the_first_connection_waits_within_a_mebibyte() {
    let mut tab = Tab::new();
    let options = SendOptions::default();
    let tokens = [(); 3].map(|()| {
        tab.session
            .send(id("t/note"), text_of(400 << 10), options, tab.now)
    });
    tab.run();
    assert_eq!(
        (tab.failure(tokens[1]), tab.failure(tokens[2])),
        (None, Some(failed(FailureKind::Error, false)))
    );
}

#[test]
fn f18_unbuffered_item_fails_at_once_while_not_open() {
    let mut tab = Tab::new();
    tab.session.connect(tab.now);
    let token = tab.send_with(1, UNBUFFERED);
    assert_eq!(tab.failure(token), Some(failed(FailureKind::Closed, false)));
    tab.greet(server_hello(1, false, 0, "alice"));
    assert_eq!(tab.items(), []);
    tab.send_with(2, UNBUFFERED);
    assert_eq!(tab.items(), [2]);
}

#[test]
fn reserved_id_and_oversize_item_fail_before_anything_is_written() {
    let mut tab = Tab::open();
    let options = SendOptions::default();
    let reserved = tab
        .session
        .send(id("chsk/ping"), number(1), options, tab.now);
    let large = tab
        .session
        .request(id("t/echo"), text_of(512 << 10), options, tab.now);
    tab.run();
    for (token, code) in [
        (reserved, ErrorCode::RESERVED),
        (large, ErrorCode::TOO_LARGE),
    ] {
        let failure = tab.outcome(token).unwrap().as_ref().unwrap_err();
        assert_eq!(
            (
                failure.sent,
                failure.refusal.as_ref().map(|refusal| refusal.code)
            ),
            (false, Some(code))
        );
    }
    assert!(tab.written.is_empty());
    assert!(tab.state().open);
}

#[test]
fn item_that_is_too_large_for_the_server_that_answers_fails_unsent() {
    let mut tab = Tab::new();
    let large = tab.session.send(
        id("t/note"),
        text_of(2_000),
        SendOptions::default(),
        tab.now,
    );
    tab.send(2);
    tab.session.connect(tab.now);
    tab.greet(ServerHello {
        max_bytes: 1_000,
        ..server_hello(1, false, 0, "alice")
    });
    assert_eq!(tab.failure(large), Some(failed(FailureKind::Error, false)));
    assert_eq!(tab.items(), [2]);
}

#[test]
fn request_that_waited_tells_the_server_what_time_is_left() {
    let mut tab = Tab::new();
    tab.request_with(1, within(10_000));
    tab.later(4_000);
    tab.session.connect(tab.now);
    tab.greet(server_hello(1, false, 0, "alice"));
    assert!(matches!(
        tab.written[..],
        [ClientFrame::Request {
            timeout_ms: 6_000,
            ..
        }]
    ));
}

#[test]
fn connection_that_does_not_open_or_greet_in_time_is_given_up() {
    let mut tab = Tab::new();
    tab.session.connect(tab.now);
    tab.run();
    tab.pass(9_999);
    assert_eq!(tab.opens, 1);
    tab.pass(1);
    assert_eq!((tab.opens, tab.closes.len()), (2, 1));
    tab.say_hello();
    tab.pass(10_000);
    assert_eq!(tab.closes.len(), 2);
    assert_eq!(
        tab.state().last_error.as_ref().unwrap().text,
        "no hello in time"
    );
}

#[test]
fn same_seed_same_conversation() {
    let run = || {
        let mut tab = Tab::new();
        tab.session.connect(tab.now);
        for _ in 0..20 {
            tab.run();
            tab.lose(&TransportClose::default());
            tab.pass(20_000);
        }
        let times = tab
            .states
            .iter()
            .filter_map(|(_, new)| new.next_reconnect_at);
        (tab.session.client().clone(), times.collect::<Vec<_>>())
    };
    assert_eq!(run(), run());
}
