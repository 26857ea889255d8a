//! Promises about POSTs: counted by position, as far as there is room, never twice.

use super::poll::frames;
use super::*;
use crate::server::{POLL_BYTES, PollRefused, Posted};

impl Home {
    pub(super) fn post_at(
        &mut self,
        attempt: u64,
        first: u64,
        frames: &[ClientFrame],
    ) -> Result<Posted, PollRefused> {
        let body: Vec<u8> = frames
            .iter()
            .flat_map(|frame| frame.encode(CODEC).to_vec())
            .collect();
        self.post_bytes(attempt, first, body)
    }

    fn post_bytes(
        &mut self,
        attempt: u64,
        first: u64,
        body: Vec<u8>,
    ) -> Result<Posted, PollRefused> {
        self.session
            .post(attempt, first, &body.into(), &(), self.now, &self.bounds)
    }

    fn post(&mut self, first: u64, frames: &[ClientFrame]) -> Posted {
        self.post_at(self.session.attempt(), first, frames).unwrap()
    }

    /// What a GET brings now.
    fn got(&mut self, n: u64, received: u64) -> Vec<ServerFrame> {
        let turn = self.get(n, received).unwrap();
        self.answer_get(turn).0
    }
}

fn counted(received: u64) -> Posted {
    Posted {
        received,
        ..Posted::default()
    }
}

fn working(received: u64) -> Posted {
    Posted {
        work: true,
        ..counted(received)
    }
}

#[test]
fn f26_hundred_events_in_one_body_reach_their_handler_in_order() {
    let mut home = Home::polled();
    let events: Vec<_> = (1..=100).map(event).collect();
    assert_eq!(home.post(1, &events), working(100));
    assert_eq!(home.handle_all(), (1..=100).collect::<Vec<_>>());
}

#[test]
fn repeated_post_changes_nothing_and_is_answered_the_same() {
    let mut home = Home::polled();
    home.post(1, &[event(1), event(2)]);
    assert_eq!(home.post(1, &[event(1), event(2)]), counted(2));
    assert_eq!(home.post(2, &[event(2), event(3)]).received, 3);
    assert_eq!(home.handle_all(), [1, 2, 3]);
}

#[test]
fn post_behind_a_hole_takes_nothing() {
    let mut home = Home::polled();
    assert_eq!(home.post(2, &[event(2)]), counted(0));
    assert_eq!(home.post(1, &[event(1)]), working(1));
    assert_eq!(home.handle_all(), [1]);
}

#[test]
fn answer_is_an_ack_without_a_second_number() {
    assert_eq!(&counted(300).answer(Codec::Json)[..], b"[4,300]\n");
    assert_eq!(counted(300).answer(Codec::Cbor)[..], [0x82, 4, 0x19, 1, 44]);
}

#[test]
fn body_counts_up_to_its_first_undecodable_item() {
    let mut home = Home::polled();
    let mut body = event(1).encode(CODEC).to_vec();
    body.extend([0x82, 1, 0x1c]);
    body.extend(&event(3).encode(CODEC)[..]);
    let posted = home.post_bytes(1, 1, body).unwrap();
    assert_eq!((posted.received, posted.answers), (2, Some(1)));
    assert_eq!(home.handle_all(), [1]);
    let got = home.got(1, 0);
    assert_eq!(error_event(&got[0]), (ErrorCode::UNDECODABLE, 2));
    assert_eq!(got[1], ack(2, 1));
    // Once the client has the answer, there is nothing to wait for.
    home.got(2, 1);
    assert_eq!(home.post(3, &[event(3)]), working(3));
}

#[test]
fn refused_item_in_a_body_does_not_keep_the_others_back() {
    let mut home = Home::polled();
    let again = request(7, 0);
    let posted = home.post(1, &[request(7, 0), again, event(3)]);
    assert_eq!((posted.received, posted.answers), (3, Some(1)));
    assert_eq!(home.handle_all(), [1, 3]);
    assert_eq!(error_event(&home.got(1, 0)[0]), (ErrorCode::BAD_EVENT, 2));
}

#[test]
fn control_frames_count_nothing_and_a_ping_costs_no_get() {
    let mut home = Home::polled();
    home.push(1);
    home.got(1, 0);
    let frames = [
        ClientFrame::Ping { ahead: None },
        event(1),
        ClientFrame::Ack { received: 1 },
        event(2),
    ];
    assert_eq!(home.post(1, &frames).received, 2);
    assert_eq!(home.session.queue_items(), 0);
    assert_eq!(home.got(2, 1), []);
}

#[test]
fn full_inbox_takes_fewer_and_the_rest_later() {
    let mut home = Home::polled_with(Bounds {
        inbox_items: 4,
        ..Bounds::default()
    });
    let events: Vec<_> = (1..=10).map(event).collect();
    assert_eq!(home.post(1, &events).received, 4);
    assert_eq!(home.post(5, &events[4..]).received, 4);
    let first = home.session.next_item().unwrap();
    assert!(
        !home
            .session
            .item_returned(first.position, &home.bounds)
            .read_again
    );
    assert_eq!(home.post(5, &events[4..]).received, 4);
    assert_eq!(home.handle_all(), [2, 3, 4]);
    assert_eq!(home.post(5, &events[4..]).received, 8);
    assert_eq!(home.handle_all(), [5, 6, 7, 8]);
}

#[test]
fn body_over_the_limit_is_refused_unless_it_is_one_item() {
    let mut home = Home::polled();
    let large = ClientFrame::Event {
        id: id("t/note"),
        data: text_of(POLL_BYTES),
    };
    let refused = home.post_at(1, 1, &[event(1), large.clone()]);
    assert_eq!(refused, Err(PollRefused::TooLarge));
    assert_eq!(home.session.received(), 0);
    assert_eq!(home.post(1, &[large]), working(1));
    let larger = ClientFrame::Event {
        id: id("t/note"),
        data: text_of(home.bounds.limits.max_bytes),
    };
    assert_eq!(home.post(2, &[larger]).received, 2);
    assert_eq!(error_event(&home.got(1, 0)[0]), (ErrorCode::TOO_LARGE, 2));
}

#[test]
fn json_bodies_are_lines() {
    let mut home = Home::polled();
    home.session.codec = Codec::Json;
    let body = b"[1,\"t/note\",1]\n\n[1,\"t/note\"]\r\n[1,\"t/note\",3]".to_vec();
    assert_eq!(home.post_bytes(1, 1, body).unwrap(), working(3));
    let frame = OutFrame::event(Codec::Json, &id("t/push"), &number(1)).unwrap();
    let identity = Identity::Message(1);
    home.session.push(&frame, &identity, &home.bounds);
    let turn = home.get(1, 0).unwrap();
    let mut body = Vec::new();
    home.session
        .poll_write(turn, &mut body, POLL_BYTES, home.now, &home.bounds);
    assert_eq!(body, b"[1,\"t/push\",1]\n[4,3,1]\n");
}

#[test]
fn f33_goodbye_in_a_body_ends_the_session_after_what_stands_before_it() {
    let mut home = Home::polled();
    let bye = ClientFrame::Bye {
        code: CloseCode(1000),
        reason: "done".into(),
    };
    let posted = home.post(1, &[event(1), bye, event(2)]);
    assert_eq!(
        posted.left,
        Some((CloseCode(1000), "done".to_owned(), true))
    );
    assert!(home.session.is_over());
    assert_eq!(home.handle_all(), [1]);
    assert_eq!(home.get(1, 0), Err(PollRefused::Over));
}

#[test]
fn f74_repeated_abuse_ends_the_connection_and_the_next_get_says_so() {
    let mut home = Home::polled();
    let mut closed = None;
    for first in 1..=17 {
        closed = home.post_bytes(1, first, vec![0xff]).unwrap().close;
    }
    assert_eq!(closed.unwrap().0, CloseCode::TOO_MANY_ERRORS);
    // Nothing is taken any more.
    assert_eq!(home.post(18, &[event(1)]).received, 17);
    let turn = home.get(1, 0).unwrap();
    assert_eq!(home.answer_get(turn).1, Some(CloseCode::TOO_MANY_ERRORS));
}

#[test]
fn post_is_a_sign_of_life() {
    let mut home = Home::polled();
    home.later(34_000);
    home.post(1, &[event(1)]);
    home.later(34_000);
    home.session.tick(home.now, &home.bounds);
    assert_eq!(home.session.detached_since(), None);
}

#[test]
fn second_hello_in_a_body_is_a_protocol_error() {
    let mut home = Home::polled();
    let posted = home.post(1, &[ClientFrame::Hello(hello(2, None, 0))]);
    assert_eq!(posted.close.unwrap().0, CloseCode::PROTOCOL);
    let body = {
        let turn = home.get(1, 0).unwrap();
        let mut body = Vec::new();
        home.session
            .poll_write(turn, &mut body, POLL_BYTES, home.now, &home.bounds);
        frames(body)
    };
    assert!(matches!(body[..], [ServerFrame::Bye { .. }]));
}

#[test]
fn post_that_meets_a_slow_end_lets_no_promise_end_well() {
    let mut home = Home::polled();
    home.bounds.max_queue_bytes = 40;
    let reserved = ClientFrame::Event {
        id: EventId::parse(EventId::STATE).unwrap(),
        data: Data::null(CODEC),
    };
    let posted = home.post(1, &[event(1), reserved]);
    assert!(home.session.is_over());
    // The answer to the refused one is gone with the queue: no item that the client can ever have
    // lets it count these as taken.
    assert_eq!((posted.received, posted.answers), (2, Some(1)));
    assert_eq!(home.post(3, &[event(2)]).answers, Some(1));
}
