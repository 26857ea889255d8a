//! A hello at a node: the session that is here goes on, else a new one begins.

use super::polling::POLL_HOLD;
use super::{ForNode, Home};
use crate::web::Answered;
use crate::world::World;
use tengen_protocol::rules::{Rule, holds};
use tengen_protocol::server::{AttachRefused, Attached, Session};
use tengen_protocol::{ClientHello, CloseCode, Data, Millis, ServerHello, SessionId, Transport};

/// How long a hello waits for the node to hear the bus.
const HOLD_MS: u64 = 3_000;

impl World {
    pub(crate) fn hello(&mut self, wire: u64, hello: &ClientHello) {
        let node = self.wires[&wire].node.0;
        if self.nodes[node].confirmed {
            return self.greet(wire, hello);
        }
        self.nodes[node].waiting.push((wire, hello.clone()));
        self.at_node(self.now + HOLD_MS, node, ForNode::HelloWaited(wire));
    }

    pub(crate) fn hello_waited(&mut self, node: usize, wire: u64) {
        let waiting = &mut self.nodes[node].waiting;
        let before = waiting.len();
        waiting.retain(|(other, _)| *other != wire);
        if waiting.len() < before {
            self.server_closes(wire, CloseCode::RESTARTING, "not ready");
        }
    }

    pub(crate) fn take_waiting_hellos(&mut self, node: usize) {
        for (wire, hello) in std::mem::take(&mut self.nodes[node].waiting) {
            self.greet(wire, &hello);
        }
    }

    pub(crate) fn greet(&mut self, wire: u64, hello: &ClientHello) {
        if !self.brings(wire, hello) {
            self.hello_here(wire, hello);
        }
    }

    /// The session is here, if it can be anywhere.
    pub(crate) fn hello_here(&mut self, number: u64, hello: &ClientHello) {
        let wire = &self.wires[&number];
        if wire.server_done {
            return;
        }
        let (node, uid, codec) = (wire.node.0, wire.uid.clone(), wire.codec);
        let transport = wire.transport();
        let now = Millis(self.now);
        let named = hello.session.clone();
        if let Some(id) = named.filter(|id| self.nodes[node].homes.contains_key(id)) {
            let home = self.nodes[node].homes.get_mut(&id).unwrap();
            let same_user = home.session.uid() == uid.as_ref();
            if !same_user && holds(Rule::OtherUserBeginsAnew) {
                self.end_now(node, &id);
            } else {
                let whole = is_whole_for(&home.session, hello.received.unwrap_or(0));
                match home.session.attach(hello, transport, now) {
                    Ok(attached) => {
                        assert!(
                            whole,
                            "{id} goes on for a client that lacks what nobody has any more"
                        );
                        let at = ((node, self.nodes[node].life), id.clone());
                        self.ledger.takes.greeted(at, hello.attempt);
                        let home = self.nodes[node].homes.get_mut(&id).unwrap();
                        let ws = (transport == Transport::Ws).then_some(number);
                        let before = std::mem::replace(&mut home.wire, ws);
                        self.greeted(number, &id, &attached);
                        // A hello voids a takeover by another node: what waited may start.
                        self.start_items(node, &id);
                        if let Some(before) = before.filter(|before| *before != number) {
                            self.server_writes(before);
                        }
                        self.wake_soon(node, &id);
                        return;
                    }
                    Err(AttachRefused::LowerAttempt { .. }) => {
                        return self.server_closes(number, CloseCode::SUPERSEDED, "lower attempt");
                    }
                    Err(AttachRefused::NotThisSession) => {
                        panic!("our client named a session that is not its own")
                    }
                    Err(AttachRefused::Lost) => {
                        self.is_no_surprise(&id);
                        self.end_now(node, &id);
                    }
                    Err(AttachRefused::Over | AttachRefused::Arriving | AttachRefused::Moved) => {}
                }
            }
        }
        if let Some(id) = &hello.session {
            let known = self.owners.get(id).copied();
            assert!(
                !self.plan.is_gentle() || known.is_some_and(|tab| self.excused.contains(&tab)),
                "{id} was lost though nothing had happened to it"
            );
        }
        let random = [self.chance.next(), self.chance.next()];
        let random = (u128::from(random[0]) << 64 | u128::from(random[1])).to_be_bytes();
        let id = SessionId::new(&self.nodes[node].id, random);
        let mut session = Session::new(id.clone(), hello.client.clone(), uid, codec);
        let attached = session
            .attach(hello, transport, now)
            .expect("a new session takes its first hello");
        assert_eq!(
            attached.gap,
            hello.session.is_some(),
            "whoever gets another session than it named is told of a gap"
        );
        let home = Home {
            session,
            wire: (transport == Transport::Ws).then_some(number),
            parked: Vec::new(),
            arrived: false,
        };
        self.nodes[node].homes.insert(id.clone(), home);
        self.greeted(number, &id, &attached);
    }

    /// What a client says that it has received cannot be resumed: that is somebody else's doing.
    pub(crate) fn is_no_surprise(&self, id: &SessionId) {
        let known = self.owners.get(id).copied();
        assert!(
            !self.plan.is_gentle() || known.is_none_or(|tab| self.excused.contains(&tab)),
            "an honest client of {id} asked for what it had acknowledged"
        );
    }

    /// Another identity has come, or what cannot be resumed is asked for.
    pub(crate) fn end_now(&mut self, node: usize, id: &SessionId) {
        let Some(home) = self.nodes[node].homes.get_mut(id) else {
            return;
        };
        let session = &mut home.session;
        session.abort(CloseCode::SUPERSEDED, "cannot be resumed");
        self.excuse(id);
        self.wake_soon(node, id);
    }

    fn greeted(&mut self, number: u64, id: &SessionId, attached: &Attached) {
        self.say(|| format!("hello on {number}: {id} {attached:?}"));
        *(if attached.resumed {
            &mut self.ledger.totals.resumed
        } else {
            &mut self.ledger.totals.fresh
        }) += 1;
        let wire = self.wires.get_mut(&number).unwrap();
        wire.home = Some((id.clone(), attached.link));
        let (node, codec, tab) = (wire.node.0, wire.codec, wire.tab);
        if let Some((tab, _)) = tab {
            self.owners.insert(id.clone(), tab);
        }
        let its_id = self.nodes[node].id.clone();
        let home = self.nodes[node].homes.get_mut(id).unwrap();
        let bounds = &self.plan.bounds;
        let wire = &self.wires[&number];
        // The client gives up 10 s after this; a GET may be held for longer than pings are apart.
        let ping_ms = match wire.transport() {
            Transport::Ws => bounds.ping_ms,
            Transport::Poll => bounds.ping_ms.max(POLL_HOLD - 5_000),
        };
        let hello = ServerHello {
            session: id.clone(),
            resumed: attached.resumed,
            gap: attached.gap,
            received: attached.received,
            uid: home.session.uid().cloned(),
            data: Data::null(codec),
            ping_ms,
            max_bytes: bounds.limits.max_bytes as u64,
            node: its_id,
        };
        assert!(home.session.hello(attached.link, &hello));
        let Some(http) = wire.http else {
            self.server_writes(number);
            return self.pump(number);
        };
        let mut body = Vec::new();
        assert!(home.session.poll_hello(attached.link, &mut body));
        self.wires.get_mut(&number).unwrap().server_done = true;
        self.http_answer(http, Answered::with(body));
    }
}

/// Whether everything is still here that a client lacks which has `received` so many items.
pub(crate) fn is_whole_for(session: &Session<()>, received: u64) -> bool {
    let acked = session.acknowledged();
    (acked..=acked + session.queue_items()).contains(&received)
}
