//! Promises about a conversation over long-polling, against the real server half.

use super::super::poll::{Exchange, HttpAnswer, Poll, PollEvent};
use super::*;
use crate::ids::ClientId;
use crate::out_frame::OutFrame;
use crate::server::{self, Bounds, Link, POLL_BYTES, PollDue, PollRefused, PollTurn};
use crate::takeover::Identity;

/// What becomes of an exchange on its way.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Way {
    Clear,
    /// The node never sees it.
    RequestLost,
    /// The node has done it, and the client does not hear.
    AnswerLost,
}

/// A client that polls, and the session at the node that it talks to.
pub(super) struct Pair {
    pub(super) tab: Tab,
    pub(super) poll: Option<Poll>,
    pub(super) home: Option<server::Session<()>>,
    pub(super) bounds: Bounds,
    pub(super) begun: u8,
    pub(super) waiting: Option<(u64, PollTurn)>,
    /// A GET of the past that the network has delivered again.
    pub(super) ghost: Option<PollTurn>,
    /// The WebSocket, and what the node calls it once it has said hello.
    pub(super) socket: Option<(u64, Option<Link>)>,
    /// A proxy refuses upgrades.
    pub(super) blocked: bool,
    pub(super) way: Way,
    /// What was exchanged, in the client's words.
    pub(super) said: Vec<Exchange>,
    pub(super) handled: Vec<u64>,
}

impl Pair {
    pub(super) fn open() -> Pair {
        let mut pair = Pair::new();
        pair.tab.session.connect(pair.tab.now);
        pair.run();
        assert!(pair.tab.state().open);
        pair.said.clear();
        pair.tab.forget();
        pair
    }

    pub(super) fn new() -> Pair {
        Pair::with(TransportChoice::Poll)
    }

    pub(super) fn with(transport: TransportChoice) -> Pair {
        let tab = Tab::with(Options {
            transport,
            ..Options::default()
        });
        Pair {
            tab,
            poll: None,
            home: None,
            bounds: Bounds {
                batch_poll_ms: 0,
                ..Bounds::default()
            },
            begun: 0,
            waiting: None,
            ghost: None,
            socket: None,
            blocked: false,
            way: Way::Clear,
            said: Vec::new(),
            handled: Vec::new(),
        }
    }

    /// Carries out what both ends want until neither wants anything.
    pub(super) fn run(&mut self) {
        loop {
            let mut busy = false;
            while let Some(action) = self.tab.session.poll() {
                busy = true;
                self.act(action);
            }
            let received = self.tab.session.received();
            let poll = self.poll.as_mut();
            let exchange = poll.and_then(|poll| poll.next(received, self.tab.now));
            if let Some(exchange) = exchange {
                busy = true;
                self.said.push(exchange.clone());
                self.carry(&exchange);
            }
            busy |= self.answer_waiting(false);
            busy |= self.read_socket();
            self.answer_ghost();
            if !busy {
                return;
            }
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        let tab = &mut self.tab;
        match action {
            Action::Open {
                connection,
                transport,
                ..
            } => {
                tab.opens += 1;
                tab.connection = connection;
                if transport == Transport::Ws {
                    return self.dial(connection);
                }
                self.poll = Some(Poll::new(connection, &tab.session.options));
                self.waiting = None;
                tab.session.opened(connection, tab.now);
            }
            Action::Write {
                connection,
                frame,
                position,
            } => {
                let limits = Limits::default();
                let decoded = ClientFrame::decode(CODEC, frame.clone(), &limits).unwrap();
                tab.written.push(decoded);
                match self.poll.as_mut() {
                    Some(poll) if poll.connection() == connection => poll.write(frame, position),
                    _ => self.write_to_socket(connection, frame),
                }
            }
            Action::Close {
                connection, code, ..
            } => {
                tab.closes.push((connection, code));
                match self.poll.as_mut() {
                    Some(poll) if poll.connection() == connection => poll.close(),
                    _ => self.cut(connection),
                }
            }
            Action::Abort { connection } => {
                self.poll.take_if(|poll| poll.connection() == connection);
                self.cut(connection);
            }
            Action::Ask { .. } | Action::Mute { .. } => panic!("{action:?}"),
            Action::Event(event) => tab.events.push(event),
            Action::Resolved { token, outcome } => {
                assert!(tab.outcome(token).is_none(), "{token:?} resolved twice");
                tab.resolved.push((token, outcome));
            }
            Action::State { old, new } => tab.states.push((old, new)),
        }
    }

    pub(super) fn carry(&mut self, exchange: &Exchange) {
        if self.way == Way::RequestLost {
            return self.answered(exchange.id, Err("broken on the way".to_owned()));
        }
        let answer = match self.at_node(exchange) {
            // It waits.
            None => return,
            Some(answer) => answer,
        };
        assert!(matches!(answer.status, 200 | 409 | 410), "{answer:?}");
        match self.way {
            Way::Clear => self.answered(exchange.id, Ok(answer)),
            _ => self.answered(exchange.id, Err("broken on the way".to_owned())),
        }
    }

    pub(super) fn answered(&mut self, exchange: u64, answer: Result<HttpAnswer, String>) {
        let now = self.tab.now;
        let Some(poll) = self.poll.as_mut() else {
            return;
        };
        let connection = poll.connection();
        for event in poll.answered(exchange, answer, now) {
            let session = &mut self.tab.session;
            match event {
                PollEvent::Frame(frame) => session.frame(connection, frame, now),
                PollEvent::Heard => session.heard(connection, now),
                PollEvent::Closed(how) => session.closed(connection, &how, now),
            }
        }
    }

    pub(super) fn at_node(&mut self, exchange: &Exchange) -> Option<HttpAnswer> {
        let now = self.tab.now;
        let header = |name| {
            let mut headers = exchange.headers.iter();
            headers
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.clone())
        };
        let query = |name: &str| -> Option<u64> {
            let mut pairs = exchange
                .query
                .split('&')
                .filter_map(|it| it.split_once('='));
            let found = pairs.find(|(key, _)| *key == name);
            found.map(|(_, value)| value.parse().unwrap())
        };
        let Some(attempt) = header("Tengen-Attempt") else {
            return Some(self.hello(&exchange.body));
        };
        let attempt = attempt.parse().unwrap();
        let Some(home) = self.home.as_mut() else {
            return Some(refusal(PollRefused::Over));
        };
        assert_eq!(
            header("Tengen-Session").as_deref(),
            Some(home.id().as_str())
        );
        if let Some(first) = query("first") {
            assert!(exchange.post);
            let posted = home.post(attempt, first, &exchange.body, &(), now, &self.bounds);
            let posted = match posted {
                Ok(posted) => posted,
                Err(refused) => return Some(refusal(refused)),
            };
            self.handle();
            return Some(HttpAnswer {
                status: 200,
                body: posted.answer(CODEC),
                ..HttpAnswer::default()
            });
        }
        assert!(!exchange.post);
        let (n, received) = (query("n").unwrap(), query("received").unwrap());
        match home.poll(attempt, n, received, now) {
            Ok(turn) => {
                self.waiting = Some((exchange.id, turn));
                None
            }
            Err(refused) => Some(refusal(refused)),
        }
    }

    pub(super) fn hello(&mut self, body: &bytes::Bytes) -> HttpAnswer {
        let limits = Limits::default();
        let decoded = ClientFrame::decode(CODEC, body.clone(), &limits).unwrap();
        let ClientFrame::Hello(hello) = decoded else {
            panic!("{decoded:?}")
        };
        let (answer, link) = self.attach(&hello, Transport::Poll);
        let home = self.home.as_mut().unwrap();
        let mut body = Vec::new();
        assert!(home.hello(link, &answer));
        assert!(home.poll_hello(link, &mut body));
        HttpAnswer {
            status: 200,
            body: body.into(),
            ..HttpAnswer::default()
        }
    }

    pub(super) fn attach(
        &mut self,
        hello: &ClientHello,
        transport: Transport,
    ) -> (ServerHello, Link) {
        let now = self.tab.now;
        let attached = match self.home.as_mut() {
            Some(home) => home.attach(hello, transport, now).ok(),
            None => None,
        };
        let attached = attached.unwrap_or_else(|| {
            self.begun += 1;
            let id = session_id(self.begun);
            let mut home = server::Session::new(id, hello.client.clone(), None, CODEC);
            let attached = home.attach(hello, transport, now).unwrap();
            self.home = Some(home);
            attached
        });
        let answer = ServerHello {
            gap: attached.gap,
            uid: None,
            ..server_hello(self.begun, attached.resumed, attached.received, "-")
        };
        (answer, attached.link)
    }

    /// Every handler returns at once, and requests get their own data.
    pub(super) fn handle(&mut self) {
        let Some(home) = self.home.as_mut() else {
            return;
        };
        while let Some(item) = home.next_item() {
            home.item_returned(item.position, &self.bounds);
            self.handled.push(item.position);
            if let server::ItemKind::Request { request, data, .. } = item.kind {
                home.reply(request, Ok(data), &self.bounds);
            }
        }
    }

    /// Answers the GET that waits, if there is something to say or its time is up.
    pub(super) fn answer_waiting(&mut self, time_is_up: bool) -> bool {
        let (Some((id, turn)), Some(home)) = (self.waiting, self.home.as_mut()) else {
            return false;
        };
        let now = self.tab.now;
        let due = home.poll_due(turn, now, &self.bounds);
        if due == PollDue::Idle && !time_is_up {
            return false;
        }
        self.waiting = None;
        let mut body = Vec::new();
        let written = home.poll_write(turn, &mut body, POLL_BYTES, now, &self.bounds);
        let answer = match written.close {
            Some((CloseCode::SUPERSEDED, _)) => refusal(PollRefused::LowerAttempt),
            _ => HttpAnswer {
                status: 200,
                body: body.into(),
                ..HttpAnswer::default()
            },
        };
        match self.way {
            Way::Clear => self.answered(id, Ok(answer)),
            _ => self.answered(id, Err("broken on the way".to_owned())),
        }
        true
    }

    pub(super) fn push(&mut self, n: u64) {
        let home = self.home.as_mut().unwrap();
        let frame = OutFrame::event(CODEC, &id("t/push"), &number(n)).unwrap();
        home.push(&frame, &Identity::Message(n.into()), &self.bounds);
    }

    /// Lets time pass for both, without the node's timeout of a GET.
    pub(super) fn pass(&mut self, millis: u64) {
        let end = self.tab.now.plus(millis);
        self.run();
        loop {
            let poll = self.poll.as_ref().and_then(Poll::next_timeout);
            let poll = poll.filter(|at| *at > self.tab.now);
            let next = self.tab.session.next_timeout().into_iter().chain(poll);
            let Some(at) = next.min().filter(|at| *at <= end) else {
                break;
            };
            self.tab.now = self.tab.now.max(at);
            self.tab.session.tick(self.tab.now);
            self.run();
        }
        self.tab.now = end;
    }

    pub(super) fn send(&mut self, n: u64) -> Token {
        let options = SendOptions::default();
        let now = self.tab.now;
        self.tab.session.send(id("t/note"), number(n), options, now)
    }

    pub(super) fn posts(&self) -> usize {
        self.said.iter().filter(|it| it.post).count()
    }

    pub(super) fn pushes(&self) -> Vec<u64> {
        let events = self.tab.events.iter();
        let pushes = events.filter(|event| event.source == Source::Push);
        pushes
            .map(|event| match event.data.value().unwrap() {
                Value::Int(n) => n as u64,
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

fn refusal(refused: PollRefused) -> HttpAnswer {
    let (status, code) = match refused {
        PollRefused::LowerAttempt | PollRefused::LowerTurn => (409, 4505),
        PollRefused::TooLarge => (413, 6),
        _ => (410, 12),
    };
    HttpAnswer {
        status,
        tengen_error: Some(ErrorCode(code)),
        ..HttpAnswer::default()
    }
}

#[test]
fn f03_the_same_conversation_goes_over_long_poll() {
    let mut pair = Pair::new();
    pair.tab.session.connect(pair.tab.now);
    pair.run();
    assert_eq!(pair.tab.state().transport, Some(Transport::Poll));
    let headers = &pair.said[0].headers;
    assert!(headers.contains(&("Content-Type", "application/cbor-seq".to_owned())));
    assert_eq!(pair.said[1].query, "received=0&n=1");
    let event = pair.send(1);
    let options = SendOptions::default();
    let now = pair.tab.now;
    let request = pair
        .tab
        .session
        .request(id("t/echo"), number(7), options, now);
    pair.push(5);
    pair.pass(20);
    assert_eq!(pair.tab.outcome(event), Some(&Ok(Data::null(CODEC))));
    assert_eq!(pair.tab.outcome(request), Some(&Ok(number(7))));
    assert_eq!(pair.pushes(), [5]);
    // Receiving is acknowledged by the next GET, not by a POST.
    pair.pass(5_000);
    assert_eq!(pair.home.as_ref().unwrap().queue_items(), 0);
    assert!(pair.posts() <= 3);
}

#[test]
fn f26_hundred_events_in_a_loop_cost_two_posts() {
    let mut pair = Pair::open();
    for n in 0..100 {
        pair.send(n);
        // A driver that begins what it can after each call.
        while let Some(action) = pair.tab.session.poll() {
            pair.act(action);
        }
        let (received, now) = (pair.tab.session.received(), pair.tab.now);
        let next = pair.poll.as_mut().unwrap().next(received, now);
        pair.said.extend(next);
    }
    let first = pair.said[0].clone();
    pair.carry(&first);
    pair.run();
    assert_eq!(pair.posts(), 2);
    assert_eq!(pair.handled, (1..=100).collect::<Vec<_>>());
    assert_eq!(pair.tab.resolved.len(), 100);
}

#[test]
fn f59_hundred_pushes_in_a_row_come_in_one_get() {
    let mut pair = Pair::open();
    for n in 0..100 {
        pair.push(n);
    }
    pair.run();
    assert_eq!(pair.pushes(), (0..100).collect::<Vec<_>>());
    assert_eq!(pair.said.len(), 1);
}

#[test]
fn f62_lost_answers_and_requests_lose_and_repeat_nothing() {
    for way in [Way::RequestLost, Way::AnswerLost] {
        let mut pair = Pair::open();
        pair.way = way;
        let tokens: Vec<_> = (0..3).map(|n| pair.send(n)).collect();
        for n in 0..3 {
            pair.push(n);
        }
        pair.run();
        pair.way = Way::Clear;
        pair.pass(2_000);
        assert_eq!(pair.tab.opens, 0, "within the connection");
        assert_eq!(pair.pushes(), [0, 1, 2]);
        assert_eq!(pair.handled, [1, 2, 3]);
        for token in tokens {
            assert_eq!(pair.tab.outcome(token), Some(&Ok(Data::null(CODEC))));
        }
    }
}

#[test]
fn longer_trouble_ends_the_connection_and_the_next_one_goes_on() {
    let mut pair = Pair::open();
    pair.way = Way::AnswerLost;
    pair.send(1);
    pair.push(1);
    pair.pass(3_000);
    assert!(!pair.tab.state().open);
    assert_eq!(pair.tab.close_reason(), Some(CloseReason::Unexpected));
    pair.way = Way::Clear;
    pair.pass(20_000);
    assert!(pair.tab.state().open && pair.tab.state().resumed);
    assert_eq!((pair.pushes(), pair.handled), (vec![1], vec![1]));
    assert_eq!(pair.tab.resolved.len(), 1);
}

#[test]
fn session_that_is_gone_is_told_by_410_and_the_client_says_hello_again() {
    let mut pair = Pair::open();
    let token = pair.send(1);
    pair.run();
    pair.home = None;
    pair.send(2);
    pair.pass(1_000);
    assert!(pair.tab.state().open);
    assert!(pair.tab.state().gap && !pair.tab.state().resumed);
    assert!(pair.tab.outcome(token).unwrap().is_ok());
    // It may have been handled.
    let outcomes = pair.tab.resolved.iter().map(|(_, outcome)| outcome);
    let failures: Vec<_> = outcomes.filter_map(|it| it.as_ref().err()).collect();
    assert!(
        matches!(failures[..], [failure] if failure.sent && failure.kind == FailureKind::Closed)
    );
}

#[test]
fn refused_item_resolves_with_its_error_although_the_count_comes_first() {
    let mut pair = Pair::open();
    // The server takes less than this client believes.
    pair.bounds.limits.max_depth = 2;
    let deep = Data::from_value(
        CODEC,
        &Value::Array(vec![Value::Array(vec![Value::Array(vec![])])]),
    );
    let options = SendOptions::default();
    let now = pair.tab.now;
    let refused = pair
        .tab
        .session
        .send(id("t/note"), deep.unwrap(), options, now);
    let taken = pair.send(2);
    pair.pass(1_000);
    let failure = pair.tab.outcome(refused).unwrap().as_ref().unwrap_err();
    let code = failure.refusal.as_ref().unwrap().code;
    assert_eq!(code, ErrorCode::TOO_DEEP);
    assert!(pair.tab.outcome(taken).unwrap().is_ok());
    assert_eq!(pair.handled, [2]);
}

#[test]
fn f28_silent_node_is_given_up_after_its_ping_time_and_grace() {
    let mut pair = Pair::open();
    // The GET is never answered.
    pair.waiting = None;
    pair.pass(24_999);
    assert!(pair.tab.state().open);
    pair.pass(1);
    assert_eq!(pair.tab.close_reason(), Some(CloseReason::PingTimeout));
}

#[test]
fn f24_idle_poll_asks_again_at_once_and_changes_nothing_to_see() {
    let mut pair = Pair::open();
    for _ in 0..30 {
        pair.pass(20_000);
        assert!(pair.answer_waiting(true));
        pair.run();
        assert!(pair.waiting.is_some());
    }
    assert_eq!(pair.tab.states.len(), 0);
    assert_eq!(pair.said.len(), 30);
}

#[test]
fn wake_up_probes_by_a_post_and_its_answer_is_a_sign_of_life() {
    let mut pair = Pair::open();
    pair.tab.session.probe(pair.tab.now);
    pair.run();
    assert_eq!(pair.posts(), 1);
    pair.pass(6_000);
    assert!(pair.tab.state().open);
    pair.way = Way::RequestLost;
    pair.waiting = None;
    pair.tab.session.probe(pair.tab.now);
    pair.pass(5_000);
    assert!(!pair.tab.state().open);
}

#[test]
fn f33_disconnect_says_goodbye_in_a_last_post_and_nothing_after_it() {
    let mut pair = Pair::open();
    pair.send(1);
    pair.tab.session.disconnect(pair.tab.now);
    pair.run();
    assert!(pair.home.as_ref().unwrap().is_over());
    assert_eq!(pair.handled, [1]);
    assert!(pair.poll.as_ref().unwrap().is_done());
    let said = pair.said.len();
    pair.pass(60_000);
    assert_eq!(pair.said.len(), said);
}

#[test]
fn f31_unloaded_page_attempts_nothing_until_it_connects_again() {
    let mut pair = Pair::open();
    pair.tab.session.unload(pair.tab.now);
    pair.tab.session.probe(pair.tab.now);
    pair.run();
    assert!(matches!(
        pair.tab.written.last(),
        Some(ClientFrame::Bye { code, .. }) if *code == CloseCode::GOING_AWAY
    ));
    pair.pass(60_000);
    assert_eq!(pair.tab.opens, 0);
    // Brought back by the browser: it has missed what was pushed meanwhile, and says so.
    pair.tab.session.connect(pair.tab.now);
    pair.run();
    assert!(pair.tab.state().open && pair.tab.state().gap);
    assert_eq!(pair.tab.events_named(EventId::GAP), 1);
}

#[test]
fn f25_client_that_keeps_sending_finds_a_dead_node_all_the_same() {
    let mut pair = Pair::open();
    let begun = pair.tab.now;
    // Both requests vanish: neither an answer nor an error.
    pair.waiting = None;
    pair.poll.as_mut().unwrap().write(bytes::Bytes::new(), None);
    let received = pair.tab.session.received();
    let lost = pair.poll.as_mut().unwrap().next(received, begun);
    assert!(lost.is_some());
    while pair.tab.close_reason().is_none() {
        pair.send(1);
        pair.pass(500);
    }
    assert_eq!(pair.tab.close_reason(), Some(CloseReason::PingTimeout));
    let silent = pair.tab.now.0 - begun.0;
    assert!((25_000..=25_500).contains(&silent), "{silent}");
}

#[test]
fn duplicated_tab_is_superseded_and_begins_a_session_of_its_own() {
    let mut pair = Pair::open();
    let before = pair.tab.session.client().clone();
    let home = pair.home.as_mut().unwrap();
    let other = ClientHello {
        client: ClientId::parse(before.as_str()).unwrap(),
        attempt: 9,
        session: Some(home.id().clone()),
        received: Some(0),
        params: None,
    };
    home.attach(&other, Transport::Ws, pair.tab.now).unwrap();
    pair.send(1);
    pair.run();
    assert_eq!(pair.tab.close_reason(), Some(CloseReason::Superseded));
    assert_ne!(*pair.tab.session.client(), before);
    pair.pass(20_000);
    assert!(pair.tab.state().open);
    assert_eq!(pair.tab.events_named(EventId::GAP), 1);
}

#[test]
fn f99_bad_connection_breaks_polls_and_everything_still_arrives() {
    let mut pair = Pair::open();
    pair.tab.session.set_bad_connection_rate(0.5);
    for n in 0..50 {
        pair.send(n);
        pair.pass(10);
    }
    pair.pass(60_000);
    assert!(pair.tab.opens > 10);
    assert_eq!(pair.handled, (1..=50).collect::<Vec<_>>());
    assert_eq!(pair.tab.resolved.len(), 50);
}
