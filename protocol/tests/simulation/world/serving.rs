//! The node's driver: frames in, items started and returned, frames out, connections ended.

use super::{Happening, World};
use crate::wire::body;
use bytes::Bytes;
use tengen_protocol::client::TransportClose;
use tengen_protocol::server::{ItemKind, Received, Tick};
use tengen_protocol::{ClientFrame, ClientHello, CloseCode, Limits, Millis, SessionId, Value};

impl World {
    pub(super) fn sweep(&mut self) {
        let now = Millis(self.now);
        self.node.expire(now);
        let bounds = &self.node.bounds;
        let ticks = self
            .node
            .homes
            .values_mut()
            .map(|(session, speaks)| (session.tick(now, bounds), *speaks));
        let busy: Vec<_> = ticks
            .filter(|(tick, _)| *tick != Tick::Quiet)
            .filter_map(|(_, speaks)| speaks)
            .collect();
        for connection in busy {
            self.server_writes(connection);
        }
        self.at(self.now + 1_000, Happening::Sweep);
    }

    pub(super) fn server_reads(&mut self, connection: u64, frame: Bytes) {
        let Some(wire) = self
            .wires
            .get_mut(&connection)
            .filter(|wire| !wire.dark && !wire.server_done)
        else {
            return;
        };
        if wire.home.is_some() {
            wire.held.push_back(frame);
            return self.pump(connection);
        }
        let Ok(ClientFrame::Hello(hello)) =
            ClientFrame::decode(self.node.codec, frame, &Limits::default())
        else {
            panic!("the first frame is no hello");
        };
        self.hello(connection, &hello);
    }

    /// Gives the session what has arrived, as long as it wants to read.
    pub(super) fn pump(&mut self, connection: u64) {
        let now = Millis(self.now);
        loop {
            let wire = self.wires.get_mut(&connection).unwrap();
            let Some((id, link)) = wire.home.clone().filter(|_| !wire.server_done) else {
                return;
            };
            let (session, _) = self.node.homes.get_mut(&id).unwrap();
            if session.link() == Some(link) && !session.may_read() {
                return;
            }
            let Some(frame) = wire.held.pop_front() else {
                return;
            };
            match session.receive(link, frame, &(), now, &self.node.bounds) {
                Received::Full => self.ledger.totals.full += 1,
                Received::Left { over, .. } => {
                    assert!(over);
                    return self.server_closes(connection, CloseCode(1000), "bye");
                }
                Received::Stale => {
                    return self.server_closes(connection, CloseCode::SUPERSEDED, "stale");
                }
                Received::Close(code, reason) if code != CloseCode::SLOW => {
                    panic!("closed an honest client: {code} {reason}")
                }
                Received::Quiet | Received::Work | Received::Close(..) => {}
            }
            self.start_items(&id);
            self.server_writes(connection);
        }
    }

    pub(super) fn hello(&mut self, connection: u64, hello: &ClientHello) {
        let uid = self.wires[&connection].uid.clone();
        let Some((id, attached, before)) =
            self.node.hello(hello, &uid, connection, Millis(self.now))
        else {
            return self.server_closes(connection, CloseCode::SUPERSEDED, "lower attempt");
        };
        self.say(|| format!("server hello on {connection}: {hello:?} -> {attached:?}"));
        *(if attached.resumed {
            &mut self.ledger.totals.resumed
        } else {
            &mut self.ledger.totals.fresh
        }) += 1;
        self.wires.get_mut(&connection).unwrap().home = Some((id, attached.link));
        if let Some(before) = before.filter(|before| *before != connection) {
            self.server_writes(before);
        }
        self.server_writes(connection);
    }

    pub(super) fn start_items(&mut self, id: &SessionId) {
        loop {
            let (session, _) = self.node.homes.get_mut(id).unwrap();
            let Some(item) = session.next_item() else {
                return;
            };
            let uid = session.uid().cloned();
            let (data, request) = match item.kind {
                ItemKind::Event { data, .. } => (data, None),
                ItemKind::Request {
                    data,
                    request,
                    timeout_ms,
                    ..
                } => {
                    assert!(timeout_ms > 0);
                    (data, Some(request))
                }
            };
            let Ok(Value::Int(n)) = data.value() else {
                panic!("not one of our items: {data:?}")
            };
            self.ledger.handled(n as u64, id, &uid);
            let slow = if self.hostile() && self.chance.one_in(10) {
                3_000
            } else {
                30
            };
            let returns = self.now + self.chance.between(0, slow);
            if let Some(request) = request {
                // Before the handler returns, at its end, or later from another task.
                let replies = self.now + self.chance.between(0, slow * 2);
                self.at(replies, Happening::Reply(id.clone(), request, n as u64));
            }
            if self.chance.one_in(8) {
                self.returned_now(id, item.position);
            } else {
                self.at(returns, Happening::Returned(id.clone(), item.position));
            }
        }
    }

    pub(super) fn returned(&mut self, id: &SessionId, position: u64) {
        self.returned_now(id, position);
        self.start_items(id);
    }

    pub(super) fn returned_now(&mut self, id: &SessionId, position: u64) {
        let (session, speaks) = self.node.homes.get_mut(id).unwrap();
        let resumed = session.item_returned(position, &self.node.bounds);
        if let (true, Some(connection)) = (resumed.read_again, *speaks) {
            self.at(self.now, Happening::Pump(connection));
        }
    }

    pub(super) fn server_writes_soon(&mut self, connection: Option<u64>) {
        if let Some(connection) = connection {
            self.at(self.now, Happening::Write(connection));
        }
    }

    pub(super) fn server_writes(&mut self, connection: u64) {
        let Some(wire) = self.wires.get(&connection).filter(|wire| !wire.server_done) else {
            return;
        };
        let Some((id, link)) = wire.home.clone() else {
            return;
        };
        if wire.blocked_until > self.now {
            return;
        }
        let (session, _) = self.node.homes.get_mut(&id).unwrap();
        let (frames, bytes) = (
            self.chance.between(1, 8) as usize,
            self.chance.between(1, 2_000) as usize,
        );
        let mut out = Vec::new();
        let written = session.write(
            link,
            &mut out,
            frames,
            bytes,
            Millis(self.now),
            &self.node.bounds,
        );
        for frame in out {
            let at = self
                .wires
                .get_mut(&connection)
                .unwrap()
                .down(self.now, &mut self.chance);
            self.at(at, Happening::ToClient(connection, body(&frame)));
        }
        if written.more {
            self.at(self.now, Happening::Write(connection));
        }
        if let Some((code, reason)) = written.close {
            self.ledger.totals.slow += u64::from(code == CloseCode::SLOW);
            self.server_closes(connection, code, &reason);
        }
    }

    pub(super) fn server_closes(&mut self, connection: u64, code: CloseCode, reason: &str) {
        let wire = self.wires.get_mut(&connection).unwrap();
        let at = wire.down(self.now, &mut self.chance);
        let dark = wire.dark;
        self.server_end(connection);
        if !dark {
            let how = TransportClose {
                clean: true,
                code: Some(code.0),
                reason: reason.to_owned(),
                ..TransportClose::default()
            };
            self.at(at, Happening::ClientSeesEnd(connection, how));
        }
    }

    pub(super) fn server_end(&mut self, connection: u64) {
        let Some(wire) = self
            .wires
            .get_mut(&connection)
            .filter(|wire| !wire.server_done)
        else {
            return;
        };
        wire.server_done = true;
        if let Some((id, link)) = wire.home.clone() {
            let (session, speaks) = self.node.homes.get_mut(&id).unwrap();
            if session.detach(link, Millis(self.now)) {
                *speaks = None;
            }
        }
    }
}
