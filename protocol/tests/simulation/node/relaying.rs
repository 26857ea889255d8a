//! Polls for a session of another node: passed on to whoever has it, asked of all if nobody knows.

use super::asking::{Asker, Came, ReplyTo};
use super::polling::{At, Brought, Caller, POLL_HOLD, Whom};
use crate::bus::Face;
use crate::web::Answered;
use crate::world::World;
use bytes::Bytes;
use std::collections::VecDeque;
use tengen_protocol::relay::{FromHome, RelayedPoll, RelayedPost, ToHome};
use tengen_protocol::rules::{Rule, holds};
use tengen_protocol::server::Standing;
use tengen_protocol::{NodeId, SessionId};

/// How long the home holds a GET for another node in one go, and how much later it is late.
const LEG: u64 = 4_000;
const LATE: u64 = 2_000;
const WHO: u64 = 1_000;

/// A request passed on.
pub(crate) struct Relaying {
    http: u64,
    session: SessionId,
    what: What,
    next: VecDeque<NodeId>,
    asked: Vec<NodeId>,
    asked_all: bool,
    until: u64,
}

#[derive(Clone)]
enum What {
    Poll(RelayedPoll),
    Post(Bytes),
}

impl World {
    pub(crate) fn relay_get(
        &mut self,
        node: usize,
        caller: Caller,
        n: u64,
        received: u64,
        http: u64,
        hint: Option<NodeId>,
    ) {
        let what = What::Poll(RelayedPoll {
            session: caller.session.clone(),
            uid: caller.uid,
            attempt: caller.attempt,
            n,
            received,
            hold_ms: LEG,
        });
        self.relay(node, caller.session, what, http, hint);
    }

    pub(crate) fn relay_post(&mut self, node: usize, brought: Brought, hint: Option<NodeId>) {
        let Whom::Http(http) = brought.whom else {
            return;
        };
        let tab = self.https[&http].tab;
        let post = ToHome::Post(RelayedPost {
            session: brought.caller.session.clone(),
            uid: brought.caller.uid,
            attempt: brought.caller.attempt,
            first: brought.first,
            codec: self.tabs[tab].codec,
            peer: ([127, 0, 0, 1], 1).into(),
            uri: "/chsk".to_owned(),
            headers: Vec::new(),
            body: brought.body,
        });
        let what = What::Post(post.encode());
        self.relay(node, brought.caller.session, what, http, hint);
    }

    fn relay(
        &mut self,
        node: usize,
        session: SessionId,
        what: What,
        http: u64,
        hint: Option<NodeId>,
    ) {
        if !holds(Rule::PollIsRelayed) {
            return self.http_answer(http, Answered::refused(410, 12));
        }
        self.ledger.totals.relayed += 1;
        let it = &mut self.nodes[node];
        let remembered = it.places.get(&session).cloned();
        let mut next = VecDeque::from_iter(hint.into_iter().chain(remembered));
        next.push_back(session.node());
        let relaying = Relaying {
            http,
            session,
            what,
            next,
            asked: vec![it.id.clone()],
            asked_all: false,
            until: self.now + POLL_HOLD,
        };
        self.nonces += 1;
        let relay = self.nonces;
        self.nodes[node].relays.insert(relay, relaying);
        self.relay_on(node, relay);
    }

    fn relay_on(&mut self, node: usize, number: u64) {
        let Some(relay) = self.nodes[node].relays.get_mut(&number) else {
            return;
        };
        while let Some(whom) = relay.next.pop_front() {
            if relay.asked.contains(&whom) || relay.asked.len() > 6 {
                continue;
            }
            let body = match &relay.what {
                What::Poll(poll) => ToHome::Poll(poll.clone()).encode(),
                What::Post(post) => post.clone(),
            };
            relay.asked.push(whom.clone());
            let asker = Asker::Relay(number, Some(whom.clone()));
            return self.ask(node, Some(&whom), Face::Relay, body, LEG + LATE, asker);
        }
        if std::mem::replace(&mut relay.asked_all, true) {
            let http = relay.http;
            self.nodes[node].relays.remove(&number);
            return self.http_answer(http, Answered::refused(410, 12));
        }
        let session = relay.session.clone();
        self.nodes[node].places.remove(&session);
        let body = ToHome::Who(session).encode();
        let asker = Asker::Relay(number, None);
        self.ask(node, None, Face::Who, body, WHO, asker);
    }

    pub(crate) fn relay_hears(
        &mut self,
        node: usize,
        number: u64,
        whom: Option<NodeId>,
        came: Came,
    ) {
        let me = self.nodes[node].id.clone();
        let Some(relay) = self.nodes[node].relays.get_mut(&number) else {
            return;
        };
        let answer = match came {
            Came::Answer(body) => FromHome::decode(&body).expect("our own answer"),
            Came::NoResponders => FromHome::NotMine,
            Came::Late if whom.is_none() => FromHome::NotMine,
            Came::Late => FromHome::Refused(503, 13, String::new()),
        };
        let http = relay.http;
        match answer {
            FromHome::NotMine | FromHome::Begun { .. } | FromHome::Piece(_) => {
                self.relay_on(node, number);
            }
            FromHome::Mine(other) => {
                if other != me {
                    relay.next.push_front(other);
                }
                self.relay_on(node, number);
            }
            FromHome::Refused(status, code, _) => {
                self.nodes[node].relays.remove(&number);
                self.http_answer(http, Answered::refused(status, code));
            }
            FromHome::Body(_, body) => {
                let session = relay.session.clone();
                let again = matches!(relay.what, What::Poll(_));
                if again && body.is_empty() && self.now < relay.until {
                    // Held for a leg, and nothing to say: once more.
                    relay.asked = vec![me];
                    relay.asked_all = false;
                    relay.next.extend(whom);
                    return self.relay_on(node, number);
                }
                self.nodes[node].relays.remove(&number);
                if let Some(whom) = whom {
                    self.nodes[node].places.insert(session, whom);
                }
                self.http_answer(http, Answered::with(body.to_vec()));
            }
        }
    }

    /// Another node passes something on to this one, or asks who has a session.
    pub(crate) fn asked_as_home(&mut self, node: usize, reply: ReplyTo, body: &Bytes) {
        let (caller, serve) = match ToHome::decode(body).expect("our own question") {
            ToHome::Who(session) => {
                let home = self.nodes[node].homes.get(&session);
                let here = home.is_some_and(|home| {
                    matches!(home.session.standing(), Standing::Home | Standing::Frozen)
                });
                if here {
                    let mine = FromHome::Mine(self.nodes[node].id.clone());
                    self.answer_with(node, reply, mine.encode());
                }
                return;
            }
            ToHome::Poll(poll) => {
                let caller = Caller {
                    session: poll.session.clone(),
                    attempt: poll.attempt,
                    uid: poll.uid.clone(),
                };
                (caller, ToHome::Poll(poll))
            }
            ToHome::Post(post) => {
                let caller = Caller {
                    session: post.session.clone(),
                    attempt: post.attempt,
                    uid: post.uid.clone(),
                };
                (caller, ToHome::Post(post))
            }
            // The simulated bus has no bound, so nothing is answered in pieces.
            ToHome::Rest { .. } => {
                return self.answer_with(node, reply, FromHome::NotMine.encode());
            }
        };
        let answer = match self.whereabouts(node, &caller) {
            At::Gone => FromHome::Refused(410, 12, String::new()),
            At::Elsewhere(Some(other)) => FromHome::Mine(other),
            At::Elsewhere(None) => FromHome::NotMine,
            At::Here => {
                let whom = Whom::Node(reply);
                return match serve {
                    ToHome::Poll(poll) => {
                        let (n, received) = (poll.n, poll.received);
                        self.poll_here(node, &caller, n, received, poll.hold_ms, whom);
                    }
                    ToHome::Post(post) => {
                        let brought = Brought {
                            caller,
                            first: post.first,
                            body: post.body,
                            whom,
                        };
                        self.post_here(node, brought, self.now + LEG);
                    }
                    ToHome::Who(_) | ToHome::Rest { .. } => {}
                };
            }
        };
        self.answer_with(node, reply, answer.encode());
    }
}
