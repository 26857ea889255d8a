//! Virtual time: what happens when, to the client, the wire and the node.

mod serving;
mod trouble;

use super::chance::Chance;
use super::ledger::{Ledger, Totals};
use super::node::Node;
use super::wire::Wire;
use bytes::Bytes;
use std::collections::BTreeMap;
use tengen_protocol::client::{
    Action, Event, Options, Session, Source, TransportChoice, TransportClose,
};
use tengen_protocol::server::Bounds;
use tengen_protocol::{Codec, Data, EventId, Millis, SessionId, Uid, Value};

/// How long the world is hostile, and how long it then may take to settle.
const HOSTILE_MS: u64 = 25_000;
const SETTLE_MS: u64 = 100_000;

enum Happening {
    Opened(u64),
    ToServer(u64, Bytes),
    ToClient(u64, Bytes),
    ServerSeesEnd(u64),
    ClientSeesEnd(u64, TransportClose),
    Returned(SessionId, u64),
    Reply(SessionId, u32, u64),
    Write(u64),
    Pump(u64),
    Tick,
    Sweep,
    Traffic,
    Trouble,
}

pub(crate) struct World {
    log: bool,
    chance: Chance,
    now: u64,
    order: u64,
    agenda: BTreeMap<(u64, u64), Happening>,
    client: Session,
    tick_at: Option<u64>,
    wires: BTreeMap<u64, Wire>,
    node: Node,
    ledger: Ledger,
    login: Option<Uid>,
    latency: u64,
    items: u64,
    ids: [EventId; 2],
}

impl World {
    pub(crate) fn new(seed: u64, log: bool) -> World {
        let mut chance = Chance::new(seed);
        let codec = if chance.one_in(2) {
            Codec::Cbor
        } else {
            Codec::Json
        };
        let bounds = Bounds {
            // Small enough for slow consumers and full inboxes to happen.
            max_queue_bytes: if chance.one_in(3) { 2_000 } else { 200_000 },
            inbox_items: chance.between(2, 20) as usize,
            ack_items: chance.between(2, 32),
            ..Bounds::default()
        };
        let options = Options {
            codec,
            window_items: chance.between(3, 300),
            ack_items: chance.between(2, 32),
            transport: TransportChoice::Ws,
            ..Options::default()
        };
        let latency = *[2, 20, 300].get(chance.between(0, 2) as usize).unwrap();
        World {
            log,
            now: 1_000,
            order: 0,
            agenda: BTreeMap::new(),
            client: Session::new(options, seed),
            tick_at: None,
            wires: BTreeMap::new(),
            node: Node::new(bounds, codec),
            ledger: Ledger::new(),
            login: Uid::parse("alice").ok(),
            latency,
            items: 0,
            ids: ["t/note", "t/echo"].map(|id| EventId::parse(id).unwrap()),
            chance,
        }
    }

    pub(crate) fn run(mut self) -> Totals {
        for first in [Happening::Sweep, Happening::Traffic, Happening::Trouble] {
            self.at(self.now, first);
        }
        self.client.connect(Millis(self.now));
        let end = self.now + HOSTILE_MS + SETTLE_MS;
        loop {
            self.carry_out();
            let Some(((at, _), happening)) = self.agenda.pop_first() else {
                break;
            };
            if at > end {
                break;
            }
            self.now = at;
            self.happen(happening);
        }
        let state = self.client.state();
        assert!(state.open, "the client is not back: {state:?}");
        assert_eq!(state.uid, self.login);
        let uid = state.uid.clone();
        self.ledger.settle(&uid);
        let session = self.client.state().session.clone().unwrap();
        let (home, _) = &self.node.homes[&session];
        assert_eq!(
            (
                home.queue_items(),
                home.queue_bytes(),
                home.outstanding(),
                home.inbox_items()
            ),
            (0, 0, 0, 0)
        );
        self.ledger.totals
    }

    fn hostile(&self) -> bool {
        self.now < 1_000 + HOSTILE_MS
    }

    fn at(&mut self, at: u64, happening: Happening) {
        self.order += 1;
        self.agenda.insert((at, self.order), happening);
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.log {
            println!("{:>7} {}", self.now, what());
        }
    }

    fn happen(&mut self, happening: Happening) {
        let now = Millis(self.now);
        match happening {
            Happening::Opened(connection) => {
                if self
                    .wires
                    .get(&connection)
                    .is_some_and(|wire| !wire.dark && !wire.client_done)
                {
                    self.client.opened(connection, now);
                }
            }
            Happening::ToServer(connection, frame) => self.server_reads(connection, frame),
            Happening::ToClient(connection, frame) => {
                if self
                    .wires
                    .get(&connection)
                    .is_some_and(|wire| !wire.dark && !wire.client_done)
                {
                    self.client.frame(connection, frame, now);
                }
            }
            Happening::ServerSeesEnd(connection) => self.server_end(connection),
            Happening::ClientSeesEnd(connection, how) => {
                if let Some(wire) = self
                    .wires
                    .get_mut(&connection)
                    .filter(|wire| !wire.client_done)
                {
                    wire.client_done = true;
                    self.say(|| format!("client sees end of {connection}: {how:?}"));
                    self.client.closed(connection, &how, now);
                }
            }
            Happening::Returned(id, position) => self.returned(&id, position),
            Happening::Reply(id, request, n) => {
                let data = Data::from_value(self.node.codec, &Value::Int(n.into())).unwrap();
                if let Some((session, speaks)) = self.node.homes.get_mut(&id) {
                    session.reply(request, Ok(data), &self.node.bounds);
                    let speaks = *speaks;
                    self.server_writes_soon(speaks);
                }
            }
            Happening::Write(connection) => self.server_writes(connection),
            Happening::Pump(connection) => self.pump(connection),
            Happening::Tick => {
                if self.tick_at.is_some_and(|at| at <= self.now) {
                    self.tick_at = None;
                    self.client.tick(now);
                }
            }
            Happening::Sweep => self.sweep(),
            Happening::Traffic => self.traffic(),
            Happening::Trouble => self.trouble(),
        }
    }

    fn carry_out(&mut self) {
        while let Some(action) = self.client.poll() {
            match action {
                Action::Open { connection, .. } => self.open(connection),
                Action::Write {
                    connection, frame, ..
                } => {
                    let wire = self.wires.get_mut(&connection).unwrap();
                    assert!(!wire.client_done, "wrote to a connection that is closed");
                    let at = wire.up(self.now, &mut self.chance);
                    self.at(at, Happening::ToServer(connection, frame));
                }
                Action::Close { connection, .. } | Action::Abort { connection } => {
                    let wire = self.wires.get_mut(&connection).unwrap();
                    let at = wire.up(self.now, &mut self.chance);
                    wire.client_done = true;
                    if !wire.dark {
                        self.at(at, Happening::ServerSeesEnd(connection));
                    }
                }
                Action::Ask { .. } => {}
                Action::Mute { connection } => self.wires.get_mut(&connection).unwrap().dark = true,
                Action::Event(event) => self.event(&event),
                Action::Resolved { token, outcome } => {
                    self.say(|| format!("resolved {token:?}: {outcome:?}"));
                    self.ledger.resolved(token, outcome);
                }
                Action::State { new, .. } => self.say(|| format!("state {new:?}")),
            }
        }
        let wanted = self.client.next_timeout().map(|at| at.0.max(self.now));
        let Some(at) = wanted.filter(|_| wanted != self.tick_at) else {
            return;
        };
        self.tick_at = wanted;
        let late = if self.hostile() && self.chance.one_in(20) {
            self.chance.between(1, 40_000)
        } else {
            0
        };
        self.at(at + late, Happening::Tick);
    }

    fn open(&mut self, connection: u64) {
        let mut wire = Wire::new(self.login.clone(), self.latency);
        let at = wire.up(self.now, &mut self.chance);
        self.wires.insert(connection, wire);
        match self.chance.between(0, 9) {
            0 if self.hostile() => self.wires.get_mut(&connection).unwrap().dark = true,
            1 if self.hostile() => {
                let how = TransportClose {
                    refused: Some((502, None)),
                    ..TransportClose::default()
                };
                self.at(at, Happening::ClientSeesEnd(connection, how));
            }
            _ => self.at(at, Happening::Opened(connection)),
        }
    }

    fn event(&mut self, event: &Event) {
        self.say(|| format!("event {} {:?}", event.id, event.data.value()));
        match (event.source, event.id.as_str()) {
            (Source::Push, _) => {
                let Ok(Value::Array(both)) = event.data.value() else {
                    panic!("not one of our pushes: {event:?}")
                };
                let [Value::Int(n), Value::Text(to)] = &both[..] else {
                    panic!("not one of our pushes: {event:?}")
                };
                self.ledger
                    .saw_push(*n as u64, &Uid::parse(to).ok(), &self.client.state().uid);
            }
            (Source::Library, EventId::GAP) => {
                let drift = Value::Map(vec![(
                    Value::Text("reason".into()),
                    Value::Text("drift".into()),
                )]);
                assert_ne!(event.data.value().unwrap(), drift, "the two ends disagree");
                self.ledger.gap(self.now);
            }
            (Source::Library, EventId::ERROR) => panic!(
                "an honest conversation has errors: {:?}",
                event.data.value()
            ),
            _ => {}
        }
    }
}
