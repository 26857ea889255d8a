//! Promises about outcomes: each exactly once, and saying whether the item was sent.

use super::*;

#[test]
fn f05_reply_resolves_its_request_with_its_value() {
    let mut tab = Tab::open();
    let (one, two) = (tab.request(1), tab.request(2));
    let newest = tab.newest_ref();
    tab.reply(newest, Ok(number(20)));
    tab.reply(newest - 1, Ok(number(10)));
    assert_eq!(tab.outcome(one), Some(&Ok(number(10))));
    assert_eq!(tab.outcome(two), Some(&Ok(number(20))));
    tab.pass(100_000);
    assert_eq!(tab.resolved.len(), 2);
}

#[test]
fn f17_request_without_a_reply_times_out_and_a_later_reply_is_ignored() {
    let mut tab = Tab::open();
    let token = tab.request_with(1, within(500));
    let request = tab.newest_ref();
    tab.pass(499);
    assert_eq!(tab.outcome(token), None);
    tab.pass(1);
    assert_eq!(tab.failure(token), Some(failed(FailureKind::Timeout, true)));
    tab.reply(request, Ok(number(1)));
    assert_eq!(tab.resolved.len(), 1);
}

#[test]
fn f17_request_never_sent_by_its_deadline_is_closed_unsent_and_never_goes_out() {
    let mut tab = Tab::new();
    tab.session.connect(tab.now);
    let token = tab.request_with(1, within(500));
    tab.pass(500);
    assert_eq!(tab.failure(token), Some(failed(FailureKind::Closed, false)));
    tab.greet(server_hello(1, false, 0, "alice"));
    assert_eq!(tab.items(), []);
}

#[test]
fn f21_absent_and_zero_deadlines_mean_the_default_and_a_huge_one_a_day() {
    for (asked, meant) in [
        (None, 30_000),
        (Some(0), 30_000),
        (Some(1_000_000_000_000), 86_400_000),
    ] {
        let mut tab = Tab::open();
        tab.request_with(
            1,
            SendOptions {
                timeout_ms: asked,
                ..SendOptions::default()
            },
        );
        let ClientFrame::Request { timeout_ms, .. } = tab.written[0] else {
            panic!()
        };
        assert_eq!(timeout_ms, meant);
    }
    let mut tab = Tab::open();
    let token = tab.request(1);
    tab.server(&ServerFrame::Ping {
        ahead: Some(1 << 30),
    });
    tab.pass(29_999);
    assert_eq!(tab.outcome(token), None);
    tab.pass(1);
    assert_eq!(tab.failure(token), Some(failed(FailureKind::Timeout, true)));
}

#[test]
fn f20_null_and_false_are_successes() {
    for value in [Value::Null, Value::Bool(false)] {
        let mut tab = Tab::open();
        let token = tab.request(1);
        let data = Data::from_value(CODEC, &value).unwrap();
        let request = tab.newest_ref();
        tab.reply(request, Ok(data.clone()));
        assert_eq!(tab.outcome(token), Some(&Ok(data)));
    }
}

#[test]
fn f10b_error_of_the_application_is_not_one_of_the_librarys() {
    let cases = [
        (ErrorCode::NO_HANDLER, FailureKind::NoHandler),
        (ErrorCode::TIMEOUT, FailureKind::Timeout),
        (ErrorCode::CLOSED, FailureKind::Closed),
        (ErrorCode::HANDLER_FAILED, FailureKind::Error),
        (ErrorCode::BUS_DOWN, FailureKind::Error),
        (ErrorCode(1000), FailureKind::Application),
    ];
    for (code, kind) in cases {
        let mut tab = Tab::open();
        let token = tab.request(1);
        let request = tab.newest_ref();
        tab.reply(request, Err(Refusal::new(code, "why")));
        let failure = tab.outcome(token).unwrap().as_ref().unwrap_err();
        let expected = Failure {
            kind,
            sent: true,
            refusal: Some(Refusal::new(code, "why")),
        };
        assert_eq!(failure, &expected);
    }
}

#[test]
fn event_resolves_when_it_is_acknowledged() {
    let mut tab = Tab::open();
    let (one, two) = (tab.send(1), tab.send(2));
    tab.server(&ServerFrame::Ack {
        received: 1,
        sent: Some(0),
    });
    assert_eq!(tab.outcome(one), Some(&Ok(Data::null(CODEC))));
    assert_eq!(tab.outcome(two), None);
    tab.server(&ServerFrame::Ack {
        received: 2,
        sent: Some(0),
    });
    assert_eq!(tab.resolved.len(), 2);
    assert_eq!(tab.session.unresolved(), 0);
}

#[test]
fn refused_event_resolves_with_the_error_and_its_ack_changes_nothing() {
    let mut tab = Tab::open();
    let (one, two) = (tab.send(1), tab.send(2));
    let error = [
        ("code", Value::Int(2)),
        ("message", Value::Text("no".into())),
        ("position", Value::Int(2)),
    ];
    let error = Value::Map(
        error
            .map(|(key, value)| (Value::Text(key.into()), value))
            .to_vec(),
    );
    let data = Data::from_value(CODEC, &error).unwrap();
    tab.server(&ServerFrame::Event {
        id: id(EventId::ERROR),
        data,
    });
    tab.server(&ServerFrame::Ack {
        received: 2,
        sent: Some(1),
    });
    assert!(tab.outcome(one).unwrap().is_ok());
    let failure = tab.outcome(two).unwrap().as_ref().unwrap_err();
    assert_eq!((failure.kind, failure.sent), (FailureKind::Error, true));
    assert_eq!(failure.refusal, Some(Refusal::new(ErrorCode::BAD_ID, "no")));
    assert_eq!(tab.events_named(EventId::ERROR), 1);
}

#[test]
fn event_with_a_deadline_says_whether_it_was_sent() {
    let mut tab = Tab::open();
    let sent = tab.send_with(1, within(500));
    tab.lose(&closed(4003));
    let unsent = tab.send_with(2, within(400));
    tab.pass(500);
    assert_eq!(tab.failure(sent), Some(failed(FailureKind::Timeout, true)));
    assert_eq!(
        tab.failure(unsent),
        Some(failed(FailureKind::Closed, false))
    );
}

#[test]
fn window_holds_further_items_back_until_acks_come() {
    let mut tab = Tab::open_with(Options {
        window_items: 3,
        ..ws_only()
    });
    for n in 1..=5 {
        tab.send(n);
    }
    assert_eq!(tab.items(), [1, 2, 3]);
    tab.server(&ServerFrame::Ack {
        received: 1,
        sent: Some(0),
    });
    assert_eq!(tab.items(), [1, 2, 3, 4]);
}

#[test]
fn large_item_is_announced() {
    let mut tab = Tab::open();
    tab.session.send(
        id("t/note"),
        text_of(100 << 10),
        SendOptions::default(),
        tab.now,
    );
    tab.run();
    assert!(matches!(
        tab.written[..],
        [
            ClientFrame::Ping {
                ahead: Some(102_400..)
            },
            ClientFrame::Event { .. }
        ]
    ));
}

#[test]
fn f13_injected_event_comes_out_as_such_and_cannot_pass_for_the_librarys() {
    let mut tab = Tab::open();
    tab.session.inject(id("my/own"), number(1));
    tab.session.inject(id("chsk/gap"), number(2));
    tab.server(&pushed(3));
    tab.run();
    let seen: Vec<_> = tab
        .events
        .iter()
        .map(|event| (event.id.as_str(), event.source))
        .collect();
    assert_eq!(
        seen,
        [("my/own", Source::Injected), ("t/push", Source::Push)]
    );
}

#[test]
fn request_that_waited_behind_a_full_window_tells_what_time_is_left() {
    let mut tab = Tab::open_with(Options {
        window_items: 1,
        ..ws_only()
    });
    tab.send(1);
    tab.request_with(2, within(10_000));
    tab.later(4_000);
    tab.written.clear();
    tab.server(&ServerFrame::Ack {
        received: 1,
        sent: Some(0),
    });
    assert!(matches!(
        tab.written[..],
        [ClientFrame::Request {
            timeout_ms: 6_000,
            ..
        }]
    ));
}
