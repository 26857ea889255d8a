//! What odd worlds know besides: nodes that are behind, returns told to nobody, clients from the past, POSTs with a hole.
//!
//! They have a die of their own, so that every other world is what it is without them.

use crate::world::{Happening, World};
use tengen_protocol::client::poll::Exchange;
use tengen_protocol::{ClientFrame, Data, EventId, Value};

/// No client gets so far.
const BEYOND: u64 = 1 << 40;

impl World {
    pub(crate) fn something_odd(&mut self) {
        if !self.is_hostile() {
            return;
        }
        match self.oddity.between(0, 3) {
            0..=1 => self.a_node_falls_behind(),
            2 if self.plan.people => self.comes_from_the_past(),
            _ => {}
        }
        let next = self.now + self.oddity.between(200, 4_000);
        self.at(next, Happening::Oddity);
    }

    /// A node is busy: it takes its pushes, and its own fences among them, later than its peers,
    /// while it goes on to answer them and to hear what they forward.
    fn a_node_falls_behind(&mut self) {
        let node = self.oddity.between(0, self.nodes.len() as u64 - 1) as usize;
        let behind = match self.oddity.one_in(3) {
            true => self.oddity.between(3_000, 8_000),
            false => self.oddity.between(600, 3_000),
        };
        self.say(|| format!("node {node} is {behind} ms behind"));
        self.ledger.totals.lagged += 1;
        self.ingest_lags(node, self.now + behind);
    }

    /// Somebody with a tab's credentials, and a count of long ago.
    fn comes_from_the_past(&mut self) {
        let tab = self.oddity.between(0, self.tabs.len() as u64 - 1) as usize;
        let received = self.tabs[tab].client.received();
        if received > 0 {
            let received = self.oddity.between(0, received - 1);
            self.ledger.totals.came_from_the_past += 1;
            self.goes_on_for(tab, received);
        }
    }

    /// Whether nobody tells the new home of a session that a handler has returned.
    pub(crate) fn is_never_told(&mut self) -> bool {
        let lost = self.plan.odd && self.is_hostile() && !self.oddity.one_in(3);
        self.ledger.totals.returns_lost += u64::from(lost);
        lost
    }

    /// Of a POST that brings items, sometimes: another, whose item has nothing before it.
    pub(crate) fn with_a_hole(&mut self, tab: usize, exchange: &Exchange) -> Option<Exchange> {
        let brings = exchange.post && exchange.query.starts_with("first=");
        if !self.plan.odd || !brings || !self.oddity.one_in(8) {
            return None;
        }
        let codec = self.tabs[tab].codec;
        let n = self.ledger.items.forbid();
        self.ledger.totals.holes_posted += 1;
        let event = ClientFrame::Event {
            id: EventId::parse("t/item").unwrap(),
            data: Data::from_value(codec, &Value::Int(n.into())).unwrap(),
        };
        Some(Exchange {
            query: format!("first={BEYOND}"),
            body: event.encode(codec),
            ..exchange.clone()
        })
    }
}
