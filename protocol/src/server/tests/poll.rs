//! Promises about GETs: what they acknowledge, which one is answered, how long, with what.

use super::*;
use crate::sequence;
use crate::server::{POLL_BYTES, PollDue, PollRefused, PollTurn, Tick, Written};

impl Home {
    /// A session whose client polls; its hello has been answered.
    pub(super) fn polled() -> Home {
        Home::polled_with(Bounds::default())
    }

    pub(super) fn polled_with(bounds: Bounds) -> Home {
        let client = ClientId::parse("tab").unwrap();
        let mut home = Home {
            session: Session::new(session_id(), client, None, CODEC),
            bounds,
            link: Link(0),
            now: Millis(100_000),
        };
        home.poll_hello(&hello(1, None, 0));
        home
    }

    pub(super) fn poll_hello(&mut self, hello: &ClientHello) -> ServerHello {
        let attached = self
            .session
            .attach(hello, Transport::Poll, self.now)
            .unwrap();
        self.link = attached.link;
        assert!(self.session.hello(attached.link, &self.answer(&attached)));
        let mut body = Vec::new();
        assert!(self.session.poll_hello(self.link, &mut body));
        match &frames(body)[..] {
            [ServerFrame::Hello(hello)] => hello.clone(),
            other => panic!("no hello but {other:?}"),
        }
    }

    pub(super) fn get(&mut self, n: u64, received: u64) -> Result<PollTurn, PollRefused> {
        let attempt = self.session.attempt();
        self.session.poll(attempt, n, received, self.now)
    }

    pub(super) fn answer_get(&mut self, turn: PollTurn) -> (Vec<ServerFrame>, Option<CloseCode>) {
        let (body, written) = self.answer_within(turn, POLL_BYTES);
        (frames(body), written.close.map(|(code, _)| code))
    }

    fn answer_within(&mut self, turn: PollTurn, max_bytes: usize) -> (Vec<u8>, Written) {
        let mut body = Vec::new();
        let written = self
            .session
            .poll_write(turn, &mut body, max_bytes, self.now, &self.bounds);
        (body, written)
    }

    fn due(&mut self, turn: PollTurn) -> PollDue {
        self.session.poll_due(turn, self.now, &self.bounds)
    }
}

pub(super) fn frames(body: Vec<u8>) -> Vec<ServerFrame> {
    let limits = Limits::from_server(1 << 20);
    sequence::split(CODEC, &body.into(), &limits)
        .map(|frame| ServerFrame::decode(CODEC, frame, &limits).unwrap())
        .collect()
}

#[test]
fn get_is_answered_with_what_waits_and_acknowledges_what_came_before() {
    let mut home = Home::polled();
    home.push(1);
    home.push(2);
    let turn = home.get(1, 0).unwrap();
    assert_eq!(
        home.answer_get(turn),
        (vec![pushed(1), pushed(2), ack(0, 2)], None)
    );
    assert_eq!(home.session.queue_items(), 2);
    home.push(3);
    let turn = home.get(2, 2).unwrap();
    assert_eq!(home.session.queue_items(), 1);
    assert_eq!(home.answer_get(turn).0, [pushed(3), ack(0, 3)]);
}

#[test]
fn lost_answer_is_harmless_because_the_next_get_begins_where_it_did() {
    let mut home = Home::polled();
    home.push(1);
    let turn = home.get(1, 0).unwrap();
    home.answer_get(turn);
    home.push(2);
    let turn = home.get(2, 0).unwrap();
    assert_eq!(home.answer_get(turn).0, [pushed(1), pushed(2), ack(0, 2)]);
}

#[test]
fn delayed_get_is_refused_and_changes_nothing() {
    let mut home = Home::polled();
    for n in 1..=3 {
        home.push(n);
    }
    let turn = home.get(2, 0).unwrap();
    home.answer_get(turn);
    let turn = home.get(3, 2).unwrap();
    assert_eq!(home.get(2, 0), Err(PollRefused::LowerTurn));
    // A copy of the newest, when its client has acknowledged more.
    assert_eq!(home.get(3, 0), Err(PollRefused::LowerTurn));
    assert!(home.session.poll_is_current(turn));
    assert_eq!(home.answer_get(turn).0, [pushed(3), ack(0, 3)]);
}

#[test]
fn repeated_get_takes_the_place_of_the_first_which_is_answered_with_nothing() {
    let mut home = Home::polled();
    let first = home.get(1, 0).unwrap();
    assert_eq!(home.due(first), PollDue::Idle);
    let copy = home.get(1, 0).unwrap();
    assert_eq!(home.due(first), PollDue::Now);
    home.push(1);
    assert_eq!(home.answer_get(first), (vec![], None));
    assert_eq!(home.answer_get(copy).0, [pushed(1), ack(0, 1)]);
}

#[test]
fn hello_on_either_transport_supersedes_gets_and_posts_of_before() {
    let mut home = Home::polled();
    home.push(1);
    let turn = home.get(1, 0).unwrap();
    home.resume(2, 0);
    assert_eq!(home.due(turn), PollDue::Now);
    assert_eq!(home.answer_get(turn), (vec![], Some(CloseCode::SUPERSEDED)));
    for attempt in [1, 2] {
        let refused = home.session.poll(attempt, 9, 0, home.now);
        assert_eq!(refused, Err(PollRefused::LowerAttempt));
        let refused = home.post_at(attempt, 1, &[event(1)]);
        assert_eq!(refused, Err(PollRefused::LowerAttempt));
    }
    assert_eq!(home.written()[1..], [pushed(1)]);
    home.poll_hello(&hello(3, Some(session_id()), 1));
    home.push(2);
    let turn = home.get(1, 1).unwrap();
    assert_eq!(home.answer_get(turn).0, [pushed(2), ack(0, 2)]);
}

#[test]
fn higher_attempt_than_any_hello_is_not_of_this_session() {
    let mut home = Home::polled();
    let refused = home.session.poll(7, 1, 0, home.now);
    assert_eq!(refused, Err(PollRefused::HigherAttempt));
    assert_eq!(home.session.attempt(), 1);
}

#[test]
fn connection_that_was_closed_takes_no_get_and_no_post_of_its_attempt_any_more() {
    let mut home = Home::polled();
    home.session.close(CloseCode::RESTARTING, "restart");
    let turn = home.get(1, 0).unwrap();
    assert_eq!(home.answer_get(turn).1, Some(CloseCode::RESTARTING));
    home.session.detach(home.link, home.now);
    // It would be held for ever: nothing is written to whom was not greeted.
    home.push(1);
    assert_eq!(home.get(2, 0), Err(PollRefused::HigherAttempt));
    let refused = home.post_at(1, 1, &[event(1)]);
    assert_eq!(refused, Err(PollRefused::HigherAttempt));
    home.poll_hello(&hello(2, Some(session_id()), 0));
    let turn = home.get(1, 0).unwrap();
    assert_eq!(home.answer_get(turn).0, [pushed(1), ack(0, 1)]);
}

#[test]
fn get_that_waits_is_asked_again_when_a_proxy_repeats_its_hello() {
    let mut home = Home::polled();
    let turn = home.get(1, 0).unwrap();
    home.poll_hello(&hello(1, Some(session_id()), 0));
    // Not superseded: to its client it is the same connection.
    assert_eq!(home.answer_get(turn), (vec![], None));
    home.push(1);
    let turn = home.get(2, 0).unwrap();
    assert_eq!(home.answer_get(turn).0, [pushed(1), ack(0, 1)]);
}

#[test]
fn count_that_cannot_be_is_refused() {
    let mut home = Home::polled();
    home.push(1);
    assert_eq!(home.get(1, 2), Err(PollRefused::Lost));
    assert_eq!(home.get(1, 1), Err(PollRefused::Lost));
    let turn = home.get(1, 0).unwrap();
    home.answer_get(turn);
    home.get(2, 1).unwrap();
    assert_eq!(home.get(3, 0), Err(PollRefused::Lost));
}

#[test]
fn answer_holds_as_much_as_fits_or_one_item() {
    let mut home = Home::polled();
    for _ in 0..3 {
        home.push_data(&text_of(100_000));
    }
    let turn = home.get(1, 0).unwrap();
    let (body, written) = home.answer_within(turn, 256_000);
    assert!(written.more);
    assert_eq!(body.len() / 100_000, 2);
    let turn = home.get(2, 2).unwrap();
    assert_eq!(home.due(turn), PollDue::At(home.now.plus(10)));
    let (body, written) = home.answer_within(turn, 1_000);
    assert!(!written.more);
    assert_eq!(body.len() / 100_000, 1);
}

#[test]
fn f59_hundred_pushes_in_a_row_leave_in_one_answer() {
    let mut home = Home::polled();
    let turn = home.get(1, 0).unwrap();
    home.push(1);
    let PollDue::At(at) = home.due(turn) else {
        panic!("answered before the others came")
    };
    home.later(at.0 - home.now.0 - 1);
    for n in 2..=100 {
        home.push(n);
    }
    assert_eq!(home.due(turn), PollDue::At(at));
    home.later(1);
    assert_eq!(home.due(turn), PollDue::Now);
    let frames = home.answer_get(turn).0;
    assert_eq!(frames[..100], (1..=100).map(pushed).collect::<Vec<_>>());
}

#[test]
fn f61_flush_and_whatever_ends_the_connection_wait_for_no_window() {
    let mut home = Home::polled();
    let turn = home.get(1, 0).unwrap();
    home.push(1);
    assert!(matches!(home.due(turn), PollDue::At(_)));
    home.session.flush();
    assert_eq!(home.due(turn), PollDue::Now);
    home.answer_get(turn);
    let turn = home.get(2, 1).unwrap();
    home.push(2);
    assert!(matches!(home.due(turn), PollDue::At(_)));
    home.session.close(CloseCode::KICKED, "out");
    assert_eq!(home.due(turn), PollDue::Now);
}

#[test]
fn f56_idle_get_is_answered_with_nothing_and_costs_no_ping() {
    let mut home = Home::polled();
    let turn = home.get(1, 0).unwrap();
    for _ in 0..20 {
        home.later(1000);
        assert_eq!(home.session.tick(home.now, &home.bounds), Tick::Quiet);
        assert_eq!(home.due(turn), PollDue::Idle);
    }
    assert_eq!(home.answer_get(turn), (vec![], None));
}

#[test]
fn poll_client_is_gone_35_s_after_its_last_get_was_answered() {
    let mut home = Home::polled();
    let turn = home.get(1, 0).unwrap();
    home.later(60_000);
    assert_eq!(home.session.tick(home.now, &home.bounds), Tick::Quiet);
    home.answer_get(turn);
    home.later(34_999);
    assert_eq!(home.session.tick(home.now, &home.bounds), Tick::Quiet);
    assert_eq!(home.session.detached_since(), None);
    home.later(1);
    assert_eq!(home.session.tick(home.now, &home.bounds), Tick::Silent);
    assert_eq!(home.session.detached_since(), Some(home.now));
}

#[test]
fn client_that_slept_goes_on_with_its_next_get() {
    let mut home = Home::polled();
    home.later(40_000);
    assert_eq!(home.session.tick(home.now, &home.bounds), Tick::Silent);
    home.push(1);
    let turn = home.get(1, 0).unwrap();
    assert_eq!(home.session.detached_since(), None);
    assert_eq!(home.answer_get(turn).0, [pushed(1), ack(0, 1)]);
}

#[test]
fn dropped_get_no_longer_counts_as_a_sign_of_life() {
    let mut home = Home::polled();
    let turn = home.get(1, 0).unwrap();
    home.session.poll_dropped(turn);
    home.later(35_000);
    assert_eq!(home.session.tick(home.now, &home.bounds), Tick::Silent);
}

#[test]
fn end_of_a_session_is_told_to_the_next_get_and_only_to_it() {
    let mut home = Home::polled();
    home.push(1);
    home.session.close(CloseCode::KICKED, "out");
    let turn = home.get(1, 0).unwrap();
    let (frames, close) = home.answer_get(turn);
    assert_eq!(close, Some(CloseCode::KICKED));
    assert_eq!(frames[0], pushed(1));
    assert!(matches!(
        frames.last(),
        Some(ServerFrame::Bye { code, .. }) if *code == CloseCode::KICKED
    ));
    home.session.detach(home.link, home.now);
    assert_eq!(home.get(2, 1), Err(PollRefused::Over));
}

#[test]
fn ack_after_a_resume_comes_by_get_when_nothing_else_does() {
    let mut home = Home::attached();
    home.receive(&event(1));
    home.session.detach(home.link, home.now);
    home.poll_hello(&hello(2, Some(session_id()), 0));
    let turn = home.get(1, 0).unwrap();
    assert_ne!(home.due(turn), PollDue::Idle);
    assert_eq!(home.answer_get(turn).0, [ack(1, 0)]);
}

#[test]
fn large_item_is_not_announced_where_nobody_would_hear_it_in_time() {
    let mut home = Home::polled();
    home.push_data(&text_of(300_000));
    let turn = home.get(1, 0).unwrap();
    let frames = home.answer_get(turn).0;
    assert!(matches!(
        frames[..],
        [ServerFrame::Event { .. }, ServerFrame::Ack { .. }]
    ));
    // But the client gets the time that it takes on a slow link.
    home.later(35_000 + 30_000);
    assert_eq!(home.session.tick(home.now, &home.bounds), Tick::Quiet);
}
