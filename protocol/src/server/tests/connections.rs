//! Promises about connections: attempts, superseding, resume, farewells.

use super::*;
use crate::server::AttachRefused;

#[test]
fn resume_sends_again_what_the_client_lacks_and_nothing_else() {
    let mut home = Home::attached();
    for n in 1..=5 {
        home.push(n);
    }
    assert_eq!(home.written(), (1..=5).map(pushed).collect::<Vec<_>>());
    home.session.detach(home.link, home.now);
    home.push(6);
    let attached = home.resume(2, 3);
    assert!(attached.resumed && !attached.gap);
    let written = home.written();
    assert!(matches!(written[0], ServerFrame::Hello(_)));
    assert_eq!(written[1..], [pushed(4), pushed(5), pushed(6)]);
    assert_eq!(home.session.queue_items(), 3);
}

#[test]
fn lower_attempt_is_refused_and_changes_nothing() {
    let mut home = Home::attached();
    home.resume(5, 0);
    home.push(1);
    let refused = home
        .session
        .attach(&hello(4, Some(session_id()), 0), Transport::Ws, home.now);
    assert_eq!(refused, Err(AttachRefused::LowerAttempt { current: 5 }));
    assert_eq!(home.session.attempt(), 5);
    assert_eq!(home.session.link(), Some(home.link));
    assert_eq!(home.written()[1..], [pushed(1)]);
}

#[test]
fn equal_attempt_replaces_and_the_replaced_connection_is_heard_no_more() {
    let mut home = Home::attached();
    home.push(1);
    let old = home.link;
    home.resume(1, 0);
    assert_ne!(old, home.link);
    let new = std::mem::replace(&mut home.link, old);
    assert_eq!(home.receive(&event(1)), Received::Stale);
    assert_eq!(
        home.receive(&ClientFrame::Ack { received: 1 }),
        Received::Stale
    );
    assert_eq!(
        home.written_and_close(),
        (vec![], Some(CloseCode::SUPERSEDED))
    );
    assert!(!home.session.detach(old, home.now));
    assert_eq!(home.session.received(), 0);
    home.link = new;
    assert_eq!(home.written()[1..], [pushed(1)]);
}

#[test]
fn late_copy_of_an_answered_hello_does_not_end_the_session() {
    let mut home = Home::attached();
    home.push(1);
    home.resume(2, 0);
    home.written();
    home.receive(&ClientFrame::Ack { received: 1 });
    let copy = home
        .session
        .attach(&hello(2, Some(session_id()), 0), Transport::Ws, home.now);
    assert_eq!(copy, Err(AttachRefused::LowerAttempt { current: 2 }));
    assert!(!home.session.is_over());
}

#[test]
fn resume_that_cannot_be_complete_is_refused() {
    let mut home = Home::attached();
    for n in 1..=3 {
        home.push(n);
    }
    home.written();
    home.receive(&ClientFrame::Ack { received: 2 });
    home.session.detach(home.link, home.now);
    for received in [0, 1, 4] {
        let refused = home.session.attach(
            &hello(2, Some(session_id()), received),
            Transport::Ws,
            home.now,
        );
        assert_eq!(refused, Err(AttachRefused::Lost), "received {received}");
    }
    home.resume(2, 3);
}

#[test]
fn another_client_or_another_session_has_no_business_here() {
    let mut home = Home::attached();
    let mut stranger = hello(9, Some(session_id()), 0);
    stranger.client = ClientId::parse("another").unwrap();
    let nameless = hello(9, None, 0);
    for hello in [stranger, nameless] {
        let refused = home.session.attach(&hello, Transport::Ws, home.now);
        assert_eq!(refused, Err(AttachRefused::NotThisSession));
    }
}

#[test]
fn hello_that_names_a_lost_session_is_told_of_the_gap() {
    let mut session: Session<()> =
        Session::new(session_id(), ClientId::parse("tab").unwrap(), None, CODEC);
    let other = SessionId::new(&NodeId::parse("n9").unwrap(), [9; 16]);
    let attached = session
        .attach(&hello(3, Some(other), 12), Transport::Ws, Millis(0))
        .unwrap();
    assert!(!attached.resumed && attached.gap);
}

#[test]
fn nothing_is_written_before_the_hello() {
    let mut home = Home::attached();
    home.push(1);
    let attached = home
        .session
        .attach(&hello(2, Some(session_id()), 0), Transport::Ws, home.now)
        .unwrap();
    home.link = attached.link;
    assert!(!home.session.wants_write(home.now, &home.bounds));
    assert_eq!(home.written(), []);
    home.session.hello(attached.link, &home.answer(&attached));
    let written = home.written();
    assert!(matches!(written[0], ServerFrame::Hello(_)));
    assert_eq!(written[1..], [pushed(1)]);
}

#[test]
fn ack_that_died_with_a_connection_is_said_again_after_the_resume() {
    let mut home = Home::attached();
    home.receive(&event(1));
    assert_eq!(home.written(), [ack(1, 0)]);
    let attached = home.resume(2, 0);
    assert_eq!(attached.received, 1);
    assert_eq!(home.written()[1..], [ack(1, 0)]);
}

#[test]
fn items_after_a_resume_are_counted_on_from_the_named_position() {
    let mut home = Home::attached();
    home.receive(&event(1));
    home.resume(2, 0);
    home.receive(&event(2));
    assert_eq!(home.session.received(), 2);
    assert_eq!(home.handle_all(), [1, 2]);
}

#[test]
fn second_hello_closes_with_4500_and_ends_the_session() {
    let mut home = Home::attached();
    let received = home.receive(&ClientFrame::Hello(hello(2, None, 0)));
    assert!(matches!(received, Received::Close(CloseCode::PROTOCOL, _)));
    let (written, close) = home.written_and_close();
    assert!(matches!(
        written[..],
        [ServerFrame::Bye {
            code: CloseCode::PROTOCOL,
            ..
        }]
    ));
    assert_eq!(close, Some(CloseCode::PROTOCOL));
    assert!(home.session.is_over());
    let refused = home
        .session
        .attach(&hello(3, Some(session_id()), 0), Transport::Ws, home.now);
    assert_eq!(refused, Err(AttachRefused::Over));
}

#[test]
fn f64_close_comes_after_what_was_queued_and_takes_nothing_more() {
    let mut home = Home::attached();
    home.push(1);
    home.session.close(CloseCode::KICKED, "out");
    assert_eq!(home.push(2), Pushed::Over);
    let (written, close) = home.written_and_close();
    assert_eq!(written[0], pushed(1));
    assert!(matches!(
        written[1],
        ServerFrame::Bye {
            code: CloseCode::KICKED,
            ..
        }
    ));
    assert_eq!((written.len(), close), (2, Some(CloseCode::KICKED)));
}

#[test]
fn close_that_comes_back_keeps_the_session() {
    let mut home = Home::attached();
    home.session.close(CloseCode::RESTARTING, "drain");
    assert_eq!(home.push(1), Pushed::Queued);
    let (written, close) = home.written_and_close();
    assert_eq!((written.len(), close), (1, Some(CloseCode::RESTARTING)));
    home.session.detach(home.link, home.now);
    home.resume(2, 0);
    assert_eq!(home.written()[1..], [pushed(1)]);
}

#[test]
fn move_keeps_the_connection_served() {
    let mut home = Home::attached();
    home.session.bye(CloseCode::MOVE, "drain", 100, 900);
    home.push(1);
    let (written, close) = home.written_and_close();
    let bye = ServerFrame::Bye {
        code: CloseCode::MOVE,
        reason: "drain".into(),
        after_ms: 100,
        window_ms: 900,
    };
    assert_eq!((written, close), (vec![bye, pushed(1)], None));
}

#[test]
fn clients_goodbye_ends_the_session_but_a_broken_connection_does_not() {
    for (code, over) in [(1000, true), (1001, true), (4500, true), (4002, false)] {
        let mut home = Home::attached();
        let bye = ClientFrame::Bye {
            code: CloseCode(code),
            reason: "x".into(),
        };
        let received = home.receive(&bye);
        assert_eq!(
            received,
            Received::Left {
                code: CloseCode(code),
                reason: "x".into(),
                over
            }
        );
        assert_eq!(home.session.is_over(), over, "{code}");
    }
}

#[test]
fn items_counted_before_the_end_are_still_handled() {
    let mut home = Home::attached();
    home.receive(&event(1));
    home.receive(&event(2));
    home.receive(&ClientFrame::Bye {
        code: CloseCode(1000),
        reason: String::new(),
    });
    assert_eq!(home.handle_all(), [1, 2]);
}
