//! What people, the network and the machines do to the conversation.

use crate::node::ForNode;
use crate::plan::HOSTILE_MS;
use crate::tab::ForTab;
use crate::wire::Wire;
use crate::world::{Happening, World};
use crate::{bus::Message, plan::BEGIN};
use tengen_protocol::client::{CloseReason, TransportClose};
use tengen_protocol::{ClientFrame, ClientHello, CloseCode, Uid};

/// What makes a trouble end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mend {
    Restart(usize),
    BusBack(usize),
}

impl World {
    pub(crate) fn traffic(&mut self) {
        if !self.is_hostile() {
            return;
        }
        for _ in 0..self.chance.between(1, 6) {
            if self.chance.one_in(2) {
                self.push_something();
            } else {
                let tab = self.some_tab();
                self.tab_sends(tab);
            }
        }
        let pause = if self.chance.one_in(30) { 8_000 } else { 300 };
        let next = self.now + self.chance.between(1, pause);
        self.at(next, Happening::Traffic);
    }

    fn some_tab(&mut self) -> usize {
        self.chance.between(0, self.tabs.len() as u64 - 1) as usize
    }

    pub(crate) fn trouble(&mut self) {
        if !self.is_hostile() {
            return self.peace();
        }
        let kind = self.chance.between(0, 19);
        self.say(|| format!("trouble {kind}"));
        match kind {
            0..=9 if self.plan.moving => self.move_a_tab(kind),
            10..=12 if self.plan.people => self.somebody_acts(kind),
            13..=14 if self.plan.node_faults => self.a_node_fails(kind),
            15..=16 if self.plan.bus_faults => self.the_bus_fails(),
            17 if self.plan.slow => self.block_a_reader(),
            18 if self.plan.people => self.usurp(),
            _ => {}
        }
        let next = self.now + self.chance.between(50, 2_500);
        self.at(next, Happening::Trouble);
    }

    fn move_a_tab(&mut self, kind: u64) {
        let tab = self.some_tab();
        let now = self.tabs[tab].now(self.now);
        let wire = self.current_wire(tab);
        match (kind, wire) {
            (0..=3, Some(wire)) => self.cut(wire),
            (4, Some(wire)) => self.wires.get_mut(&wire).unwrap().dark = true,
            (5, _) => self.tabs[tab].client.break_connection(true, now),
            (6, _) if self.chance.one_in(2) => {
                self.tabs[tab].client.break_connection(false, now);
            }
            (7, _) => self.tabs[tab].client.reconnect(now),
            (8, Some(wire)) => self.ask_to_move(wire),
            (9, _) => self.tabs[tab].client.probe(now),
            _ => {}
        }
        self.carry_out(tab);
    }

    /// A client whose session is being taken goes to yet another node.
    pub(crate) fn moves_on(&mut self, tab: usize) {
        if self.is_hostile() {
            let now = self.tabs[tab].now(self.now);
            self.tabs[tab].client.reconnect(now);
            self.carry_out(tab);
        }
    }

    fn somebody_acts(&mut self, kind: u64) {
        let tab = self.some_tab();
        let now = self.tabs[tab].now(self.now);
        match kind {
            10 => {
                self.ledger.pushes.left(tab);
                self.ledger.totals.users_changed += 1;
                let name = self.chance.one_of(&["alice", "bob", ""]);
                self.tabs[tab].login = Uid::parse(name).ok();
                if self.chance.one_in(2) {
                    self.tabs[tab].client.reconnect(now);
                } else if let Some(wire) = self.current_wire(tab) {
                    self.cut(wire);
                }
            }
            11 => {
                self.ledger.pushes.left(tab);
                self.tabs[tab].client.disconnect(now);
            }
            _ if self.chance.one_in(3) => {
                if let Some(uid) = self.tabs[tab].login.clone() {
                    for (tab, it) in self.tabs.iter().enumerate() {
                        if it.login.as_ref() == Some(&uid) {
                            self.ledger.pushes.left(tab);
                        }
                    }
                    let from = self.bus.listeners(&crate::bus::Audience::AllNodes);
                    if let Some(from) = from.into_iter().find(|peer| self.bus.is_up(*peer)) {
                        self.send(from, Message::Kick(uid));
                    }
                }
            }
            _ => self.tabs[tab].client.connect(now),
        }
        self.carry_out(tab);
    }

    fn a_node_fails(&mut self, kind: u64) {
        let node = self.chance.between(0, self.nodes.len() as u64 - 1) as usize;
        if !self.nodes[node].alive || self.nodes[node].paused_until > self.now {
            return;
        }
        let end = BEGIN + HOSTILE_MS;
        let until = (self.now + self.chance.between(200, 12_000)).min(end);
        if kind == 13 {
            return self.dies_until(node, until);
        }
        self.say(|| format!("node {node} pauses until {until}"));
        self.nodes[node].paused_until = until;
        self.ledger.totals.paused += 1;
    }

    fn dies_until(&mut self, node: usize, until: u64) {
        self.crash_node(node);
        self.ledger.totals.crashed += 1;
        self.at(until, Happening::Mend(Mend::Restart(node)));
    }

    /// A holder dies between its parts and its yes.
    pub(crate) fn dies(&mut self, (node, life): (usize, u32)) {
        let it = &self.nodes[node];
        if it.alive && it.life == life && self.is_hostile() {
            let until = self.now + self.haste.between(200, 5_000);
            self.dies_until(node, until.min(BEGIN + HOSTILE_MS));
        }
    }

    fn the_bus_fails(&mut self) {
        let peers = self.nodes.len() + self.plan.publishers;
        let peer = self.chance.between(0, peers as u64 - 1) as usize;
        if !self.bus.is_up(peer) {
            return;
        }
        let until = self.now + self.chance.between(50, 6_000);
        self.is_gone_until(peer, until);
    }

    fn is_gone_until(&mut self, peer: usize, until: u64) {
        self.say(|| format!("the bus is gone for {peer} until {until}"));
        self.ledger.totals.bus_cuts += 1;
        self.bus.cut(peer);
        if peer < self.nodes.len() {
            self.bus_lost(peer);
        }
        let until = until.min(BEGIN + HOSTILE_MS);
        self.at(until, Happening::Mend(Mend::BusBack(peer)));
    }

    /// A holder is cut off between its parts and its yes; its clients are not.
    pub(crate) fn is_cut_off(&mut self, (node, life): (usize, u32)) {
        let it = &self.nodes[node];
        let here = it.alive && it.life == life && it.paused_until <= self.now;
        if here && self.bus.is_up(node) && self.is_hostile() {
            let until = self.now + self.haste.between(50, 4_000);
            self.is_gone_until(node, until);
        }
    }

    pub(crate) fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Restart(node) => self.start_node(node),
            Mend::BusBack(peer) => {
                let dead = self.nodes.get(peer).is_some_and(|node| !node.alive);
                if self.bus.is_up(peer) || dead {
                    return;
                }
                self.bus.restore(peer);
                if peer < self.nodes.len() {
                    self.confirm_interest(peer);
                }
            }
        }
    }

    fn block_a_reader(&mut self) {
        let tab = self.some_tab();
        if let Some(wire) = self.current_wire(tab) {
            let until = self.now + self.chance.between(100, 9_000);
            let it = self.wires.get_mut(&wire).unwrap();
            it.blocked_until = until;
            let node = it.node;
            self.at(until, Happening::Node(node, ForNode::Write(wire)));
        }
    }

    /// Somebody with the same credentials goes on with a tab's session: a copy of the tab.
    fn usurp(&mut self) {
        let tab = self.some_tab();
        let received = self.tabs[tab].client.received();
        self.goes_on_for(tab, received);
    }

    /// Says a hello for a tab's session, as who has `received` so many of its items.
    pub(crate) fn goes_on_for(&mut self, tab: usize, received: u64) {
        let state = self.tabs[tab].client.state();
        let Some(session) = state.session.clone().filter(|_| state.open) else {
            return;
        };
        let Some(number) = self.current_wire(tab) else {
            return;
        };
        let Some(node) = self.balance() else { return };
        let uid = self.wires[&number].uid.clone();
        let codec = self.wires[&number].codec;
        let latency = self.plan.link_latency;
        let hello = ClientHello {
            client: self.tabs[tab].client.client().clone(),
            attempt: 1 << 20,
            session: Some(session.clone()),
            received: Some(received),
            params: None,
        };
        self.excuse(&session);
        self.ledger.totals.usurped += 1;
        let wire = self.add_wire(Wire::new(None, node, uid, codec, latency));
        let frame = ClientFrame::Hello(hello).encode(codec);
        let at = self.now + self.chance.between(0, latency);
        self.sends_to_node(at, wire, Some(frame));
        let gone = at + self.chance.between(1, 5_000);
        self.sends_to_node(gone, wire, None);
    }

    /// Whoever was sent away, and has heard of it only now, comes back.
    pub(crate) fn come_back(&mut self) {
        for tab in 0..self.tabs.len() {
            let state = self.tabs[tab].client.state();
            let kicked = state
                .last_close
                .as_ref()
                .is_some_and(|last| last.reason == CloseReason::Kicked);
            // Or the next hello was refused with it.
            let refused = format!("{} ", CloseCode::KICKED.0);
            let refused = state
                .last_error
                .as_ref()
                .is_some_and(|last| last.text.contains(&refused));
            let stays_away = !state.open && state.next_reconnect_at.is_none();
            if stays_away && (kicked || refused) {
                let now = self.tabs[tab].now(self.now);
                self.tabs[tab].client.connect(now);
                self.carry_out(tab);
            }
        }
    }

    /// From now on nothing breaks any more, and everybody is wanted again.
    fn peace(&mut self) {
        for wire in self.wires.values_mut() {
            wire.blocked_until = 0;
        }
        for tab in 0..self.tabs.len() {
            let now = self.tabs[tab].now(self.now);
            self.tabs[tab].client.connect(now);
            if self.tabs[tab].client.state().uid != self.tabs[tab].login {
                self.ledger.pushes.left(tab);
                self.tabs[tab].client.reconnect(now);
            }
            self.carry_out(tab);
        }
    }

    /// The newest connection of a tab that it has not closed.
    pub(crate) fn current_wire(&self, tab: usize) -> Option<u64> {
        let wires = self.tabs[tab].wires.values().rev();
        wires.copied().find(|wire| !self.wires[wire].client_done)
    }

    /// A reset: what is under way is lost, and each end learns of it in its own time.
    pub(crate) fn cut(&mut self, number: u64) {
        let wire = self.wires.get_mut(&number).unwrap();
        wire.dark = true;
        let (node, tab) = (wire.node, wire.tab);
        let server = self.now + self.chance.between(0, 3_000);
        let client = self.now + self.chance.between(0, 3_000);
        self.at(server, Happening::Node(node, ForNode::Frame(number, None)));
        if let Some((tab, _)) = tab {
            let how = TransportClose::default();
            self.at(client, Happening::Tab(tab, ForTab::SeesEnd(number, how)));
        }
    }

    fn ask_to_move(&mut self, number: u64) {
        let wire = &self.wires[&number];
        let Some((id, link)) = wire.home.clone() else {
            return;
        };
        let node = wire.node.0;
        let after = self.chance.between(0, 500);
        let window = self.chance.between(0, 2_000);
        let Some(home) = self.nodes[node].homes.get_mut(&id) else {
            return;
        };
        if home.session.link() == Some(link) {
            self.ledger.totals.moved += 1;
            home.session.bye(CloseCode::MOVE, "drain", after, window);
            self.server_writes(number);
        }
    }
}
