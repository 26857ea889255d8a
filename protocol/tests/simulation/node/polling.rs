//! A node serves polls: hellos by POST, items by POST, GETs that wait; for its own sessions.

use super::ForNode;
use super::asking::ReplyTo;
use crate::web::{Answered, Http};
use crate::wire::Wire;
use crate::world::World;
use bytes::Bytes;
use tengen_protocol::relay::FromHome;
use tengen_protocol::rules::{Rule, holds};
use tengen_protocol::server::{PollDue, PollRefused, PollTurn, Standing};
use tengen_protocol::{ClientFrame, CloseCode, Limits, Millis, NodeId, SessionId, Uid};

/// How long a GET is held.
pub(crate) const POLL_HOLD: u64 = 20_000;
/// Bytes of one answer.
const POLL_BYTES: usize = 256 << 10;
/// How often a POST without room looks again.
const ROOM_MS: u64 = 50;

/// Where the answer to a GET or POST goes: to the client here, or to the node that has it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whom {
    Http(u64),
    Node(ReplyTo),
}

/// A GET that waits.
#[derive(Debug)]
pub(crate) struct Parked {
    number: u64,
    turn: PollTurn,
    whom: Whom,
}

/// Who asks for which session.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) session: SessionId,
    pub(crate) attempt: u64,
    pub(crate) uid: Option<Uid>,
}

/// A POST of items.
#[derive(Clone, Debug)]
pub(crate) struct Brought {
    pub(crate) caller: Caller,
    pub(crate) first: u64,
    pub(crate) body: Bytes,
    pub(crate) whom: Whom,
}

/// Where a session is, as far as a node knows.
pub(crate) enum At {
    Here,
    Elsewhere(Option<NodeId>),
    Gone,
}

/// The value of a header or of a part of the query.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
}

impl Http {
    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.exchange.headers.iter();
        headers
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.as_str())
    }

    fn number(&self, key: &str) -> u64 {
        let text = value(&self.exchange.query, key).expect("our own query");
        text.parse().expect("our own number")
    }
}

impl World {
    pub(crate) fn http_request(&mut self, node: usize, http: u64) {
        let Some(it) = self.https.get(&http).cloned() else {
            return;
        };
        let Some(session) = it.header("Tengen-Session") else {
            return self.http_hello(node, http, &it);
        };
        let caller = Caller {
            session: SessionId::parse(session).unwrap(),
            attempt: it.header("Tengen-Attempt").unwrap().parse().unwrap(),
            uid: it.uid.clone(),
        };
        let whom = Whom::Http(http);
        if it.exchange.post {
            let brought = Brought {
                caller,
                first: it.number("first"),
                body: it.exchange.body.clone(),
                whom,
            };
            self.post(node, brought);
        } else {
            let (n, received) = (it.number("n"), it.number("received"));
            self.get(node, caller, n, received, http);
        }
    }

    fn http_hello(&mut self, node: usize, http: u64, it: &Http) {
        let codec = self.tabs[it.tab].codec;
        let frame = it.exchange.body.clone();
        let Ok(ClientFrame::Hello(hello)) = ClientFrame::decode(codec, frame, &Limits::default())
        else {
            panic!("a POST without a session is no hello");
        };
        let life = (node, self.nodes[node].life);
        let tab = Some((it.tab, it.connection));
        let mut wire = Wire::new(tab, life, it.uid.clone(), codec, 0);
        wire.http = Some(http);
        let wire = self.add_wire(wire);
        self.hello(wire, &hello);
    }

    /// Where a session is for this caller.
    pub(crate) fn whereabouts(&self, node: usize, caller: &Caller) -> At {
        let Some(home) = self.nodes[node].homes.get(&caller.session) else {
            return At::Elsewhere(None);
        };
        let session = &home.session;
        if session.uid() != caller.uid.as_ref() && holds(Rule::PollNeedsSameUser) {
            return At::Gone;
        }
        match session.standing() {
            Standing::Home | Standing::Frozen => At::Here,
            Standing::Moved => At::Elsewhere(session.owner().cloned()),
            Standing::Arriving => At::Elsewhere(None),
        }
    }

    fn get(&mut self, node: usize, caller: Caller, n: u64, received: u64, http: u64) {
        match self.whereabouts(node, &caller) {
            At::Gone => self.http_answer(http, Answered::refused(410, 12)),
            At::Here => self.poll_here(node, &caller, n, received, POLL_HOLD, Whom::Http(http)),
            At::Elsewhere(hint) => self.relay_get(node, caller, n, received, http, hint),
        }
    }

    /// Serves a GET of a session that is here.
    pub(crate) fn poll_here(
        &mut self,
        node: usize,
        caller: &Caller,
        n: u64,
        received: u64,
        hold: u64,
        whom: Whom,
    ) {
        let now = Millis(self.now);
        let home = self.nodes[node].homes.get_mut(&caller.session).unwrap();
        match home.session.poll(caller.attempt, n, received, now) {
            Ok(turn) => {
                self.nonces += 1;
                let number = self.nonces;
                home.parked.push(Parked { number, turn, whom });
                let over = ForNode::PollOver(caller.session.clone(), number);
                self.at_node(self.now + hold, node, over);
                self.look_at_polls(node, &caller.session);
            }
            Err(refused) => self.poll_refused(node, &caller.session, refused, whom),
        }
    }

    fn poll_refused(&mut self, node: usize, id: &SessionId, refused: PollRefused, whom: Whom) {
        if refused == PollRefused::Lost {
            self.is_no_surprise(id);
            self.end_now(node, id);
        }
        let (status, code) = match refused {
            PollRefused::LowerAttempt | PollRefused::LowerTurn => {
                (409, CloseCode::SUPERSEDED.0.into())
            }
            PollRefused::TooLarge => (413, 6),
            _ => (410, 12),
        };
        self.say(|| format!("node {node} refuses {id}: {refused:?}"));
        self.answer_refused(node, whom, status, code);
    }

    fn answer_refused(&mut self, node: usize, whom: Whom, status: u16, code: u32) {
        match whom {
            Whom::Http(http) => self.http_answer(http, Answered::refused(status, code)),
            Whom::Node(reply) => {
                let refused = FromHome::Refused(status, code, String::new());
                self.answer_with(node, reply, refused.encode());
            }
        }
    }

    fn answer_body(&mut self, node: usize, id: &SessionId, whom: Whom, body: Vec<u8>) {
        match whom {
            Whom::Http(http) => {
                let home = self.nodes[node].homes.get(id);
                if let (Some(home), Some(it)) = (home, self.https.get(&http)) {
                    let same = home.session.uid() == it.uid.as_ref();
                    assert!(same, "a request of {:?} was served {id}", it.uid);
                }
                self.http_answer(http, Answered::with(body));
            }
            Whom::Node(reply) => {
                let Some(home) = self.nodes[node].homes.get(id) else {
                    return;
                };
                let body = FromHome::Body(home.session.codec(), body.into());
                self.answer_with(node, reply, body.encode());
            }
        }
    }

    /// Answers every GET that has something to hear.
    pub(crate) fn look_at_polls(&mut self, node: usize, id: &SessionId) {
        let Some(home) = self.nodes[node].homes.get_mut(id) else {
            return;
        };
        for parked in std::mem::take(&mut home.parked) {
            self.look_at_poll(node, id, parked, false);
        }
    }

    pub(crate) fn poll_over(&mut self, node: usize, id: &SessionId, number: u64) {
        let Some(home) = self.nodes[node].homes.get_mut(id) else {
            return;
        };
        if let Some(index) = home.parked.iter().position(|it| it.number == number) {
            let parked = home.parked.remove(index);
            self.look_at_poll(node, id, parked, true);
        }
    }

    fn look_at_poll(&mut self, node: usize, id: &SessionId, parked: Parked, is_over: bool) {
        let now = Millis(self.now);
        let bounds = &self.plan.bounds;
        let home = self.nodes[node].homes.get_mut(id).unwrap();
        let session = &mut home.session;
        let current = session.poll_is_current(parked.turn);
        if !is_over {
            match session.poll_due(parked.turn, now, bounds) {
                PollDue::Now => {}
                PollDue::Idle => return home.parked.push(parked),
                PollDue::At(at) => {
                    home.parked.push(parked);
                    return self.at_node(at.0.max(now.0 + 1), node, ForNode::Wake(id.clone()));
                }
            }
        }
        let mut body = Vec::new();
        let written = session.poll_write(parked.turn, &mut body, POLL_BYTES, now, bounds);
        match (current, written.close) {
            (true, Some((code, _))) => {
                self.ledger.totals.slow += u64::from(code == CloseCode::SLOW);
                // The bye is in the answer; nobody speaks for the session after it.
                if let Some(link) = session.link() {
                    session.detach(link, now);
                }
                self.answer_body(node, id, parked.whom, body);
            }
            (_, None) => self.answer_body(node, id, parked.whom, body),
            (false, Some(_)) => {
                let code = CloseCode::SUPERSEDED.0.into();
                self.answer_refused(node, parked.whom, 409, code);
            }
        }
    }

    fn post(&mut self, node: usize, brought: Brought) {
        match self.whereabouts(node, &brought.caller) {
            At::Gone => self.answer_refused(node, brought.whom, 410, 12),
            At::Here => self.post_here(node, brought, self.now + POLL_HOLD),
            At::Elsewhere(hint) => self.relay_post(node, brought, hint),
        }
    }

    /// Serves a POST of a session that is here; waits for room until then.
    pub(crate) fn post_here(&mut self, node: usize, brought: Brought, until: u64) {
        let now = Millis(self.now);
        let bounds = &self.plan.bounds;
        let id = brought.caller.session.clone();
        let Some(home) = self.nodes[node].homes.get_mut(&id) else {
            return self.answer_refused(node, brought.whom, 410, 12);
        };
        let Brought {
            caller,
            first,
            body,
            ..
        } = &brought;
        let posted = home
            .session
            .post(caller.attempt, *first, body, &(), now, bounds);
        let posted = match posted {
            Ok(posted) => posted,
            Err(refused) => return self.poll_refused(node, &id, refused, brought.whom),
        };
        let session = &home.session;
        let no_room = posted.received < *first && !session.may_read() && !session.is_ending();
        let codec = session.codec();
        self.ledger.totals.posts += 1;
        self.start_items(node, &id);
        self.wake_soon(node, &id);
        if no_room && self.now < until {
            self.ledger.totals.full += 1;
            let again = ForNode::Room(brought, until);
            return self.at_node(self.now + ROOM_MS, node, again);
        }
        if posted
            .close
            .as_ref()
            .is_some_and(|(code, _)| *code == CloseCode::SLOW)
        {
            self.excuse(&id);
        }
        let answer = posted.answer(codec).to_vec();
        self.answer_body(node, &id, brought.whom, answer);
    }
}
