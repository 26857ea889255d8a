//! A tab: the client's half with its own clock, its connections, and the application that uses it.

use crate::chance::Chance;
use crate::web::Proxy;
use crate::wire::Wire;
use crate::world::{Happening, World};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use tengen_protocol::client::poll::{HttpAnswer, Poll};
use tengen_protocol::client::{
    Action, Event, Options, SendOptions, Session, Source, TransportClose,
};
use tengen_protocol::{Data, ErrorCode, EventId, Millis, Transport, Uid, Value};

pub(crate) struct Tab {
    pub(crate) client: Session,
    /// Whose cookie the browser holds.
    pub(crate) login: Option<Uid>,
    /// The wires of its connections, by the client's own number.
    pub(crate) wires: BTreeMap<u64, u64>,
    pub(crate) polls: BTreeMap<u64, Poll>,
    /// Connections that go deaf and dumb for a test.
    pub(crate) muted: BTreeSet<u64>,
    /// What stands between it and the nodes does to WebSockets.
    pub(crate) proxy: Proxy,
    pub(crate) options: Options,
    tick_at: Option<u64>,
    pub(crate) codec: tengen_protocol::Codec,
    clock: Clock,
}

/// A clock of one's own: it begins anywhere, and runs a little fast or slow.
struct Clock {
    begin: u64,
    /// Millionths by which it runs fast.
    skew: i64,
}

impl Clock {
    fn read(&self, now: u64) -> Millis {
        let drift = now as i64 * self.skew / 1_000_000;
        Millis(self.begin + now.saturating_add_signed(drift))
    }

    /// When this clock will show `at`, or a little later.
    fn when(&self, at: Millis) -> u64 {
        let at = i128::from(at.0.saturating_sub(self.begin));
        (at * 1_000_000 / (1_000_000 + i128::from(self.skew))) as u64 + 1
    }
}

/// Something reaches a tab.
#[derive(Debug)]
pub(crate) enum ForTab {
    Opened(u64),
    /// To the tab it looks open; nothing passes.
    OpenedDark(u64),
    Frame(u64, Bytes),
    SeesEnd(u64, TransportClose),
    Http(u64, Result<HttpAnswer, String>),
    Asked(u64, Result<(u16, Option<ErrorCode>), String>),
    Tick,
}

impl Tab {
    pub(crate) fn new(options: Options, seed: u64, login: Option<Uid>, chance: &mut Chance) -> Tab {
        Tab {
            codec: options.codec,
            client: Session::new(options.clone(), seed),
            options,
            polls: BTreeMap::new(),
            muted: BTreeSet::new(),
            proxy: Proxy::draw(chance),
            login,
            wires: BTreeMap::new(),
            tick_at: None,
            clock: Clock {
                begin: chance.between(1, 1 << 40),
                skew: chance.between(0, 40_000) as i64 - 20_000,
            },
        }
    }

    pub(crate) fn now(&self, now: u64) -> Millis {
        self.clock.read(now)
    }
}

impl World {
    pub(crate) fn tab_happens(&mut self, tab: usize, what: ForTab) {
        let now = self.tabs[tab].now(self.now);
        let client = &mut self.tabs[tab].client;
        match what {
            ForTab::Opened(wire) => {
                if let Some(connection) = alive(&self.wires, wire) {
                    client.opened(connection, now);
                }
            }
            ForTab::OpenedDark(wire) => {
                if let Some(wire) = self.wires.get(&wire).filter(|it| !it.client_done)
                    && let Some((_, connection)) = wire.tab
                {
                    client.opened(connection, now);
                }
            }
            ForTab::Frame(wire, frame) => {
                if let Some(connection) = alive(&self.wires, wire) {
                    self.ledger.pushes.heard(tab);
                    client.frame(connection, frame, now);
                }
            }
            ForTab::SeesEnd(wire, how) => {
                let Some(wire) = self.wires.get_mut(&wire).filter(|it| !it.client_done) else {
                    return;
                };
                wire.client_done = true;
                let Some((_, connection)) = wire.tab else {
                    return;
                };
                client.closed(connection, &how, now);
                self.say(|| format!("tab {tab} sees the end of {connection}: {how:?}"));
            }
            ForTab::Http(http, answer) => self.http_answered(tab, http, answer),
            ForTab::Asked(connection, answer) => client.asked(connection, answer, now),
            ForTab::Tick => {
                if self.tabs[tab].tick_at.is_some_and(|at| at <= self.now) {
                    self.tabs[tab].tick_at = None;
                    self.tabs[tab].client.tick(now);
                }
            }
        }
        self.carry_out(tab);
    }

    /// Does what the client asks for, until it asks for nothing.
    pub(crate) fn carry_out(&mut self, tab: usize) {
        while let Some(action) = self.tabs[tab].client.poll() {
            match action {
                Action::Ask { connection } => self.tab_asks(tab, connection),
                Action::Open {
                    connection,
                    transport: Transport::Poll,
                    ..
                } => {
                    let it = &mut self.tabs[tab];
                    it.polls
                        .insert(connection, Poll::new(connection, &it.options));
                    it.client.opened(connection, it.now(self.now));
                }
                Action::Open { connection, .. } => self.open(tab, connection),
                Action::Write {
                    connection,
                    frame,
                    position,
                } => match self.tabs[tab].polls.get_mut(&connection) {
                    Some(poll) => poll.write(frame, position),
                    None => self.tab_writes(tab, connection, frame),
                },
                Action::Close { connection, .. }
                    if self.tabs[tab].polls.contains_key(&connection) =>
                {
                    let it = &mut self.tabs[tab];
                    if it.muted.contains(&connection) {
                        it.polls.remove(&connection);
                    } else if let Some(poll) = it.polls.get_mut(&connection) {
                        poll.close();
                    }
                }
                Action::Abort { connection }
                    if self.tabs[tab].polls.remove(&connection).is_some() => {}
                Action::Close { connection, .. } | Action::Abort { connection } => {
                    self.tab_closes(tab, connection);
                }
                Action::Mute { connection } if self.tabs[tab].polls.contains_key(&connection) => {
                    self.tabs[tab].muted.insert(connection);
                }
                Action::Mute { connection } => {
                    let wire = self.tabs[tab].wires[&connection];
                    self.wires.get_mut(&wire).unwrap().dark = true;
                }
                Action::Event(event) => self.tab_hears(tab, &event),
                Action::Resolved { token, outcome } => {
                    self.say(|| format!("tab {tab} resolved {token:?}: {outcome:?}"));
                    let session = self.tabs[tab].client.state().session.clone();
                    let called_dead = matches!(&outcome, Err(failure)
                        if failure.refusal.as_ref().is_some_and(|it| it.code == ErrorCode::CLOSED));
                    assert!(
                        !called_dead || !self.plan.is_gentle() || self.excused.contains(&tab),
                        "a request of tab {tab} was called lost though its node lives"
                    );
                    let (items, totals) = (&mut self.ledger.items, &mut self.ledger.totals);
                    items.resolved((tab, token), session, outcome, self.now, totals);
                }
                Action::State { old, new } => {
                    self.say(|| format!("tab {tab} state {new:?}"));
                    let greeted = new.open && (!old.open || old.session != new.session);
                    if greeted && !new.resumed {
                        let client = self.tabs[tab].client.client().clone();
                        let now = self.now;
                        let pushes = &mut self.ledger.pushes;
                        pushes.opened_fresh(tab, new.uid.as_ref(), &client, now);
                    }
                }
            }
        }
        if self.begin_exchanges(tab) {
            return self.carry_out(tab);
        }
        self.set_alarm(tab);
    }

    fn set_alarm(&mut self, tab: usize) {
        let state = &self.tabs[tab];
        let polls = state.polls.values().filter_map(Poll::next_timeout);
        let wanted = state.client.next_timeout().into_iter().chain(polls).min();
        let wanted = wanted.map(|at| state.clock.when(at).max(self.now));
        let Some(at) = wanted.filter(|_| wanted != state.tick_at) else {
            return;
        };
        self.tabs[tab].tick_at = wanted;
        let late = if self.is_hostile() && self.plan.moving && self.chance.one_in(40) {
            self.chance.between(1, 30_000)
        } else {
            0
        };
        self.at(at + late, Happening::Tab(tab, ForTab::Tick));
    }

    fn open(&mut self, tab: usize, connection: u64) {
        let hostile = self.is_hostile();
        let Some(node) = self.balance() else {
            let how = TransportClose {
                error: Some("connection refused".into()),
                ..TransportClose::default()
            };
            let wire = self.new_wire(tab, connection, (0, 0));
            return self.at(
                self.now + 1,
                Happening::Tab(tab, ForTab::SeesEnd(wire, how)),
            );
        };
        let wire = self.new_wire(tab, connection, node);
        let at = self
            .wires
            .get_mut(&wire)
            .unwrap()
            .up(self.now, &mut self.chance);
        match self.chance.between(0, 19) {
            _ if hostile && self.hindered(tab, wire, at) => {}
            0 if hostile && self.plan.moving => self.wires.get_mut(&wire).unwrap().dark = true,
            1 if hostile && self.plan.moving => {
                let how = TransportClose {
                    refused: Some((502, None)),
                    ..TransportClose::default()
                };
                self.at(at, Happening::Tab(tab, ForTab::SeesEnd(wire, how)));
            }
            _ => self.at(at, Happening::Tab(tab, ForTab::Opened(wire))),
        }
    }

    fn new_wire(&mut self, tab: usize, connection: u64, node: (usize, u32)) -> u64 {
        let login = self.tabs[tab].login.clone();
        let codec = self.tabs[tab].codec;
        let latency = self.plan.link_latency;
        let wire = Wire::new(Some((tab, connection)), node, login, codec, latency);
        let number = self.add_wire(wire);
        self.tabs[tab].wires.insert(connection, number);
        number
    }

    fn tab_writes(&mut self, tab: usize, connection: u64, frame: Bytes) {
        let number = self.tabs[tab].wires[&connection];
        let wire = self.wires.get_mut(&number).unwrap();
        assert!(!wire.client_done, "wrote to a connection that is closed");
        let at = wire.up(self.now, &mut self.chance);
        self.sends_to_node(at, number, Some(frame));
    }

    fn tab_closes(&mut self, tab: usize, connection: u64) {
        let number = self.tabs[tab].wires[&connection];
        let wire = self.wires.get_mut(&number).unwrap();
        let at = wire.up(self.now, &mut self.chance);
        wire.client_done = true;
        if !wire.dark {
            self.sends_to_node(at, number, None);
        }
    }

    fn tab_hears(&mut self, tab: usize, event: &Event) {
        self.say(|| format!("tab {tab} event {} {:?}", event.id, event.data.value()));
        let totals = &mut self.ledger.totals;
        match (event.source, event.id.as_str()) {
            (Source::Push, _) => {
                let Ok(Value::Array(both)) = event.data.value() else {
                    panic!("not one of our pushes: {event:?}")
                };
                let [Value::Int(by), Value::Int(n)] = &both[..] else {
                    panic!("not one of our pushes: {event:?}")
                };
                let name = (*by as usize, *n as u64);
                self.ledger.pushes.saw(tab, name, self.now, totals);
            }
            (Source::Library, EventId::GAP) => {
                let reason = text(&event.data, "reason");
                assert_ne!(reason, "drift", "tab {tab}: the two ends disagree");
                assert!(
                    !self.plan.is_gentle() || self.excused.contains(&tab),
                    "tab {tab} was told of a gap ({reason}) though nothing can have been lost"
                );
                totals.loosely_told += u64::from(self.plan.is_only_loose());
                self.ledger.pushes.gap(tab, self.now, totals);
            }
            (Source::Library, EventId::ERROR) => {
                let known = self.ledger.items.is_about_unacceptable(&event.data);
                assert!(
                    known,
                    "an honest conversation has errors: {:?}",
                    event.data.value()
                );
            }
            _ => {}
        }
    }

    /// The application sends something.
    pub(crate) fn tab_sends(&mut self, tab: usize) {
        let unacceptable = self.chance.one_in(12);
        let patience = [None, Some(0), Some(5), Some(500), Some(20_000)];
        let buffered = !self.chance.one_in(5);
        let options = SendOptions {
            buffered,
            timeout_ms: self.chance.one_of(&patience),
        };
        let request = self.chance.one_in(2);
        self.tab_says(tab, unacceptable, options, request);
    }

    /// The application sends an item, and the ledger numbers it.
    pub(crate) fn tab_says(
        &mut self,
        tab: usize,
        unacceptable: bool,
        options: SendOptions,
        request: bool,
    ) -> u64 {
        let n = self.ledger.items.next();
        let codec = self.tabs[tab].codec;
        let mut value = Value::Int(n.into());
        if unacceptable {
            // Deeper than the server reads.
            for _ in 0..80 {
                value = Value::Array(vec![value]);
            }
        }
        let data = Data::from_value(codec, &value).unwrap();
        let now = self.tabs[tab].now(self.now);
        let client = &mut self.tabs[tab].client;
        let state = client.state();
        let typed_as = state.ever_opened.then(|| state.uid.clone());
        let token = if request {
            client.request(EventId::parse("t/echo").unwrap(), data, options, now)
        } else {
            client.send(EventId::parse("t/note").unwrap(), data, options, now)
        };
        // Its clock may be a little fast.
        let patience = options.timeout_ms.unwrap_or(5_000) * 9 / 10;
        let waits_until = match options.buffered {
            true => self.now + patience,
            false => 0,
        };
        self.say(|| format!("tab {tab} says item {n} as {token:?}"));
        let items = &mut self.ledger.items;
        items.send(
            n,
            (tab, token),
            typed_as,
            (request, waits_until),
            unacceptable,
        );
        self.carry_out(tab);
        n
    }
}

fn alive(wires: &BTreeMap<u64, Wire>, wire: u64) -> Option<u64> {
    let wire = wires.get(&wire).filter(|it| !it.dark && !it.client_done)?;
    wire.tab.map(|(_, connection)| connection)
}

fn text(data: &Data, key: &str) -> String {
    let Ok(Value::Map(entries)) = data.value() else {
        return String::new();
    };
    let found = entries
        .into_iter()
        .find_map(|(name, value)| match (name, value) {
            (Value::Text(name), Value::Text(value)) if name == key => Some(value),
            _ => None,
        });
    found.unwrap_or_default()
}
