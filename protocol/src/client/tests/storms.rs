//! Promises under storms: exchanges lost, repeated and delayed, sockets cut, transports changed, by seed.

use super::super::poll::Exchange;
use super::super::random::Random;
use super::polling::{Pair, Way};
use super::*;
use crate::server::{PollDue, Received};

impl Pair {
    pub(super) fn dial(&mut self, connection: u64) {
        let now = self.tab.now;
        if self.blocked {
            let how = TransportClose {
                refused: Some((403, None)),
                ..TransportClose::default()
            };
            return self.tab.session.closed(connection, &how, now);
        }
        self.socket = Some((connection, None));
        self.tab.session.opened(connection, now);
    }

    /// The socket is gone for both ends; the client says so itself if it has to be told.
    pub(super) fn cut(&mut self, connection: u64) {
        let Some((_, link)) = self.socket.take_if(|(it, _)| *it == connection) else {
            return;
        };
        if let (Some(home), Some(link)) = (self.home.as_mut(), link) {
            home.detach(link, self.tab.now);
        }
    }

    pub(super) fn write_to_socket(&mut self, connection: u64, frame: bytes::Bytes) {
        let now = self.tab.now;
        let Some((_, link)) = self.socket.filter(|(it, _)| *it == connection) else {
            return;
        };
        let limits = Limits::default();
        let decoded = ClientFrame::decode(CODEC, frame.clone(), &limits).unwrap();
        match (link, decoded) {
            (None, ClientFrame::Ping { .. }) => {
                let pong = ServerFrame::Pong.encode(CODEC);
                self.tab.session.frame(connection, pong, now);
            }
            (None, ClientFrame::Hello(hello)) => self.greet_socket(connection, &hello),
            (Some(link), _) => {
                let Some(home) = self.home.as_mut() else {
                    return;
                };
                match home.receive(link, frame, &(), now, &self.bounds) {
                    Received::Stale => self.lose_socket(),
                    Received::Close(code, reason) => panic!("{code} {reason}"),
                    _ => self.handle(),
                }
            }
            (None, other) => panic!("{other:?} before the hello"),
        }
    }

    fn greet_socket(&mut self, connection: u64, hello: &ClientHello) {
        let (answer, link) = self.attach(hello, Transport::Ws);
        let Some(home) = self.home.as_mut() else {
            return;
        };
        assert!(home.hello(link, &answer));
        self.socket = Some((connection, Some(link)));
    }

    /// What the node has written arrives.
    pub(super) fn read_socket(&mut self) -> bool {
        let now = self.tab.now;
        let (Some((connection, Some(link))), Some(home)) = (self.socket, self.home.as_mut()) else {
            return false;
        };
        let mut out = Vec::new();
        let written = home.write(link, &mut out, usize::MAX, usize::MAX, now, &self.bounds);
        if written.close.is_some() {
            self.lose_socket();
            return true;
        }
        let some = !out.is_empty();
        for frame in out {
            let header = match frame[1] {
                126 => 4,
                127 => 10,
                _ => 2,
            };
            let session = &mut self.tab.session;
            session.frame(connection, frame.slice(header..), now);
        }
        some
    }

    fn lose_socket(&mut self) {
        let Some((connection, _)) = self.socket else {
            return;
        };
        self.cut(connection);
        let how = TransportClose {
            error: Some("reset".to_owned()),
            ..TransportClose::default()
        };
        self.tab.session.closed(connection, &how, self.tab.now);
    }

    /// A request of the past comes to the node once more; nobody waits for its answer.
    fn replay(&mut self, exchange: &Exchange) {
        let hello = !exchange
            .headers
            .iter()
            .any(|(name, _)| *name == "Tengen-Attempt");
        if hello {
            return;
        }
        let waiting = self.waiting.take();
        self.at_node(exchange);
        if let Some((_, turn)) = self.waiting.take() {
            self.ghost = Some(turn);
        }
        self.waiting = waiting;
    }

    /// Answers a GET that nobody waits for, into nowhere.
    pub(super) fn answer_ghost(&mut self) {
        let (Some(turn), Some(home)) = (self.ghost, self.home.as_mut()) else {
            return;
        };
        if home.poll_due(turn, self.tab.now, &self.bounds) != PollDue::Idle {
            self.ghost = None;
            let mut nowhere = Vec::new();
            home.poll_write(turn, &mut nowhere, 1 << 20, self.tab.now, &self.bounds);
        }
    }

    fn trouble(&mut self, random: &mut Random) {
        match random.up_to(11) {
            0 | 1 => self.way = Way::Clear,
            2 => self.way = Way::RequestLost,
            3 => self.way = Way::AnswerLost,
            4 | 5 => {
                let most = self.said.len() as u64;
                if most > 0 {
                    // Mostly of the last few.
                    let back = random.up_to(6).min(most - 1);
                    let old = self.said[(most - 1 - back) as usize].clone();
                    self.replay(&old);
                }
            }
            6 => self.lose_socket(),
            7 => self.blocked = !self.blocked,
            8 => self.tab.session.reconnect(self.tab.now),
            9 => self.tab.session.break_connection(true, self.tab.now),
            10 => self.tab.session.probe(self.tab.now),
            _ => {
                if let Some(home) = self.home.as_mut() {
                    home.tick(self.tab.now, &self.bounds);
                }
                self.answer_waiting(true);
            }
        }
    }
}

fn storm(seed: u64, transport: TransportChoice) {
    let mut random = Random::new(seed);
    let mut pair = Pair::with(transport);
    pair.tab.session.connect(pair.tab.now);
    pair.run();
    let (mut pushed, mut sent, mut tokens) = (0, 0, Vec::new());
    for _ in 0..200 {
        match random.up_to(5) {
            0 | 1 => {
                pushed += 1;
                pair.push(pushed);
            }
            2 | 3 => {
                sent += 1;
                tokens.push(pair.send(sent));
            }
            4 => pair.trouble(&mut random),
            _ => pair.pass(random.up_to(3_000)),
        }
        if random.chance(0.5) {
            pair.run();
        }
    }
    (pair.way, pair.blocked, pair.ghost) = (Way::Clear, false, None);
    for _ in 0..10 {
        pair.pass(2_000);
        pair.answer_waiting(true);
    }
    let context = format!("seed {seed}, {}", transport.name());
    assert_eq!(pair.begun, 1, "{context}: one session all the time");
    assert!(pair.tab.state().open, "{context}");
    assert_eq!(pair.tab.events_named(EventId::GAP), 0, "{context}");
    assert_eq!(pair.pushes(), (1..=pushed).collect::<Vec<_>>(), "{context}");
    assert_eq!(pair.handled, (1..=sent).collect::<Vec<_>>(), "{context}");
    for token in tokens {
        assert_eq!(
            pair.tab.outcome(token),
            Some(&Ok(Data::null(CODEC))),
            "{context}"
        );
    }
}

#[test]
fn f62_f22b_nothing_is_lost_or_repeated_in_any_storm_on_any_transport() {
    for seed in 0..40 {
        for transport in [TransportChoice::Poll, TransportChoice::Auto] {
            storm(seed, transport);
        }
    }
}
