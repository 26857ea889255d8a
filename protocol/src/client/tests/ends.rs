//! Promises about ends: close codes, reasons, backoff, moves, and that nothing is left hanging.

use super::*;

fn gap_until_retry(tab: &Tab) -> u64 {
    tab.state()
        .next_reconnect_at
        .map_or(0, |at| at.since(tab.now).as_millis() as u64)
}

#[test]
fn f30_first_retry_is_immediate_then_jittered_and_capped_and_the_state_shows_when() {
    let mut tab = Tab::open();
    tab.lose(&TransportClose::default());
    assert_eq!((tab.opens, tab.state().next_reconnect_at), (1, None));
    let mut longest = 0;
    for failures in 0..200u32 {
        tab.lose(&TransportClose {
            error: Some("refused".into()),
            ..TransportClose::default()
        });
        let wait = gap_until_retry(&tab);
        let limit = (500u64 << failures.min(10)).min(20_000);
        assert!(wait <= limit, "retry {failures} waits {wait} of {limit}");
        longest = longest.max(wait);
        let opens = tab.opens;
        tab.pass(wait.saturating_sub(1));
        assert!(wait == 0 || tab.opens == opens);
        tab.pass(1);
        assert_eq!(tab.opens, opens + 1);
    }
    assert!(longest > 15_000, "the jitter is not full: {longest}");
}

#[test]
fn f30_backoff_is_reset_only_by_a_stable_connection() {
    let unstable = |open_ms| {
        let mut tab = Tab::open();
        tab.lose(&TransportClose::default());
        for _ in 0..8 {
            tab.lose(&TransportClose::default());
            tab.pass(gap_until_retry(&tab));
        }
        tab.greet(server_hello(1, true, 0, "alice"));
        tab.pass(open_ms);
        tab.forget();
        tab.lose(&TransportClose::default());
        tab.opens
    };
    assert_eq!(unstable(9_999), 0);
    assert_eq!(unstable(10_000), 1);
}

#[test]
fn f30_refusal_of_ours_is_terminal_and_shown_but_a_proxys_is_not() {
    for (status, ours, terminal) in [
        (401, true, true),
        (403, true, true),
        (403, false, false),
        (503, true, false),
    ] {
        let mut tab = Tab::new();
        tab.session.connect(tab.now);
        let token = tab.send(1);
        let code = ours.then_some(ErrorCode::BAD_ID);
        tab.lose(&TransportClose {
            refused: Some((status, code)),
            ..TransportClose::default()
        });
        let error = tab.state().last_error.clone().unwrap();
        assert_eq!((error.kind, error.http_status), ("refused", Some(status)));
        assert_eq!(tab.outcome(token).is_some(), terminal);
        tab.opens = 0;
        tab.lose(&TransportClose {
            refused: Some((status, code)),
            ..TransportClose::default()
        });
        tab.pass(60_000);
        assert_eq!(tab.opens == 0, terminal, "{status} {ours}");
        assert_eq!(tab.session.next_timeout().is_none(), terminal);
    }
}

#[test]
fn f31_f33_disconnect_is_clean_and_final_until_connect() {
    let mut tab = Tab::open();
    let (event, request) = (tab.send(1), tab.request(2));
    let connection = tab.connection;
    tab.written.clear();
    tab.session.disconnect(tab.now);
    tab.run();
    assert!(matches!(
        tab.written[..],
        [ClientFrame::Bye {
            code: CloseCode(1000),
            ..
        }]
    ));
    assert_eq!(tab.closes, [(connection, 1000)]);
    assert_eq!(tab.close_reason(), Some(CloseReason::RequestedDisconnect));
    for token in [event, request] {
        assert_eq!(tab.failure(token), Some(failed(FailureKind::Closed, true)));
    }
    assert!(tab.session.is_idle());
    assert_eq!(tab.session.next_timeout(), None);
    tab.pass(60_000);
    assert_eq!(tab.opens, 0);
    let late = tab.send(3);
    assert_eq!(tab.failure(late), Some(failed(FailureKind::Closed, false)));
    tab.session.connect(tab.now);
    assert_eq!(tab.greet(server_hello(2, false, 0, "alice")).session, None);
    assert!(tab.state().open);
    assert_eq!(tab.items(), []);
}

#[test]
fn f31_disconnect_ends_a_pending_retry() {
    let mut tab = Tab::open();
    tab.lose(&closed(4003));
    assert!(tab.state().next_reconnect_at.is_some());
    let token = tab.send(1);
    tab.session.disconnect(tab.now);
    tab.pass(60_000);
    assert_eq!((tab.opens, tab.state().next_reconnect_at), (0, None));
    assert_eq!(tab.failure(token), Some(failed(FailureKind::Closed, false)));
}

#[test]
fn f95_end_is_for_good() {
    let mut tab = Tab::open();
    let token = tab.request(1);
    tab.session.end(tab.now);
    tab.session.connect(tab.now);
    tab.session.reconnect(tab.now);
    tab.pass(60_000);
    assert_eq!(tab.opens, 0);
    assert!(tab.outcome(token).is_some() && tab.session.is_idle());
    let late = tab.send(2);
    assert_eq!(tab.failure(late), Some(failed(FailureKind::Closed, false)));
}

#[test]
fn end_before_the_first_connect_resolves_what_waits() {
    let mut tab = Tab::new();
    let tokens = [tab.send(1), tab.request(2)];
    tab.session.end(tab.now);
    tab.run();
    for token in tokens {
        assert_eq!(tab.failure(token), Some(failed(FailureKind::Closed, false)));
    }
}

#[test]
fn f40_each_close_has_its_reason() {
    let cases = [
        (closed(1000), CloseReason::Clean),
        (TransportClose::default(), CloseReason::Unexpected),
        (closed(4002), CloseReason::PingTimeout),
        (closed(4504), CloseReason::Kicked),
        (closed(4003), CloseReason::Draining),
        (closed(4000), CloseReason::Draining),
        (closed(1001), CloseReason::Draining),
        (closed(1012), CloseReason::Draining),
        (closed(4505), CloseReason::Superseded),
        (closed(4500), CloseReason::Error),
        (closed(4001), CloseReason::Error),
    ];
    for (how, reason) in cases {
        let mut tab = Tab::open();
        tab.lose(&how);
        assert_eq!(tab.close_reason(), Some(reason), "{how:?}");
        let ws = tab.state().last_ws_close.clone().unwrap();
        assert_eq!((ws.clean, ws.code), (how.clean, how.code));
    }
    let mut tab = Tab::open();
    tab.session.reconnect(tab.now);
    assert_eq!(tab.close_reason(), Some(CloseReason::RequestedReconnect));
}

#[test]
fn codes_that_say_stay_away_are_terminal_and_leave_nothing_hanging() {
    for code in [4500, 4501, 4503, 4504, 4506, 4507] {
        let mut tab = Tab::open();
        let token = tab.request(1);
        tab.lose(&closed(code));
        assert_eq!(
            tab.failure(token),
            Some(failed(FailureKind::Closed, true)),
            "{code}"
        );
        tab.pass(60_000);
        assert_eq!((tab.opens, tab.session.is_idle()), (0, true), "{code}");
    }
}

#[test]
fn codes_that_say_come_back_are_followed_within_the_cap() {
    for code in [1000, 1001, 1006, 1012, 4000, 4001, 4002, 4003, 4408, 4499] {
        let mut tab = Tab::open();
        tab.lose(&closed(code));
        let wait = gap_until_retry(&tab);
        assert!(wait <= 20_000, "{code}");
        tab.pass(wait);
        assert_eq!(tab.opens, 1, "{code}");
    }
}

#[test]
fn herd_of_a_leaving_node_is_spread() {
    let waits = (0..50).map(|seed| {
        let mut tab = Tab::open();
        tab.session.random = super::super::random::Random::new(seed);
        tab.lose(&closed(1012));
        gap_until_retry(&tab)
    });
    let waits: std::collections::BTreeSet<_> = waits.collect();
    assert!(waits.len() > 40, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 2_000), "{waits:?}");
}

#[test]
fn superseded_client_becomes_another_client_with_a_new_session_after_a_pause() {
    let mut tab = Tab::open();
    let before = tab.session.client().clone();
    let token = tab.send(1);
    tab.lose(&closed(4505));
    assert_eq!(tab.failure(token), Some(failed(FailureKind::Closed, true)));
    assert_eq!(tab.opens, 0);
    tab.pass(20_000);
    assert_eq!(tab.events_named(EventId::GAP), 0, "too early to fetch");
    let hello = tab.greet(server_hello(2, false, 0, "alice"));
    assert_ne!(hello.client, before);
    assert_eq!(hello.session, None);
    // The new session knows nothing of what was pushed in between.
    assert_eq!(tab.events_named(EventId::GAP), 1);
    assert!(tab.state().gap);
    tab.lose(&TransportClose::default());
    tab.pass(20_000);
    tab.greet(server_hello(2, true, 0, "alice"));
    assert_eq!(tab.events_named(EventId::GAP), 1);
}

#[test]
fn no_server_sends_its_clients_away_for_ever() {
    let mut tab = Tab::open();
    tab.server(&ServerFrame::Bye {
        code: CloseCode::RESTARTING,
        reason: "never".into(),
        after_ms: u64::MAX,
        window_ms: u64::MAX,
    });
    let wait = gap_until_retry(&tab);
    assert!(wait <= 2 * 3_600_000, "{wait}");
}

#[test]
fn bye_closes_with_its_code_and_its_time() {
    let mut tab = Tab::open();
    let bye = ServerFrame::Bye {
        code: CloseCode::RESTARTING,
        reason: "drain".into(),
        after_ms: 3_000,
        window_ms: 2_000,
    };
    tab.server(&bye);
    assert_eq!(tab.close_reason(), Some(CloseReason::Draining));
    let wait = gap_until_retry(&tab);
    assert!((3_000..=5_000).contains(&wait), "{wait}");
    // The transport's own close that follows changes nothing.
    let state = tab.session.state().clone();
    tab.lose(&closed(4003));
    assert_eq!(*tab.state(), *state);
}

#[test]
fn move_stays_served_until_the_new_connection_is_there() {
    let mut tab = Tab::open();
    let old = tab.connection;
    let bye = ServerFrame::Bye {
        code: CloseCode::MOVE,
        reason: "drain".into(),
        after_ms: 1_000,
        window_ms: 1_000,
    };
    tab.server(&bye);
    tab.pass(999);
    assert_eq!(tab.opens, 0);
    tab.server(&pushed(1));
    tab.send(1);
    assert_eq!((tab.events_named("t/push"), tab.items()), (1, vec![1]));
    tab.pass(1_001);
    assert_eq!(tab.opens, 1);
    assert_ne!(tab.connection, old);
    tab.server_on(old, &pushed(2));
    assert_eq!(tab.events_named("t/push"), 2);
    assert!(tab.state().open && tab.closes.is_empty());
    let hello = tab.say_hello();
    assert_eq!(
        (hello.session, hello.received),
        (Some(session_id(1)), Some(2))
    );
    tab.server(&ServerFrame::Hello(server_hello(1, true, 1, "alice")));
    assert_eq!(tab.closes, [(old, 1000)]);
    assert!(tab.state().open);
    assert!(
        tab.states.iter().all(|(_, new)| new.open),
        "a move is no close"
    );
    tab.send(2);
    assert_eq!(tab.items(), [2]);
    tab.session.closed(old, &closed(4505), tab.now);
    assert!(tab.state().open);
}

#[test]
fn move_whose_new_connection_fails_is_tried_again_while_the_old_serves() {
    let mut tab = Tab::open();
    let old = tab.connection;
    let bye = ServerFrame::Bye {
        code: CloseCode::MOVE,
        reason: "drain".into(),
        after_ms: 10,
        window_ms: 0,
    };
    tab.server(&bye);
    tab.pass(10);
    tab.lose(&TransportClose::default());
    tab.server_on(old, &pushed(1));
    assert_eq!(tab.events_named("t/push"), 1);
    tab.pass(1_000);
    assert_eq!(tab.opens, 2);
    // The old one closes while the new one is opening: the new one simply is the connection.
    tab.session.closed(old, &closed(4003), tab.now);
    tab.run();
    assert_eq!((tab.opens, tab.state().open), (2, false));
    tab.greet(server_hello(1, true, 0, "alice"));
    assert!(tab.state().open);
}

#[test]
fn f34_broken_socket_recovers_at_once_and_a_deaf_one_by_keep_alive() {
    let mut tab = Tab::open();
    tab.session.break_connection(true, tab.now);
    tab.run();
    assert_eq!(
        (tab.opens, tab.close_reason()),
        (1, Some(CloseReason::Unexpected))
    );
    tab.greet(server_hello(1, true, 0, "alice"));
    tab.forget();
    tab.session.break_connection(false, tab.now);
    tab.server(&pushed(1));
    tab.send(1);
    assert!(tab.events.is_empty() && tab.written.is_empty() && tab.state().open);
    tab.pass(25_000);
    assert_eq!(
        (tab.opens, tab.close_reason()),
        (1, Some(CloseReason::PingTimeout))
    );
    tab.greet(server_hello(1, true, 0, "alice"));
    assert_eq!(tab.items(), [1]);
}

#[test]
fn f99_bad_connections_break_about_their_share_of_sends() {
    let mut tab = Tab::open();
    tab.session.set_bad_connection_rate(0.25);
    let mut broken = 0;
    for n in 1..=1_000 {
        tab.send(n);
        while !tab.state().open {
            broken += 1;
            let received = tab.session.out.written();
            tab.greet(server_hello(1, true, received, "alice"));
        }
        tab.server(&ServerFrame::Ack {
            received: n,
            sent: Some(0),
        });
    }
    assert_eq!(tab.resolved.len(), 1_000);
    assert!((200..500).contains(&broken), "{broken}");
}

#[test]
fn reconnect_opens_at_once_and_names_the_session() {
    let mut tab = Tab::open();
    let old = tab.connection;
    tab.session.reconnect(tab.now);
    tab.run();
    assert_eq!((tab.opens, tab.closes.clone()), (1, vec![(old, 4000)]));
    assert_eq!(tab.say_hello().session, Some(session_id(1)));
}
