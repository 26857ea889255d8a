//! Promises about time: acks, pings, silence, patience.

use super::*;
use crate::server::Tick;

#[test]
fn first_item_after_a_pause_is_acknowledged_at_once_and_the_next_within_a_second() {
    let mut home = Home::attached();
    home.receive(&event(1));
    assert_eq!(home.written(), [ack(1, 0)]);
    home.later(10);
    home.receive(&event(2));
    assert!(!home.session.wants_write(home.now, &home.bounds));
    assert_eq!(home.written(), []);
    assert_eq!(
        home.session.deadline(&home.bounds),
        Some(home.now.plus(990))
    );
    home.later(990);
    assert_eq!(home.session.tick(home.now, &home.bounds), Tick::Write);
    assert_eq!(home.written(), [ack(2, 0)]);
}

#[test]
fn sweep_acknowledges_whatever_came_since_the_last() {
    let mut home = Home::attached();
    home.receive(&event(1));
    home.written();
    home.later(1);
    home.receive(&event(2));
    home.later(500);
    assert_eq!(home.session.tick(home.now, &home.bounds), Tick::Write);
    assert_eq!(home.written(), [ack(2, 0)]);
}

#[test]
fn ack_is_due_after_32_items_or_64_kib() {
    let mut home = Home::attached();
    home.receive(&event(1));
    home.written();
    for n in 2..=32 {
        home.receive(&event(n));
        assert_eq!(home.written(), [], "{n}");
    }
    home.receive(&event(33));
    assert_eq!(home.written(), [ack(33, 0)]);
    home.receive(&ClientFrame::Event {
        id: id("t/note"),
        data: text_of(64 << 10),
    });
    assert_eq!(home.written(), [ack(34, 0)]);
}

#[test]
fn ack_goes_along_with_anything_else() {
    let mut home = Home::attached();
    home.receive(&event(1));
    home.written();
    home.receive(&event(2));
    home.push(1);
    assert_eq!(home.written(), [pushed(1), ack(2, 1)]);
}

#[test]
fn f24_ping_goes_to_a_connection_to_which_nothing_was_written() {
    let mut home = Home::attached();
    home.later(14_999);
    assert_eq!(home.session.tick(home.now, &home.bounds), Tick::Quiet);
    home.later(1);
    assert_eq!(home.session.tick(home.now, &home.bounds), Tick::Write);
    assert_eq!(home.written(), [ServerFrame::Ping { ahead: None }]);
    home.receive(&ClientFrame::Pong);
    home.later(10_000);
    home.push(1);
    home.written();
    home.later(10_000);
    assert_eq!(home.session.tick(home.now, &home.bounds), Tick::Quiet);
}

#[test]
fn ping_is_answered_at_once() {
    let mut home = Home::attached();
    home.receive(&ClientFrame::Ping { ahead: None });
    assert!(home.session.wants_write(home.now, &home.bounds));
    assert_eq!(home.written(), [ServerFrame::Pong]);
}

#[test]
fn f25_only_what_comes_in_is_a_sign_of_life() {
    let mut home = Home::attached();
    for _ in 0..34 {
        home.later(1_000);
        home.push(1);
        home.written();
        assert_ne!(home.session.tick(home.now, &home.bounds), Tick::Close);
    }
    home.later(1_000);
    assert_eq!(home.session.tick(home.now, &home.bounds), Tick::Close);
    assert_eq!(home.written_and_close().1, Some(CloseCode::PING_TIMEOUT));
    assert!(!home.session.is_over());
}

#[test]
fn part_of_a_frame_is_a_sign_of_life() {
    let mut home = Home::attached();
    home.later(30_000);
    home.session.heard(home.link, home.now);
    home.later(30_000);
    assert_ne!(home.session.tick(home.now, &home.bounds), Tick::Close);
}

#[test]
fn f41_announced_item_buys_patience_in_either_direction() {
    // 512 KiB at 8 KiB/s: 64 s.
    let half_a_mebibyte = 512 << 10;
    let mut home = Home::attached();
    home.receive(&ClientFrame::Ping {
        ahead: Some(half_a_mebibyte),
    });
    home.later(35_000 + 64_000 - 1);
    assert_ne!(home.session.tick(home.now, &home.bounds), Tick::Close);
    home.later(1);
    assert_eq!(home.session.tick(home.now, &home.bounds), Tick::Close);

    let mut home = Home::attached();
    home.push_data(&text_of(half_a_mebibyte as usize - 100));
    home.written();
    home.later(35_000 + 60_000);
    assert_ne!(home.session.tick(home.now, &home.bounds), Tick::Close);
}

#[test]
fn announcing_more_than_any_item_can_be_buys_no_more() {
    let mut home = Home::attached();
    home.receive(&ClientFrame::Ping {
        ahead: Some(u64::MAX),
    });
    home.later(35_000 + 2 * 64_000);
    assert_eq!(home.session.tick(home.now, &home.bounds), Tick::Close);
}

#[test]
fn detached_session_has_no_deadline() {
    let mut home = Home::attached();
    home.session.detach(home.link, home.now);
    assert_eq!(home.session.deadline(&home.bounds), None);
    home.later(1_000_000);
    assert_eq!(home.session.tick(home.now, &home.bounds), Tick::Quiet);
}
