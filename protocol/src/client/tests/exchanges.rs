//! Promises about single exchanges of a poll: numbers, statuses, repetitions, the end.

use super::super::poll::{Exchange, HttpAnswer, Poll, PollEvent};
use super::*;
use bytes::Bytes;

struct Line {
    poll: Poll,
    now: Millis,
    received: u64,
}

fn body(frames: &[ServerFrame]) -> Bytes {
    let frames = frames.iter().map(|frame| frame.encode(CODEC));
    frames.collect::<Vec<_>>().concat().into()
}

fn ok(frames: &[ServerFrame]) -> Result<HttpAnswer, String> {
    Ok(HttpAnswer {
        status: 200,
        body: body(frames),
        ..HttpAnswer::default()
    })
}

fn status(status: u16, code: Option<u32>) -> Result<HttpAnswer, String> {
    Ok(HttpAnswer {
        status,
        tengen_error: code.map(ErrorCode),
        ..HttpAnswer::default()
    })
}

fn counted(received: u64) -> Result<HttpAnswer, String> {
    ok(&[ServerFrame::Ack {
        received,
        sent: None,
    }])
}

fn note(n: u64) -> Bytes {
    let event = ClientFrame::Event {
        id: id("t/note"),
        data: number(n),
    };
    event.encode(CODEC)
}

impl Line {
    fn new() -> Line {
        let mut line = Line {
            poll: Poll::new(1, &ws_only()),
            now: Millis(100_000),
            received: 0,
        };
        let hello = ClientHello {
            client: crate::ids::ClientId::parse("tab").unwrap(),
            attempt: 3,
            session: None,
            received: None,
            params: None,
        };
        line.poll
            .write(ClientFrame::Hello(hello).encode(CODEC), None);
        line
    }

    fn greeted() -> Line {
        let mut line = Line::new();
        let hello = line.next().unwrap();
        assert!(hello.post && hello.query.is_empty());
        let answer = ok(&[ServerFrame::Hello(server_hello(1, false, 0, "alice"))]);
        let events = line.answer(&hello, answer);
        assert!(matches!(events[..], [PollEvent::Frame(_)]));
        line
    }

    fn next(&mut self) -> Option<Exchange> {
        self.poll.next(self.received, self.now)
    }

    fn answer(
        &mut self,
        exchange: &Exchange,
        answer: Result<HttpAnswer, String>,
    ) -> Vec<PollEvent> {
        self.poll.answered(exchange.id, answer, self.now)
    }

    /// Waits until there is something to do, and gives it.
    fn wait(&mut self) -> Exchange {
        let at = self.poll.next_timeout().expect("nothing to wait for");
        self.now = self.now.max(at);
        self.next().expect("too early")
    }

    fn closed(events: &[PollEvent]) -> &TransportClose {
        match events {
            [PollEvent::Closed(how)] => how,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn exchanges_name_session_attempt_and_numbers() {
    let mut line = Line::greeted();
    line.received = 7;
    let get = line.next().unwrap();
    assert_eq!((get.post, &get.query[..]), (false, "received=7&n=1"));
    let type_ = "application/cbor-seq".to_owned();
    let expected = [
        ("Accept", type_.clone()),
        ("Tengen-Session", session_id(1).to_string()),
        ("Tengen-Attempt", "3".to_owned()),
    ];
    assert_eq!(get.headers, expected);
    assert_eq!(line.next(), None);
    line.poll.write(note(1), Some(1));
    let post = line.next().unwrap();
    assert_eq!((post.post, &post.query[..]), (true, "first=1"));
    assert!(post.headers.contains(&("Content-Type", type_)));
    assert_eq!(post.body, note(1));
    assert_eq!(line.next(), None);
    let events = line.answer(&get, ok(&[pushed(1)]));
    assert!(matches!(events[..], [PollEvent::Frame(_)]));
    assert_eq!(line.next().unwrap().query, "received=7&n=2");
}

#[test]
fn what_is_not_counted_stays_in_front_and_goes_again() {
    let mut line = Line::greeted();
    line.next();
    for n in 1..=3 {
        line.poll.write(note(n), Some(n));
    }
    let post = line.next().unwrap();
    line.poll.write(note(4), Some(4));
    line.answer(&post, counted(2));
    let post = line.next().unwrap();
    assert_eq!(post.query, "first=3");
    assert_eq!(post.body, [note(3), note(4)].concat());
    // There is no room: not again at once.
    line.answer(&post, counted(2));
    assert_eq!(line.next(), None);
    let before = line.now;
    assert_eq!(line.wait().query, "first=3");
    assert_eq!(line.now, before.plus(50));
}

#[test]
fn batches_hold_256_kib_or_one_item() {
    let mut line = Line::greeted();
    line.next();
    let event = ClientFrame::Event {
        id: id("t/note"),
        data: text_of(100 << 10),
    };
    for n in 1..=3 {
        line.poll.write(event.encode(CODEC), Some(n));
    }
    let large = ClientFrame::Event {
        id: id("t/note"),
        data: text_of(400 << 10),
    };
    line.poll.write(large.encode(CODEC), Some(4));
    let mut sizes = Vec::new();
    for counts in [2, 3, 4] {
        let post = line.next().unwrap();
        sizes.push(post.body.len() >> 10);
        assert!(post.timeout_ms >= post.body.len() as u64 / 8);
        line.answer(&post, counted(counts));
    }
    assert_eq!(sizes, [200, 100, 400]);
    assert_eq!(line.poll.backlog(), 0);
}

#[test]
fn failures_are_repeated_with_the_same_numbers_and_then_end_the_connection() {
    for failure in [
        Err("reset".to_owned()),
        status(502, None),
        // A page that says nothing of a node.
        Ok(HttpAnswer {
            status: 200,
            body: Bytes::from_static(b"<html>"),
            ..HttpAnswer::default()
        }),
    ] {
        let mut line = Line::greeted();
        let mut get = line.next().unwrap();
        line.poll.write(note(1), Some(1));
        let post = line.next().unwrap();
        line.answer(&post, failure.clone());
        let again = line.wait();
        assert_eq!((again.query, again.body), (post.query, post.body));
        line.answer(
            &Exchange {
                id: again.id,
                ..get.clone()
            },
            counted(1),
        );
        for _ in 0..3 {
            assert_eq!(line.answer(&get, failure.clone()), []);
            get = line.wait();
        }
        assert_eq!(get.query, "received=0&n=4");
        Line::closed(&line.answer(&get, failure));
        assert!(line.poll.is_done());
        assert_eq!((line.next(), line.poll.next_timeout()), (None, None));
    }
}

#[test]
fn statuses_end_a_connection_each_in_its_way() {
    let table = [
        (409, Some(4505), Some(4505)),
        (410, Some(12), None),
        (400, Some(4500), Some(4500)),
        (400, Some(4507), Some(4507)),
        (401, Some(4501), None),
        (403, Some(4503), None),
        (403, None, None),
        (404, None, None),
        (409, None, None),
    ];
    for (number, tengen, code) in table {
        let mut line = Line::greeted();
        let get = line.next().unwrap();
        let events = line.answer(&get, status(number, tengen));
        let how = Line::closed(&events);
        assert_eq!(how.refused, Some((number, tengen.map(ErrorCode))));
        assert_eq!(how.code, code, "{number}");
    }
}

#[test]
fn retry_after_is_kept_within_the_connection_and_told_by_a_refused_hello() {
    let busy = Ok(HttpAnswer {
        status: 503,
        tengen_error: Some(ErrorCode(4003)),
        retry_after_ms: Some(2_000),
        body: Bytes::new(),
    });
    let mut line = Line::greeted();
    let get = line.next().unwrap();
    assert_eq!(line.answer(&get, busy.clone()), []);
    let before = line.now;
    line.wait();
    assert_eq!(line.now, before.plus(2_000));
    let mut line = Line::new();
    let hello = line.next().unwrap();
    let events = line.answer(&hello, busy);
    assert_eq!(Line::closed(&events).retry_after_ms, Some(2_000));
}

#[test]
fn body_that_a_proxy_finds_too_large_is_halved() {
    let mut line = Line::greeted();
    line.next();
    for n in 1..=4 {
        line.poll.write(note(n), Some(n));
    }
    let post = line.next().unwrap();
    assert_eq!(line.answer(&post, status(413, None)), []);
    let post = line.next().unwrap();
    assert_eq!(post.body, [note(1), note(2)].concat());
    line.answer(&post, status(413, None));
    let post = line.next().unwrap();
    assert_eq!(post.body, note(1));
    Line::closed(&line.answer(&post, status(413, None)));
}

#[test]
fn get_that_nobody_holds_is_not_asked_round_and_round() {
    let mut line = Line::greeted();
    let mut begun = 0;
    let start = line.now;
    while line.now < start.plus(10_000) {
        let get = match line.next() {
            Some(get) => get,
            None => line.wait(),
        };
        begun += 1;
        assert_eq!(line.answer(&get, ok(&[])), [PollEvent::Heard]);
    }
    assert!(begun < 12, "{begun}");
    // One that was held is repeated at once.
    let get = line.wait();
    line.now = line.now.plus(20_000);
    line.answer(&get, ok(&[]));
    assert!(line.next().is_some());
}

#[test]
fn answers_of_exchanges_that_are_over_change_nothing() {
    let mut line = Line::greeted();
    let get = line.next().unwrap();
    line.answer(&get, ok(&[]));
    assert_eq!(line.answer(&get, ok(&[pushed(1)])), []);
    assert_eq!(line.answer(&get, status(409, Some(4505))), []);
}

#[test]
fn closing_flushes_what_is_in_line_once() {
    let mut line = Line::greeted();
    let get = line.next().unwrap();
    line.poll.write(note(1), Some(1));
    let post = line.next().unwrap();
    line.poll.write(note(2), Some(2));
    line.poll.close();
    let last = line.next().unwrap();
    assert_eq!(last.query, "first=1");
    assert_eq!(last.body, [note(1), note(2)].concat());
    assert_eq!(line.next(), None);
    assert_eq!(line.answer(&post, counted(1)), []);
    assert_eq!(line.answer(&get, ok(&[pushed(1)])), []);
    assert!(!line.poll.is_done());
    assert_eq!(line.answer(&last, counted(2)), []);
    assert!(line.poll.is_done());
    // Nothing in line, or no hello yet: done at once.
    let mut line = Line::greeted();
    line.poll.close();
    assert!(line.poll.is_done());
    let mut line = Line::new();
    line.next();
    line.poll.close();
    assert!(line.poll.is_done());
}

#[test]
fn hello_that_a_page_answers_is_no_hello() {
    let mut line = Line::new();
    let hello = line.next().unwrap();
    let events = line.answer(&hello, ok(&[pushed(1)]));
    assert_eq!(Line::closed(&events).refused, Some((200, None)));
}
