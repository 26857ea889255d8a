//! Promises about the choice of transport: WebSocket first, polling where it fails, and back.

use super::*;

fn auto() -> Tab {
    let mut tab = Tab::with(Options::default());
    tab.asks = true;
    tab.session.connect(tab.now);
    tab.run();
    assert_eq!(tab.transport, Some(Transport::Ws));
    tab
}

/// Fallen back to a poll that is open, because a proxy refused the upgrade.
fn on_poll() -> Tab {
    let mut tab = auto();
    tab.lose(&refused(403, None));
    tab.greet(server_hello(1, false, 0, "alice"));
    assert_eq!(tab.state().transport, Some(Transport::Poll));
    tab.forget();
    tab
}

fn refused(status: u16, code: Option<u32>) -> TransportClose {
    TransportClose {
        refused: Some((status, code.map(ErrorCode))),
        ..TransportClose::default()
    }
}

fn reset() -> TransportClose {
    TransportClose {
        error: Some("connection reset".to_owned()),
        ..TransportClose::default()
    }
}

impl Tab {
    fn answer_ask(&mut self, answer: Result<(u16, Option<ErrorCode>), String>) {
        let connection = self.asked.take().expect("nothing was asked");
        self.session.asked(connection, answer, self.now);
        self.run();
    }

    fn downgrade(&self) -> Option<&str> {
        let downgrade = self.state().downgrade.as_ref();
        downgrade.map(|downgrade| &downgrade.reason[..])
    }
}

#[test]
fn f22_upgrade_that_a_proxy_answers_falls_back_to_polling_at_once() {
    for status in [200, 204, 403, 500] {
        let mut tab = auto();
        tab.lose(&refused(status, None));
        assert_eq!(tab.transport, Some(Transport::Poll), "{status}");
        tab.greet(server_hello(1, false, 0, "alice"));
        assert!(tab.state().open);
        let reason = format!("the upgrade was answered {status}");
        assert_eq!(tab.downgrade(), Some(&reason[..]));
    }
}

#[test]
fn f22_upgrade_that_fails_without_a_word_is_asked_about_and_falls_back_if_the_node_is_there() {
    let mut tab = auto();
    tab.lose(&reset());
    assert_eq!(tab.opens, 1);
    tab.answer_ask(Ok((204, None)));
    assert_eq!(tab.transport, Some(Transport::Poll));
    assert_eq!(tab.downgrade(), Some("connection reset"));
}

#[test]
fn f22_refusal_of_ours_is_shown_as_the_cause_and_is_no_reason_to_fall_back() {
    // Seen by the transport, or asked for.
    for asked in [false, true] {
        for (status, code) in [(401, 4501), (403, 4503)] {
            let mut tab = auto();
            if asked {
                tab.lose(&reset());
                tab.answer_ask(Ok((status, Some(ErrorCode(code)))));
            } else {
                tab.lose(&refused(status, Some(code)));
            }
            let error = tab.state().last_error.clone().unwrap();
            assert_eq!(error.http_status, Some(status));
            assert_eq!(error.kind, "refused");
            tab.pass(120_000);
            assert_eq!((tab.opens, tab.downgrade()), (1, None));
        }
        let mut tab = auto();
        if asked {
            tab.lose(&reset());
            tab.answer_ask(Ok((503, Some(ErrorCode(4003)))));
        } else {
            tab.lose(&refused(503, Some(4003)));
        }
        tab.pass(1_000);
        assert_eq!(tab.transport, Some(Transport::Ws));
        assert!(tab.opens >= 2);
    }
}

#[test]
fn only_our_own_401_and_403_are_final() {
    for status in [401, 403] {
        let mut tab = auto();
        tab.lose(&reset());
        tab.answer_ask(Ok((status, None)));
        tab.pass(20_000);
        assert!(tab.opens > 1, "a proxy's {status}");
    }
}

#[test]
fn node_that_is_away_is_no_reason_to_fall_back() {
    for answer in [Err("refused".to_owned()), Ok((502, None))] {
        let mut tab = auto();
        tab.lose(&reset());
        tab.answer_ask(answer);
        assert_eq!(tab.transport, Some(Transport::Ws));
        assert_eq!((tab.opens, tab.downgrade()), (2, None));
    }
    let mut tab = auto();
    tab.lose(&refused(503, None));
    // Perhaps it is only the upgrade that the gateway cannot pass on.
    tab.answer_ask(Ok((204, None)));
    assert_eq!(tab.transport, Some(Transport::Poll));
}

#[test]
fn question_that_nobody_answers_counts_as_no_answer() {
    let mut tab = auto();
    tab.lose(&reset());
    tab.pass(4_999);
    assert_eq!(tab.opens, 1);
    tab.pass(1);
    assert_eq!((tab.opens, tab.transport), (2, Some(Transport::Ws)));
    tab.answer_ask(Ok((204, None)));
    assert_eq!(tab.opens, 2);
}

#[test]
fn f22_swallowed_upgrade_or_hello_falls_back_within_five_seconds() {
    let mut tab = auto();
    tab.pass(2_500);
    assert_eq!(tab.transport, Some(Transport::Poll));
    let mut tab = auto();
    tab.later(2_400);
    tab.say_hello();
    tab.pass(2_500);
    assert_eq!(tab.transport, Some(Transport::Poll));
    assert_eq!(tab.downgrade(), Some("no hello in time"));
}

#[test]
fn node_that_takes_its_time_with_the_hello_is_told_from_a_proxy_by_its_pong() {
    let mut tab = auto();
    tab.session.opened(tab.connection, tab.now);
    tab.run();
    assert!(matches!(
        tab.written[..],
        [ClientFrame::Ping { .. }, ClientFrame::Hello(_)]
    ));
    tab.server(&ServerFrame::Pong);
    tab.pass(9_000);
    tab.server(&ServerFrame::Pong);
    assert_eq!((tab.opens, tab.downgrade()), (1, None));
    tab.pass(1_000);
    assert_eq!((tab.opens, tab.transport), (2, Some(Transport::Ws)));
    tab.session.opened(tab.connection, tab.now);
    tab.server(&ServerFrame::Pong);
    tab.server(&ServerFrame::Hello(server_hello(1, false, 0, "alice")));
    assert!(tab.state().open);
}

#[test]
fn f22_f40_websocket_that_dies_within_seconds_is_given_up_as_downgrading() {
    let mut tab = auto();
    tab.greet(server_hello(1, false, 0, "alice"));
    tab.later(3_000);
    tab.lose(&reset());
    assert_eq!(tab.close_reason(), Some(CloseReason::Downgrading));
    assert_eq!(tab.transport, Some(Transport::Poll));
    assert_eq!(tab.downgrade(), Some("it broke after 3000 ms"));
    let hello = tab.say_hello();
    assert_eq!((hello.attempt, hello.session), (2, Some(session_id(1))));
}

#[test]
fn where_websockets_have_worked_one_accident_is_forgiven() {
    let mut tab = auto();
    tab.greet(server_hello(1, false, 0, "alice"));
    tab.pass(12_000);
    tab.lose(&reset());
    for expected in [Transport::Ws, Transport::Poll] {
        assert_eq!(tab.transport, Some(Transport::Ws));
        tab.greet(server_hello(1, true, 0, "alice"));
        tab.later(1_000);
        tab.lose(&reset());
        tab.pass(1_000);
        assert_eq!(tab.transport, Some(expected));
    }
}

#[test]
fn good_ends_and_ends_on_purpose_speak_against_no_transport() {
    for how in [closed(1001), closed(4003), closed(1000)] {
        let mut tab = auto();
        tab.greet(server_hello(1, false, 0, "alice"));
        tab.lose(&how);
        tab.pass(2_000);
        assert_eq!(
            (tab.transport, tab.downgrade()),
            (Some(Transport::Ws), None)
        );
    }
    let mut tab = auto();
    tab.greet(server_hello(1, false, 0, "alice"));
    tab.session.break_connection(true, tab.now);
    tab.run();
    assert_eq!(tab.transport, Some(Transport::Ws));
}

#[test]
fn failing_transport_is_remembered_for_a_time() {
    let mut tab = on_poll();
    tab.session.reconnect(tab.now);
    tab.run();
    assert_eq!(tab.transport, Some(Transport::Poll));
    tab.session.disconnect(tab.now);
    tab.later(599_000);
    tab.session.connect(tab.now);
    tab.run();
    assert_eq!(tab.transport, Some(Transport::Poll));
    tab.session.disconnect(tab.now);
    tab.later(1_000);
    tab.session.connect(tab.now);
    tab.run();
    assert_eq!(tab.transport, Some(Transport::Ws));
}

#[test]
fn polling_that_fails_too_gives_websockets_their_turn() {
    let mut tab = auto();
    tab.lose(&refused(403, None));
    assert_eq!(tab.transport, Some(Transport::Poll));
    tab.say_hello();
    tab.lose(&reset());
    while tab.opens < 3 {
        tab.pass(100);
    }
    assert_eq!(tab.transport, Some(Transport::Ws));
    tab.lose(&refused(403, None));
    assert_eq!(tab.transport, Some(Transport::Poll));
}

#[test]
fn f22b_poll_tries_a_websocket_beside_it_and_moves_up_without_loss_or_repetition() {
    let mut tab = on_poll();
    let poll = tab.connection;
    tab.send(1);
    tab.server(&pushed(1));
    tab.pass(5_000);
    assert_eq!((tab.opens, tab.transport), (1, Some(Transport::Ws)));
    tab.written.clear();
    tab.session.opened(tab.connection, tab.now);
    tab.run();
    assert_eq!(tab.written, [ClientFrame::Ping { ahead: None }]);
    // The poll is served until the pong.
    tab.server_on(poll, &pushed(2));
    tab.send(2);
    assert!(tab.state().open);
    tab.written.clear();
    tab.server(&ServerFrame::Pong);
    let [ClientFrame::Hello(hello)] = &tab.written[..] else {
        panic!("{:?}", tab.written)
    };
    assert_eq!((hello.attempt, hello.received), (2, Some(2)));
    // What the poll still brings is sent again on the WebSocket.
    tab.server_on(poll, &pushed(3));
    tab.written.clear();
    tab.server(&ServerFrame::Hello(server_hello(1, true, 1, "alice")));
    assert_eq!(tab.items(), [2]);
    tab.server(&pushed(3));
    assert_eq!(tab.events_named("t/push"), 3);
    let state = tab.state();
    assert_eq!(state.transport, Some(Transport::Ws));
    assert!(state.open && state.resumed && state.downgrade.is_none());
    assert_eq!(tab.closes, [(poll, 1000)]);
    assert!(tab.states.iter().all(|(_, new)| new.open), "never closed");
}

#[test]
fn f22b_failed_probes_come_ever_more_seldom_and_change_nothing() {
    let mut tab = on_poll();
    let poll = tab.connection;
    let mut at = Vec::new();
    let start = tab.now;
    while at.len() < 12 {
        let opens = tab.opens;
        while tab.opens == opens {
            tab.server_on(poll, &ServerFrame::Pong);
            tab.pass(1_000);
        }
        at.push(tab.now.0 - start.0);
        match at.len() % 3 {
            0 => tab.lose(&refused(403, None)),
            // Swallowed before or behind the upgrade.
            1 => {}
            _ => tab.session.opened(tab.connection, tab.now),
        }
    }
    assert!(at[0] <= 6_000, "{at:?}");
    let gaps: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[10] > 140_000 && gaps[10] <= 305_000, "{gaps:?}");
    assert_eq!(tab.states.len(), 0);
    assert_eq!(tab.connection, poll + 12);
}

#[test]
fn f22b_poll_that_breaks_while_a_websocket_is_tried_goes_on_with_that() {
    for ponged in [false, true] {
        let mut tab = on_poll();
        let poll = tab.connection;
        tab.pass(5_000);
        if ponged {
            tab.session.opened(tab.connection, tab.now);
            tab.run();
        }
        tab.written.clear();
        tab.session.closed(poll, &reset(), tab.now);
        tab.run();
        if !ponged {
            tab.session.opened(tab.connection, tab.now);
            tab.run();
        }
        assert!(matches!(tab.written.last(), Some(ClientFrame::Hello(_))));
        tab.server(&ServerFrame::Hello(server_hello(1, true, 0, "alice")));
        assert_eq!(tab.state().transport, Some(Transport::Ws));
    }
}

#[test]
fn websocket_that_swallows_the_hello_after_its_pong_gives_the_poll_back() {
    let mut tab = on_poll();
    tab.pass(5_000);
    tab.session.opened(tab.connection, tab.now);
    tab.server(&ServerFrame::Pong);
    tab.pass(10_000);
    assert_eq!(tab.transport, Some(Transport::Poll));
    tab.greet(server_hello(1, true, 0, "alice"));
    assert_eq!(tab.state().transport, Some(Transport::Poll));
}

#[test]
fn f23_ws_never_polls_and_poll_never_upgrades() {
    let mut tab = Tab::with(ws_only());
    tab.session.connect(tab.now);
    for _ in 0..20 {
        tab.run();
        assert_eq!(tab.transport, Some(Transport::Ws));
        tab.lose(&refused(403, None));
        tab.pass(20_000);
    }
    let mut tab = Tab::open_with(Options {
        transport: TransportChoice::Poll,
        ..Options::default()
    });
    let poll = tab.connection;
    for _ in 0..100 {
        tab.pass(10_000);
        tab.server_on(poll, &ServerFrame::Pong);
    }
    assert_eq!((tab.opens, tab.transport), (0, Some(Transport::Poll)));
}

#[test]
fn disconnect_ends_the_question_and_the_probe() {
    let mut tab = auto();
    tab.lose(&reset());
    tab.session.disconnect(tab.now);
    tab.answer_ask(Ok((204, None)));
    tab.pass(60_000);
    assert_eq!(tab.opens, 1);
    let mut tab = on_poll();
    tab.pass(5_000);
    let probe = tab.connection;
    tab.session.disconnect(tab.now);
    tab.run();
    assert!(tab.closes.iter().any(|(closed, _)| *closed == probe));
    tab.pass(60_000);
    assert_eq!(tab.opens, 1);
}

#[test]
fn move_that_falls_due_takes_the_place_of_a_probe() {
    let mut tab = on_poll();
    tab.pass(5_000);
    let probe = tab.connection;
    let poll = probe - 1;
    tab.server_on(
        poll,
        &ServerFrame::Bye {
            code: CloseCode::MOVE,
            reason: "drain".into(),
            after_ms: 10,
            window_ms: 0,
        },
    );
    tab.pass(10);
    assert!(tab.closes.iter().any(|(closed, _)| *closed == probe));
    assert_eq!((tab.opens, tab.transport), (2, Some(Transport::Poll)));
    tab.greet(server_hello(1, true, 0, "alice"));
    assert!(tab.state().open);
}
