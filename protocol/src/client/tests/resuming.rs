//! Promises about resume: what goes out again, what does not, and what the application is told.

use super::*;

fn lost(tab: &mut Tab) {
    tab.lose(&TransportClose::default());
}

#[test]
fn resume_writes_again_exactly_what_the_server_lacks() {
    let mut tab = Tab::open();
    for n in 1..=4 {
        tab.send(n);
    }
    lost(&mut tab);
    tab.send(5);
    tab.greet(server_hello(1, true, 2, "alice"));
    assert_eq!(tab.items(), [3, 4, 5]);
    assert!(tab.state().resumed);
    // Counted is not yet answered: the outcome comes with the ack that follows the answers.
    assert!(tab.resolved.is_empty());
    tab.server(&ServerFrame::Ack {
        received: 5,
        sent: Some(0),
    });
    assert_eq!(
        tab.resolved
            .iter()
            .filter(|(_, outcome)| outcome.is_ok())
            .count(),
        5
    );
}

#[test]
fn failed_resume_sends_the_unwritten_and_closes_the_written() {
    let mut tab = Tab::open();
    let (event, request) = (tab.send(1), tab.request(2));
    lost(&mut tab);
    let (unwritten, asked) = (tab.send(3), tab.request(4));
    tab.greet(ServerHello {
        gap: true,
        ..server_hello(2, false, 0, "alice")
    });
    assert_eq!(tab.failure(event), Some(failed(FailureKind::Closed, true)));
    assert_eq!(
        tab.failure(request),
        Some(failed(FailureKind::Closed, true))
    );
    assert_eq!(tab.items(), [3, 4]);
    assert!(tab.state().gap && !tab.state().resumed);
    assert_eq!(tab.events_named(EventId::GAP), 1);
    tab.server(&ServerFrame::Ack {
        received: 2,
        sent: Some(0),
    });
    assert!(tab.outcome(unwritten).unwrap().is_ok());
    assert_eq!(tab.outcome(asked), None);
}

#[test]
fn request_that_was_acknowledged_but_not_answered_closes_with_its_session() {
    let mut tab = Tab::open();
    let token = tab.request(1);
    tab.server(&ServerFrame::Ack {
        received: 1,
        sent: Some(0),
    });
    lost(&mut tab);
    tab.greet(server_hello(2, false, 0, "alice"));
    assert_eq!(tab.failure(token), Some(failed(FailureKind::Closed, true)));
}

#[test]
fn f32_nothing_typed_as_one_user_is_sent_as_another() {
    let mut tab = Tab::open();
    let written = tab.send(1);
    tab.session.reconnect(tab.now);
    let (event, request) = (tab.send(2), tab.request(3));
    let hello = tab.greet(server_hello(2, false, 0, "bob"));
    assert_eq!(hello.session, Some(session_id(1)));
    assert_eq!(tab.items(), []);
    assert_eq!(
        tab.failure(written),
        Some(failed(FailureKind::Closed, true))
    );
    assert_eq!(tab.failure(event), Some(failed(FailureKind::Closed, false)));
    assert_eq!(
        tab.failure(request),
        Some(failed(FailureKind::Closed, false))
    );
    assert_eq!(tab.state().uid.as_ref().map(Uid::as_str), Some("bob"));
    tab.send(4);
    assert_eq!(tab.items(), [4]);
}

#[test]
fn logging_in_counts_as_becoming_another_user() {
    let mut tab = Tab::new();
    tab.session.connect(tab.now);
    tab.greet(server_hello(1, false, 0, ""));
    lost(&mut tab);
    let token = tab.send(1);
    tab.greet(server_hello(2, false, 0, "alice"));
    assert_eq!(tab.failure(token), Some(failed(FailureKind::Closed, false)));
}

#[test]
fn server_that_resumes_the_session_of_another_user_is_not_believed() {
    let mut tab = Tab::open();
    lost(&mut tab);
    let token = tab.send(1);
    tab.greet(server_hello(1, true, 0, "bob"));
    assert!(!tab.state().open);
    assert_eq!(tab.items(), []);
    tab.pass(20_000);
    tab.greet(server_hello(2, false, 0, "bob"));
    assert_eq!(tab.failure(token), Some(failed(FailureKind::Closed, false)));
    assert_eq!(tab.items(), []);
}

#[test]
fn what_arrives_late_on_the_old_connection_is_not_heard() {
    let mut tab = Tab::open();
    let old = tab.connection;
    tab.server(&pushed(1));
    lost(&mut tab);
    let hello = tab.say_hello();
    assert_eq!(hello.received, Some(1));
    tab.forget();
    tab.server_on(old, &pushed(2));
    assert!(tab.events.is_empty());
    tab.server(&ServerFrame::Hello(server_hello(1, true, 0, "alice")));
    tab.server(&pushed(2));
    assert_eq!(tab.events_named("t/push"), 1);
    assert_eq!(tab.session.received(), 2);
}

#[test]
fn drift_of_the_servers_count_ends_the_session_with_a_gap() {
    let mut tab = Tab::open();
    let (written, connection) = (tab.send(1), tab.connection);
    tab.server(&pushed(1));
    tab.server(&ServerFrame::Ack {
        received: 1,
        sent: Some(2),
    });
    assert_eq!(tab.closes, [(connection, CloseCode::PROTOCOL.0)]);
    assert_eq!(
        tab.failure(written),
        Some(failed(FailureKind::Closed, true))
    );
    assert_eq!(tab.close_reason(), Some(CloseReason::Error));
    tab.pass(20_000);
    let hello = tab.greet(server_hello(2, false, 0, "alice"));
    assert_eq!(hello.session, None);
    assert_eq!(tab.events_named(EventId::GAP), 1);
}

#[test]
fn server_that_acknowledges_what_was_never_sent_has_drifted() {
    let mut tab = Tab::open();
    tab.send(1);
    tab.server(&ServerFrame::Ack {
        received: 2,
        sent: Some(0),
    });
    assert!(!tab.state().open);
    tab.pass(20_000);
    tab.greet(server_hello(2, false, 0, "alice"));
    assert_eq!(tab.events_named(EventId::GAP), 1);
}

#[test]
fn item_that_cannot_be_used_is_counted_and_reported_and_closes_nothing() {
    let mut tab = Tab::open();
    let bad = bytes::Bytes::from_static(&[0x82, 0x01, 0x61, 0xff]);
    tab.session.frame(tab.connection, bad, tab.now);
    tab.server(&pushed(2));
    tab.server(&ServerFrame::Ack {
        received: 0,
        sent: Some(2),
    });
    assert!(tab.state().open);
    assert_eq!(
        (tab.events_named(EventId::ERROR), tab.events_named("t/push")),
        (1, 1)
    );
}

#[test]
fn acks_go_out_after_32_items_or_a_second_or_along_with_something_else() {
    let acks = |tab: &Tab| {
        let acks = tab.written.iter().filter_map(|frame| match frame {
            ClientFrame::Ack { received } => Some(*received),
            _ => None,
        });
        acks.collect::<Vec<_>>()
    };
    let mut tab = Tab::open();
    for n in 1..=33 {
        tab.server(&pushed(n));
    }
    assert_eq!(acks(&tab), [32]);
    tab.pass(999);
    assert_eq!(acks(&tab), [32]);
    tab.pass(1);
    assert_eq!(acks(&tab), [32, 33]);
    tab.server(&pushed(34));
    tab.send(1);
    assert_eq!(acks(&tab), [32, 33, 34]);
    let large = ServerFrame::Event {
        id: id("t/push"),
        data: text_of(64 << 10),
    };
    tab.server(&large);
    assert_eq!(acks(&tab), [32, 33, 34, 35]);
}
