//! Promises about the out-queue: bounds, gaps, budgets, memory.

use super::*;

#[test]
fn slow_consumer_ends_the_session_and_frees_its_queue() {
    let mut home = Home::attached_with(Bounds {
        max_queue_bytes: 1_000,
        ..Bounds::default()
    });
    let mut queued = 0;
    let ended = loop {
        match home.push(queued) {
            Pushed::Queued => queued += 1,
            other => break other,
        }
    };
    assert_eq!(ended, Pushed::Slow);
    assert!(queued > 5, "{queued}");
    assert_eq!(home.push(0), Pushed::Over);
    assert_eq!(
        (home.session.queue_bytes(), home.session.queue_items()),
        (0, 0)
    );
    let (written, close) = home.written_and_close();
    assert!(matches!(
        written[..],
        [ServerFrame::Bye {
            code: CloseCode::SLOW,
            ..
        }]
    ));
    assert_eq!(close, Some(CloseCode::SLOW));
}

#[test]
fn slow_consumer_is_told_no_count_of_what_it_never_got() {
    let mut home = Home::attached_with(Bounds {
        max_queue_bytes: 1_000,
        ..Bounds::default()
    });
    home.receive(&event(1));
    while home.push(1) == Pushed::Queued {}
    let (written, _) = home.written_and_close();
    assert!(
        matches!(written[..], [ServerFrame::Bye { .. }]),
        "{written:?}"
    );
}

#[test]
fn what_is_retained_counts_against_the_bound_until_it_is_acknowledged() {
    let mut home = Home::attached_with(Bounds {
        max_queue_bytes: 1_000,
        ..Bounds::default()
    });
    for n in 1..=1_000 {
        assert_eq!(home.push(n), Pushed::Queued, "{n}");
        home.written();
        home.receive(&ClientFrame::Ack { received: n });
    }
    let held = (0..1_000).take_while(|n| {
        let queued = home.push(*n) == Pushed::Queued;
        home.written();
        queued
    });
    assert!(held.count() < 30);
}

#[test]
fn detached_session_goes_on_queueing_within_its_bound() {
    let mut home = Home::attached_with(Bounds {
        max_queue_bytes: 1_000,
        ..Bounds::default()
    });
    home.session.detach(home.link, home.now);
    assert_eq!(home.session.detached_since(), Some(home.now));
    assert_eq!(home.push(1), Pushed::Queued);
    while home.push(2) == Pushed::Queued {}
    assert!(home.session.is_over());
}

#[test]
fn at_most_one_gap_waits_and_it_stands_at_the_place_of_the_hole() {
    let mut home = Home::attached();
    home.push(1);
    home.session.gap("lost", &home.bounds);
    home.push(2);
    home.session.gap("lost", &home.bounds);
    let is_gap = |frame: &ServerFrame| matches!(frame, ServerFrame::Event { id, .. } if id.as_str() == EventId::GAP);
    let written = home.written();
    assert_eq!((&written[0], &written[2]), (&pushed(1), &pushed(2)));
    assert_eq!(written.iter().filter(|frame| is_gap(frame)).count(), 1);
    // Once it is sent, the next hole is told anew; unless the client comes back without it.
    home.session.gap("lost", &home.bounds);
    assert_eq!(home.session.queue_items(), 4);
    home.resume(2, 1);
    home.session.gap("lost", &home.bounds);
    assert_eq!(
        home.written().iter().filter(|frame| is_gap(frame)).count(),
        2
    );
}

#[test]
fn f59_hundred_pushes_go_out_in_one_write() {
    let mut home = Home::attached();
    for n in 1..=100 {
        home.push(n);
    }
    assert_eq!(home.written(), (1..=100).map(pushed).collect::<Vec<_>>());
}

#[test]
fn write_keeps_to_its_budget_but_always_makes_progress() {
    let mut home = Home::attached();
    for _ in 0..3 {
        home.push_data(&text_of(100));
    }
    assert_eq!(home.write(2, usize::MAX).0.len(), 2);
    let (frames, more, _) = home.write(8, 10);
    assert_eq!((frames.len(), more), (1, false));
    home.push_data(&text_of(100));
    home.push_data(&text_of(100));
    assert!(home.write(8, 150).1);
}

#[test]
fn large_item_is_announced() {
    let mut home = Home::attached();
    home.push_data(&text_of(100 << 10));
    let written = home.written();
    let [
        ServerFrame::Ping { ahead: Some(ahead) },
        ServerFrame::Event { .. },
    ] = written[..]
    else {
        panic!("{written:?}")
    };
    assert!(ahead > 100 << 10, "{ahead}");
}

#[test]
fn ack_beyond_what_was_sent_closes_with_4500() {
    let mut home = Home::attached();
    home.push(1);
    let received = home.receive(&ClientFrame::Ack { received: 1 });
    assert!(matches!(received, Received::Close(CloseCode::PROTOCOL, _)));
}

#[test]
fn older_ack_changes_nothing() {
    let mut home = Home::attached();
    home.push(1);
    home.push(2);
    home.written();
    home.receive(&ClientFrame::Ack { received: 2 });
    assert_eq!(
        home.receive(&ClientFrame::Ack { received: 1 }),
        Received::Quiet
    );
    assert_eq!(home.session.queue_items(), 0);
}

#[test]
fn idle_and_acknowledged_session_owns_no_heap_beyond_its_ids() {
    let mut home = Home::attached();
    home.push(1);
    home.receive(&event(1));
    home.receive(&request(1, 0));
    home.handle_all();
    home.session.reply(1, Ok(number(1)), &home.bounds);
    home.written();
    home.receive(&ClientFrame::Ack { received: 2 });
    let session = &home.session;
    assert_eq!(session.out.capacity(), 0);
    assert!(session.control.is_empty());
    assert!(session.polling.is_none());
    assert_eq!(session.inbox.capacity(), 0);
    assert!(session.ending.is_none());
    assert!(session.outstanding.is_empty());
}

#[test]
fn session_is_small() {
    assert!(
        size_of::<Session<std::sync::Arc<()>>>() <= 328,
        "{}",
        size_of::<Session<std::sync::Arc<()>>>()
    );
}

#[test]
fn f106_hundred_events_cost_little_more_than_their_payload() {
    let mut home = Home::attached();
    let data = text_of(128);
    for _ in 0..100 {
        home.push_data(&data);
    }
    let mut out = Vec::new();
    home.session
        .write(home.link, &mut out, 1_000, 1 << 20, home.now, &home.bounds);
    let bytes: usize = out.iter().map(Bytes::len).sum();
    assert!(bytes * 10 <= data.bytes().len() * 100 * 12, "{bytes}");
}
