//! Promises about silence: judged by what was heard, asked before judged after a pause, patient when told to be.

use super::*;

#[test]
fn f28_server_that_falls_silent_is_given_up_within_25_s() {
    let mut tab = Tab::open();
    tab.pass(24_999);
    assert!(tab.state().open);
    tab.pass(1);
    assert_eq!(tab.close_reason(), Some(CloseReason::PingTimeout));
    assert_eq!((tab.closes[0].1, tab.opens), (4002, 1));
}

#[test]
fn f24_pings_keep_the_connection_and_are_answered_at_once() {
    let mut tab = Tab::open();
    for _ in 0..40 {
        tab.pass(15_000);
        tab.written.clear();
        tab.server(&ServerFrame::Ping { ahead: None });
        assert_eq!(tab.written, [ClientFrame::Pong]);
    }
    assert!(tab.state().open && tab.states.is_empty());
}

#[test]
fn f25_what_we_write_is_no_sign_of_life() {
    let mut tab = Tab::open();
    for n in 0..25 {
        assert!(tab.state().open);
        tab.send(n);
        tab.pass(1_000);
    }
    assert!(!tab.state().open);
}

#[test]
fn f41_announced_item_buys_patience_in_either_direction() {
    let mut tab = Tab::open();
    tab.server(&ServerFrame::Ping {
        ahead: Some(512 << 10),
    });
    tab.pass(25_000 + 64_000 - 1);
    assert!(tab.state().open);
    tab.pass(1);
    assert!(!tab.state().open);
    let mut tab = Tab::open();
    tab.session.send(
        id("t/note"),
        text_of(500 << 10),
        SendOptions::default(),
        tab.now,
    );
    tab.pass(25_000 + 60_000);
    assert!(tab.state().open);
}

#[test]
fn f28_no_announcement_switches_the_keep_alive_off() {
    let mut tab = Tab::open();
    tab.server(&ServerFrame::Ping {
        ahead: Some(u64::MAX),
    });
    tab.pass(25_000 + 2 * 64_000);
    assert_eq!(tab.close_reason(), Some(CloseReason::PingTimeout));
}

#[test]
fn suspended_machine_asks_before_it_judges() {
    let mut tab = Tab::open();
    tab.later(3_600_000);
    tab.session.tick(tab.now);
    tab.run();
    assert!(tab.state().open);
    assert_eq!(tab.written, [ClientFrame::Ping { ahead: None }]);
    tab.pass(1_000);
    tab.server(&ServerFrame::Pong);
    tab.pass(20_000);
    assert!(tab.state().open);
    tab.later(3_600_000);
    tab.session.tick(tab.now);
    tab.pass(5_000);
    assert_eq!(tab.close_reason(), Some(CloseReason::PingTimeout));
}

#[test]
fn probe_finds_a_dead_connection_within_5_s() {
    let mut tab = Tab::open();
    tab.session.probe(tab.now);
    tab.run();
    assert_eq!(tab.written, [ClientFrame::Ping { ahead: None }]);
    tab.pass(4_999);
    assert!(tab.state().open);
    tab.pass(1);
    assert!(!tab.state().open);
}

#[test]
fn probe_does_not_wait_out_the_backoff() {
    let mut tab = Tab::open();
    tab.lose(&closed(4505));
    assert_eq!(tab.opens, 0);
    tab.session.probe(tab.now);
    tab.run();
    assert_eq!((tab.opens, tab.state().next_reconnect_at), (1, None));
}

#[test]
fn part_of_a_frame_is_a_sign_of_life() {
    let mut tab = Tab::open();
    tab.pass(20_000);
    tab.session.heard(tab.connection, tab.now);
    tab.pass(20_000);
    assert!(tab.state().open);
}

#[test]
fn tick_before_its_time_does_nothing() {
    let mut tab = Tab::open();
    tab.request(1);
    tab.lose(&closed(4003));
    tab.run();
    let before = format!("{:?}", tab.session);
    tab.session.tick(tab.now);
    assert_eq!(format!("{:?}", tab.session), before);
}
