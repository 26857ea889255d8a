//! What the application and the network do to the conversation.

use super::{Happening, World};
use tengen_protocol::client::{SendOptions, TransportClose};
use tengen_protocol::server::Pushed;
use tengen_protocol::takeover::Identity;
use tengen_protocol::{CloseCode, Data, Millis, OutFrame, Uid, Value};

impl World {
    pub(super) fn traffic(&mut self) {
        if !self.hostile() {
            return;
        }
        for _ in 0..self.chance.between(1, 6) {
            if self.chance.one_in(2) {
                self.push();
            } else {
                self.send();
            }
        }
        let pause = if self.chance.one_in(30) { 8_000 } else { 400 };
        let next = self.now + self.chance.between(1, pause);
        self.at(next, Happening::Traffic);
    }

    pub(super) fn push(&mut self) {
        let to = self.login.clone();
        let n = self.ledger.push(&to);
        let name = to.as_ref().map_or("", Uid::as_str).to_owned();
        let data = Data::from_value(
            self.node.codec,
            &Value::Array(vec![Value::Int(n.into()), Value::Text(name)]),
        )
        .unwrap();
        let frame = OutFrame::event(self.node.codec, &self.ids[0], &data).unwrap();
        let mut woken = Vec::new();
        // Once in a while the bus loses a push and the node knows it.
        let lost = self.chance.one_in(40);
        if lost {
            self.ledger.lost(&to, n, self.now);
        }
        let bounds = &self.node.bounds;
        for (session, speaks) in self
            .node
            .homes
            .values_mut()
            .filter(|(session, _)| session.uid() == to.as_ref())
        {
            let pushed = if lost {
                session.gap("lost", bounds)
            } else {
                session.push(&frame, &Identity::Message(n.into()), bounds)
            };
            if pushed != Pushed::Over {
                woken.extend(*speaks);
            }
        }
        for connection in woken {
            self.server_writes_soon(Some(connection));
        }
    }

    pub(super) fn send(&mut self) {
        self.items += 1;
        let n = self.items;
        let data = Data::from_value(self.node.codec, &Value::Int(n.into())).unwrap();
        let patience = [None, Some(0), Some(5), Some(500), Some(20_000)];
        let timeout_ms = patience[self.chance.between(0, 4) as usize];
        let options = SendOptions {
            buffered: !self.chance.one_in(5),
            timeout_ms,
        };
        let state = self.client.state();
        let typed_as = state.ever_opened.then(|| state.uid.clone());
        let request = self.chance.one_in(2);
        let now = Millis(self.now);
        let token = if request {
            self.client.request(self.ids[1].clone(), data, options, now)
        } else {
            self.client.send(self.ids[0].clone(), data, options, now)
        };
        self.ledger.send(n, token, typed_as, request);
    }

    pub(super) fn trouble(&mut self) {
        let now = Millis(self.now);
        if !self.hostile() {
            // Peace: what is still dark breaks for good, and the client is wanted.
            for wire in self.wires.values_mut() {
                wire.blocked_until = 0;
            }
            self.client.connect(now);
            if self.client.state().uid != self.login {
                self.client.reconnect(now);
            }
            return;
        }
        let current = self
            .wires
            .iter()
            .rev()
            .find(|(_, wire)| !wire.client_done)
            .map(|(connection, _)| *connection);
        let kind = self.chance.between(0, 13);
        self.say(|| format!("trouble {kind} on {current:?}"));
        match (kind, current) {
            (0..=3, Some(connection)) => self.cut(connection),
            (4, Some(connection)) => self.wires.get_mut(&connection).unwrap().dark = true,
            (5, Some(connection)) => {
                let until = self.now + self.chance.between(100, 9_000);
                self.wires.get_mut(&connection).unwrap().blocked_until = until;
                self.at(until, Happening::Write(connection));
            }
            (6, _) => self.client.break_connection(true, now),
            (7, _) => self.client.break_connection(false, now),
            (8, _) => {
                self.client.reconnect(now);
            }
            (9, _) if self.chance.one_in(3) => {
                self.ledger.expected_hole();
                self.ledger.totals.users_changed += 1;
                let users = ["alice", "bob", ""];
                self.login = Uid::parse(users[self.chance.between(0, 2) as usize]).ok();
                if self.chance.one_in(2) {
                    self.client.reconnect(now);
                } else if let Some(connection) = current {
                    self.cut(connection);
                }
            }
            (10, _) if self.chance.one_in(3) => {
                self.ledger.expected_hole();
                self.client.disconnect(now);
            }
            (11, _) => self.client.probe(now),
            (12, Some(connection)) => self.ask_to_move(connection),
            _ => self.client.connect(now),
        }
        let next = self.now + self.chance.between(50, 8_000);
        self.at(next, Happening::Trouble);
    }

    /// A reset: what is under way is lost, and each end learns of it in its own time.
    pub(super) fn cut(&mut self, connection: u64) {
        self.wires.get_mut(&connection).unwrap().dark = true;
        let (server, client) = (
            self.now + self.chance.between(0, 3_000),
            self.now + self.chance.between(0, 3_000),
        );
        self.at(server, Happening::ServerSeesEnd(connection));
        self.at(
            client,
            Happening::ClientSeesEnd(connection, TransportClose::default()),
        );
    }

    pub(super) fn ask_to_move(&mut self, connection: u64) {
        let Some((id, link)) = self.wires[&connection].home.clone() else {
            return;
        };
        let (session, _) = self.node.homes.get_mut(&id).unwrap();
        if session.link() == Some(link) {
            self.ledger.totals.moved += 1;
            session.bye(
                CloseCode::MOVE,
                "drain",
                self.chance.between(0, 500),
                self.chance.between(0, 2_000),
            );
            self.server_writes(connection);
        }
    }
}
