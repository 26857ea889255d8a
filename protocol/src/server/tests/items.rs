//! Promises about the client's items: counted, accepted or answered, started in order, replied to once.

use super::*;
use crate::codes::Refusal;
use crate::frame::Undecodable;
use crate::server::{ItemKind, Replied, Resumed};

fn garbage() -> Bytes {
    Bytes::from_static(&[0xff, 0xff])
}

fn reserved_event() -> Bytes {
    let frame = ClientFrame::Event {
        id: id("chsk/state"),
        data: Data::null(CODEC),
    };
    frame.encode(CODEC)
}

#[test]
fn every_item_counts_and_a_refused_one_is_answered_before_the_ack_that_covers_it() {
    let mut home = Home::attached();
    home.receive(&event(1));
    home.receive_bytes(reserved_event());
    home.receive_bytes(garbage());
    home.receive(&event(4));
    let written = home.written();
    assert_eq!(error_event(&written[0]), (ErrorCode::RESERVED, 2));
    assert_eq!(error_event(&written[1]), (ErrorCode::UNDECODABLE, 3));
    assert_eq!(written[2..], [ack(4, 2)]);
    assert_eq!(home.handle_all(), [1, 4]);
}

#[test]
fn no_ack_overtakes_an_answer_that_did_not_fit_the_write() {
    let mut home = Home::attached();
    home.push(1);
    home.push(2);
    home.receive_bytes(garbage());
    let (written, more, _) = home.write(1, usize::MAX);
    assert_eq!((written, more), (vec![pushed(1)], true));
    let (written, more, _) = home.write(1, usize::MAX);
    assert_eq!((written, more), (vec![pushed(2)], true));
    let (written, more, _) = home.write(1, usize::MAX);
    assert_eq!(error_event(&written[0]), (ErrorCode::UNDECODABLE, 1));
    assert_eq!((&written[1..], more), (&[ack(1, 3)][..], false));
}

#[test]
fn refused_request_is_answered_by_its_ref() {
    let mut home = Home::attached();
    let frame = ClientFrame::Request {
        request: 9,
        id: id("chsk/x"),
        data: Data::null(CODEC),
        timeout_ms: 0,
    };
    home.receive(&frame);
    let written = home.written();
    let ServerFrame::Reply {
        request: 9,
        outcome: Err(refusal),
    } = &written[0]
    else {
        panic!("{written:?}")
    };
    assert_eq!(refusal.code, ErrorCode::RESERVED);
    assert_eq!(written[1..], [ack(1, 1)]);
    assert_eq!(home.session.outstanding(), 0);
}

#[test]
fn frame_refused_by_the_driver_counts_as_well() {
    let mut home = Home::attached();
    let beginning = request(5, 0).encode(CODEC);
    let undecodable = Undecodable::too_large(CODEC, &beginning[..4]);
    home.session
        .refuse(home.link, undecodable, 1 << 20, home.now, &home.bounds);
    assert_eq!(home.session.received(), 1);
    let written = home.written();
    match &written[0] {
        ServerFrame::Reply {
            request: 5,
            outcome: Err(refusal),
        } => assert_eq!(refusal.code, ErrorCode::TOO_LARGE),
        other => assert_eq!(error_event(other), (ErrorCode::TOO_LARGE, 1)),
    }
    assert_eq!(written[1..], [ack(1, 1)]);
}

#[test]
fn malformed_control_has_no_position_and_is_answered_beside_the_queue() {
    let mut home = Home::attached();
    // [4, "x"]: an ack without a number.
    home.receive_bytes(Bytes::from_static(&[0x82, 0x04, 0x61, 0x78]));
    assert_eq!(home.session.received(), 0);
    assert!(matches!(home.written()[..], [ServerFrame::Error(_)]));
}

#[test]
fn ref_in_use_is_refused_without_answering_the_other_request() {
    let mut home = Home::attached();
    home.receive(&request(1, 0));
    home.receive(&request(1, 0));
    let written = home.written();
    assert_eq!(error_event(&written[0]), (ErrorCode::BAD_EVENT, 2));
    assert_eq!(home.handle_all(), [1]);
    assert_eq!(
        home.session.reply(1, Ok(number(7)), &home.bounds),
        Replied::Queued
    );
}

#[test]
fn f05_request_is_answered_exactly_once() {
    let mut home = Home::attached();
    home.receive(&request(1, 0));
    home.written();
    assert_eq!(
        home.session.reply(2, Ok(number(1)), &home.bounds),
        Replied::Ignored
    );
    assert_eq!(
        home.session.reply(1, Ok(number(7)), &home.bounds),
        Replied::Queued
    );
    assert_eq!(
        home.session.reply(1, Ok(number(8)), &home.bounds),
        Replied::Ignored
    );
    assert_eq!(
        home.written(),
        [ServerFrame::Reply {
            request: 1,
            outcome: Ok(number(7))
        }]
    );
}

#[test]
fn f88_reply_that_is_too_large_becomes_a_clear_error() {
    let limits = Limits {
        max_bytes: 1_000,
        ..Limits::default()
    };
    let mut home = Home::attached_with(Bounds {
        limits,
        ..Bounds::default()
    });
    home.receive(&request(1, 0));
    home.session.reply(1, Ok(text_of(1_000)), &home.bounds);
    let written = home.written();
    let ServerFrame::Reply {
        request: 1,
        outcome: Err(refusal),
    } = &written[0]
    else {
        panic!("{written:?}")
    };
    assert_eq!(refusal.code, ErrorCode::TOO_LARGE);
}

#[test]
fn reply_in_the_other_codec_is_transcoded() {
    let mut home = Home::attached();
    home.receive(&request(1, 0));
    let json = Data::from_value(Codec::Json, &Value::Int(7)).unwrap();
    home.session.reply(1, Ok(json), &home.bounds);
    assert_eq!(
        home.written()[0],
        ServerFrame::Reply {
            request: 1,
            outcome: Ok(number(7))
        }
    );
}

#[test]
fn f21_every_timeout_on_the_wire_means_something() {
    let mut home = Home::attached();
    for (request_ref, asked, meant) in [
        (1, 0, 30_000),
        (2, 5, 5),
        (3, 1_000_000_000_000, 86_400_000),
        (4, u64::MAX, 86_400_000),
    ] {
        home.receive(&request(request_ref, asked));
        let item = home.session.next_item().unwrap();
        home.session.item_returned(item.position, &home.bounds);
        let ItemKind::Request { timeout_ms, .. } = item.kind else {
            panic!("{item:?}")
        };
        assert_eq!(timeout_ms, meant, "asked for {asked}");
    }
    // −1 and NaN: refused by ref, before anything is started.
    for bad in [&[0x20][..], &[0xf9, 0x7e, 0x00]] {
        let mut frame = vec![0x85, 0x02, 0x09, 0x63, b'a', b'/', b'b', 0xf6];
        frame.extend_from_slice(bad);
        home.receive_bytes(frame.into());
        assert!(home.session.next_item().is_none());
        let written = home.written();
        let refused = written.iter().any(|frame| {
            matches!(
                frame,
                ServerFrame::Reply {
                    request: 9,
                    outcome: Err(_)
                }
            )
        });
        assert!(refused, "{written:?}");
    }
}

#[test]
fn f26_items_start_one_after_another_in_order() {
    let mut home = Home::attached();
    assert_eq!(home.receive(&event(1)), Received::Work);
    assert_eq!(home.session.next_item().unwrap().position, 1);
    assert_eq!(home.receive(&event(2)), Received::Quiet);
    assert!(home.session.next_item().is_none());
    let resumed = home.session.item_returned(1, &home.bounds);
    assert_eq!(
        resumed,
        Resumed {
            work: true,
            read_again: false
        }
    );
    assert_eq!(home.session.next_item().unwrap().position, 2);
    // A return that is said twice starts nothing early.
    assert_eq!(
        home.session.item_returned(1, &home.bounds),
        Resumed::default()
    );
    home.receive(&event(3));
    assert!(home.session.next_item().is_none());
}

#[test]
fn concurrent_items_do_not_hold_the_others_back() {
    let mut home = Home::attached();
    home.receive(&event(1));
    home.receive(&event(2));
    let first = home.session.next_item().unwrap();
    home.session.item_returned(first.position, &home.bounds);
    assert_eq!(home.session.next_item().unwrap().position, 2);
}

#[test]
fn reading_stops_at_256_waiting_items_and_goes_on_at_half() {
    let mut home = Home::attached();
    for n in 1..256 {
        assert_ne!(home.receive(&event(n)), Received::Full, "{n}");
    }
    assert_eq!(home.receive(&event(256)), Received::Full);
    assert!(!home.session.may_read());
    let mut returned = 0;
    loop {
        let item = home.session.next_item().unwrap();
        returned += 1;
        if home
            .session
            .item_returned(item.position, &home.bounds)
            .read_again
        {
            break;
        }
    }
    assert_eq!(returned, 128);
    assert!(home.session.may_read());
    assert_eq!(home.session.inbox_items(), 128);
}

#[test]
fn reading_stops_at_a_mebibyte_of_waiting_items() {
    let mut home = Home::attached();
    let large = ClientFrame::Event {
        id: id("t/note"),
        data: text_of(400 << 10),
    };
    assert_eq!(home.receive(&large), Received::Work);
    assert_eq!(home.receive(&large), Received::Work);
    assert_eq!(home.receive(&large), Received::Full);
}

#[test]
fn f74_repeated_abuse_closes_with_4506_but_rare_faults_never_do() {
    let mut home = Home::attached();
    for _ in 0..16 {
        assert_eq!(home.receive_bytes(garbage()), Received::Refused);
    }
    let closed = home.receive_bytes(garbage());
    assert!(matches!(
        closed,
        Received::Close(CloseCode::TOO_MANY_ERRORS, _)
    ));
    assert_eq!(home.written_and_close().1, Some(CloseCode::TOO_MANY_ERRORS));
    let mut home = Home::attached();
    for _ in 0..200 {
        home.later(5_000);
        assert_eq!(home.receive_bytes(garbage()), Received::Refused);
    }
}

#[test]
fn too_many_unanswered_requests_are_refused_with_rate() {
    let mut home = Home::attached_with(Bounds {
        max_outstanding: 2,
        ..Bounds::default()
    });
    for n in 1..=3 {
        home.receive(&request(n, 0));
    }
    let written = home.written();
    let ServerFrame::Reply {
        request: 3,
        outcome: Err(refusal),
    } = &written[0]
    else {
        panic!("{written:?}")
    };
    assert_eq!(refusal.code, ErrorCode::RATE);
    home.session.reply(1, Ok(number(1)), &home.bounds);
    home.receive(&request(4, 0));
    assert!(home.session.is_outstanding(4));
}

#[test]
fn fault_of_a_handler_can_be_told_after_the_fact() {
    let mut home = Home::attached();
    home.receive(&event(1));
    home.written();
    home.session.report(
        1,
        &Refusal::new(ErrorCode::TIMEOUT, "too slow"),
        &home.bounds,
    );
    assert_eq!(error_event(&home.written()[0]), (ErrorCode::TIMEOUT, 1));
}
