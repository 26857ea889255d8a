//! A node serves WebSockets: frames in, items started and returned, frames out, connections ended.

use super::{ForNode, Overdue};
use crate::ledger::Place;
use crate::plan::SESSION_TTL;
use crate::tab::ForTab;
use crate::web::Answered;
use crate::wire::body;
use crate::world::{Happening, World};
use bytes::Bytes;
use tengen_protocol::client::TransportClose;
use tengen_protocol::server::{ItemKind, Received, Replied, Standing, Tick};
use tengen_protocol::{
    ClientFrame, CloseCode, Data, ErrorCode, Limits, Millis, Refusal, ServerFrame, SessionId, Value,
};

/// How long the handler of an event may take.
const HANDLER_LIMIT: u64 = 30_000;

impl World {
    pub(crate) fn sweep(&mut self, node: usize) {
        let now = Millis(self.now);
        self.expire(node);
        let bounds = &self.plan.bounds;
        let homes = self.nodes[node].homes.iter_mut();
        let ticks = homes.map(|(id, home)| (id.clone(), home.session.tick(now, bounds), home.wire));
        let busy: Vec<_> = ticks.filter(|(_, tick, _)| *tick != Tick::Quiet).collect();
        for (id, tick, wire) in busy {
            if tick == Tick::Work {
                self.start_items(node, &id);
            }
            if let Some(wire) = wire {
                self.server_writes(wire);
            }
            self.look_at_polls(node, &id);
        }
        // What an ended session had counted is started at the next sweep, if nobody else has.
        let homes = self.nodes[node].homes.iter();
        let ended = homes.filter(|(_, home)| home.session.is_over());
        let ended: Vec<SessionId> = ended.map(|(id, _)| id.clone()).collect();
        for id in ended {
            self.start_items(node, &id);
        }
        // One that was held up has yet to see that its own handlers have returned.
        let awake = self.now > self.nodes[node].paused_until + 1_000;
        for (id, home) in &self.nodes[node].homes {
            let session = &home.session;
            if awake && session.standing() == Standing::Home && session.inbox_items() > 0 {
                self.ledger.items.wait(id, self.now);
            }
        }
        self.pass_all_on(node);
        self.ask_debtors(node);
        self.at_node(self.now + 1_000, node, ForNode::Sweep);
    }

    /// Ends sessions that nobody came back for, and forgets those that are over and owe nothing.
    fn expire(&mut self, node: usize) {
        let now = self.now;
        let mut expired = Vec::new();
        for (id, home) in &mut self.nodes[node].homes {
            let expires = home.session.expires(SESSION_TTL);
            if expires.is_some_and(|at| now >= at.0) && !home.session.is_over() {
                expired.push((id.clone(), home.session.standing()));
                home.session.end();
            }
        }
        for (id, standing) in expired {
            if standing != Standing::Moved {
                self.excuse(&id);
            }
            self.start_items(node, &id);
        }
        for id in super::ingest::over(&self.nodes[node].homes) {
            self.nodes[node].homes.remove(&id);
        }
    }

    /// A frame that a tab sent is there.
    pub(crate) fn server_reads(&mut self, number: u64, frame: Bytes) {
        let Some(wire) = self
            .wires
            .get_mut(&number)
            .filter(|wire| !wire.dark && !wire.server_done)
        else {
            return;
        };
        if wire.home.is_some() || wire.greeting {
            wire.held.push_back(frame);
            return self.pump(number);
        }
        match ClientFrame::decode(wire.codec, frame, &Limits::default()) {
            Ok(ClientFrame::Hello(hello)) => {
                wire.greeting = true;
                self.hello(number, &hello);
            }
            // A poll's probe: do WebSockets work?
            Ok(ClientFrame::Ping { .. }) => {
                let (at, tab) = (wire.down(self.now, &mut self.chance), wire.tab);
                let pong = ServerFrame::Pong.encode(wire.codec);
                if let Some((tab, _)) = tab {
                    self.at(at, Happening::Tab(tab, ForTab::Frame(number, pong)));
                }
            }
            Ok(ClientFrame::Bye { .. }) => {}
            other => panic!("the first frame is no hello: {other:?}"),
        }
    }

    /// Gives the session what has arrived, as long as it wants to read.
    pub(crate) fn pump(&mut self, number: u64) {
        let now = Millis(self.now);
        loop {
            let wire = self.wires.get_mut(&number).unwrap();
            let Some((id, link)) = wire.home.clone().filter(|_| !wire.server_done) else {
                return;
            };
            let node = wire.node.0;
            let Some(home) = self.nodes[node].homes.get_mut(&id) else {
                return self.server_closes(number, CloseCode::SUPERSEDED, "the session is gone");
            };
            if home.session.link() == Some(link) && !home.session.may_read() {
                return;
            }
            let Some(frame) = wire.held.pop_front() else {
                return;
            };
            let bounds = &self.plan.bounds;
            match home.session.receive(link, frame, &(), now, bounds) {
                Received::Full => self.ledger.totals.full += 1,
                Received::Left { over, .. } => {
                    assert!(over);
                    return self.server_closes(number, CloseCode(1000), "bye");
                }
                Received::Stale => {
                    return self.server_closes(number, CloseCode::SUPERSEDED, "stale");
                }
                Received::Close(code, reason) if code != CloseCode::SLOW => {
                    panic!("closed an honest client: {code} {reason}")
                }
                Received::Close(..) => self.excuse(&id),
                Received::Quiet | Received::Refused | Received::Work => {}
            }
            self.start_items(node, &id);
            self.server_writes(number);
        }
    }

    pub(crate) fn start_items(&mut self, node: usize, id: &SessionId) {
        loop {
            let Some(home) = self.nodes[node].homes.get_mut(id) else {
                return;
            };
            let waits = home.session.inbox_items();
            assert!(
                waits < self.plan.bounds.inbox_items + 64,
                "an inbox grew over its bound"
            );
            if home.session.is_over() {
                // What was counted is handled; that a handler elsewhere is at work is not known.
                self.ledger.items.ended(id);
            }
            let Some(item) = home.session.next_item() else {
                return;
            };
            let uid = home.session.uid().cloned();
            let (data, request, limit) = match item.kind {
                ItemKind::Event { data, .. } => (data, None, HANDLER_LIMIT),
                ItemKind::Request {
                    data,
                    request,
                    timeout_ms,
                    ..
                } => {
                    assert!(timeout_ms > 0);
                    // Its caller's deadline, of which some has passed already.
                    let waited = self.now - item.at.0;
                    (data, Some(request), timeout_ms.saturating_sub(waited))
                }
            };
            let Ok(Value::Int(n)) = data.value() else {
                panic!("not one of our items: {data:?}")
            };
            let n = n as u64;
            let slow = if self.is_hostile() && self.chance.one_in(10) {
                3_000
            } else {
                30
            };
            // Handed to a service, it keeps nobody waiting.
            let service = self.chance.one_in(8) && self.stage.is_none();
            let until = (!service).then_some(self.now + limit);
            let place = Place {
                session: id,
                uid: uid.as_ref(),
                node: (node, self.nodes[node].life),
            };
            self.say(|| format!("node {node} handles item {n} of {id}"));
            let (items, totals) = (&mut self.ledger.items, &mut self.ledger.totals);
            items.handled(n, &place, until, self.now, totals);
            if let Some(request) = request {
                // Before the handler returns, at its end, or later from another task; or never.
                let replies = self.now + self.handler_takes(slow * 2);
                if !self.chance.one_in(20) || self.stage.is_some() {
                    let reply = ForNode::Reply(id.clone(), request, n);
                    self.at_node(replies, node, reply);
                }
                if service {
                    let overdue = Overdue {
                        n,
                        position: None,
                        request: Some(request),
                    };
                    let late = ForNode::OverLimit(id.clone(), overdue);
                    self.at_node(self.now + limit, node, late);
                }
            }
            if service {
                self.returned_now(node, id, item.position);
                continue;
            }
            let takes = self.handler_takes(slow);
            if takes < limit {
                let returned = ForNode::Returned(id.clone(), item.position, n);
                self.at_node(self.now + takes, node, returned);
            }
            if takes >= limit || request.is_some() {
                let overdue = Overdue {
                    n,
                    position: Some(item.position),
                    request,
                };
                let late = ForNode::OverLimit(id.clone(), overdue);
                self.at_node(self.now + limit, node, late);
            }
        }
    }

    fn handler_takes(&mut self, most: u64) -> u64 {
        match &self.stage {
            Some(stage) => stage.handlers,
            None => self.chance.between(0, most),
        }
    }

    pub(crate) fn returned(&mut self, node: usize, id: &SessionId, position: u64, n: u64) {
        self.ledger.items.returned(n, id);
        self.returned_now(node, id, position);
        self.start_items(node, id);
    }

    pub(crate) fn returned_now(&mut self, node: usize, id: &SessionId, position: u64) {
        let bounds = &self.plan.bounds;
        let Some(home) = self.nodes[node].homes.get_mut(id) else {
            return;
        };
        let resumed = home.session.item_returned(position, bounds);
        let wire = home.wire;
        self.forward_return(node, id, position);
        if let (true, Some(wire)) = (resumed.read_again, wire) {
            self.at_node(self.now, node, ForNode::Pump(wire));
        }
    }

    pub(crate) fn replied(&mut self, node: usize, id: &SessionId, request: u32, n: u64) {
        let Some(home) = self.nodes[node].homes.get(id) else {
            return;
        };
        let codec = home.session.codec();
        let data = Data::from_value(codec, &Value::Int(n.into())).unwrap();
        self.reply(node, id, request, Ok(data.clone()));
        let bounds = &self.plan.bounds;
        if n.is_multiple_of(7)
            && let Some(home) = self.nodes[node].homes.get_mut(id)
        {
            // A handler that answers twice.
            let second = home.session.reply(request, Ok(data), bounds);
            assert!(
                matches!(second, Replied::Ignored | Replied::Over),
                "request {request} of {id} was answered twice: {second:?}"
            );
        }
    }

    pub(crate) fn over_limit(&mut self, node: usize, id: &SessionId, overdue: &Overdue) {
        self.ledger.items.returned(overdue.n, id);
        if let Some(request) = overdue.request {
            let refusal = Refusal::new(ErrorCode::TIMEOUT, "no answer in time");
            self.reply(node, id, request, Err(refusal));
        }
        if let Some(position) = overdue.position {
            self.returned_now(node, id, position);
            self.start_items(node, id);
        }
    }

    /// Something about a session has changed: whoever speaks to it looks.
    pub(crate) fn wake_soon(&mut self, node: usize, id: &SessionId) {
        self.at_node(self.now, node, ForNode::Wake(id.clone()));
    }

    pub(crate) fn wake(&mut self, node: usize, id: &SessionId) {
        let Some(home) = self.nodes[node].homes.get(id) else {
            return;
        };
        if let Some(wire) = home.wire {
            self.server_writes(wire);
        }
        self.look_at_polls(node, id);
    }

    pub(crate) fn server_writes(&mut self, number: u64) {
        let Some(wire) = self.wires.get(&number).filter(|wire| !wire.server_done) else {
            return;
        };
        let Some((id, link)) = wire.home.clone() else {
            return;
        };
        if wire.blocked_until > self.now {
            return;
        }
        let node = wire.node.0;
        let frames = self.chance.between(1, 8) as usize;
        let bytes = self.chance.between(1, 2_000) as usize;
        let Some(home) = self.nodes[node].homes.get_mut(&id) else {
            return self.server_closes(number, CloseCode::SUPERSEDED, "the session is gone");
        };
        let mut out = Vec::new();
        let bounds = &self.plan.bounds;
        let now = Millis(self.now);
        let written = home
            .session
            .write(link, &mut out, frames, bytes, now, bounds);
        for frame in out {
            let wire = self.wires.get_mut(&number).unwrap();
            let at = wire.down(self.now, &mut self.chance);
            if let Some((tab, _)) = wire.tab {
                let frame = ForTab::Frame(number, body(&frame));
                self.at(at, Happening::Tab(tab, frame));
            }
        }
        if written.more {
            self.at_node(self.now, node, ForNode::Write(number));
        }
        if let Some((code, reason)) = written.close {
            self.ledger.totals.slow += u64::from(code == CloseCode::SLOW);
            self.server_closes(number, code, &reason);
        }
    }

    pub(crate) fn server_closes(&mut self, number: u64, code: CloseCode, reason: &str) {
        let wire = self.wires.get_mut(&number).unwrap();
        if let Some(http) = wire.http {
            wire.server_done = true;
            return self.http_answer(http, Answered::closed(code));
        }
        let at = wire.down(self.now, &mut self.chance);
        let (dark, tab) = (wire.dark, wire.tab);
        self.server_end(number);
        if let (false, Some((tab, _))) = (dark, tab) {
            let how = TransportClose {
                clean: true,
                code: Some(code.0),
                reason: reason.to_owned(),
                ..TransportClose::default()
            };
            self.at(at, Happening::Tab(tab, ForTab::SeesEnd(number, how)));
        }
    }

    /// The system resets the socket of a process that is gone.
    pub(crate) fn reset_from_server(&mut self, number: u64) {
        let wire = self.wires.get_mut(&number).unwrap();
        wire.server_done = true;
        wire.home = None;
        // What was under way is lost, and the tab learns of it in its own time.
        let (dark, tab) = (wire.dark, wire.tab);
        wire.dark = true;
        if let (false, Some((tab, _))) = (dark, tab) {
            let at = self.now + self.chance.between(0, 3_000);
            let how = TransportClose::default();
            self.at(at, Happening::Tab(tab, ForTab::SeesEnd(number, how)));
        }
    }

    pub(crate) fn server_end(&mut self, number: u64) {
        let Some(wire) = self.wires.get_mut(&number).filter(|wire| !wire.server_done) else {
            return;
        };
        wire.server_done = true;
        let Some((id, link)) = wire.home.clone() else {
            return;
        };
        let node = wire.node.0;
        if let Some(home) = self.nodes[node].homes.get_mut(&id)
            && home.session.detach(link, Millis(self.now))
        {
            home.wire = None;
        }
    }
}
