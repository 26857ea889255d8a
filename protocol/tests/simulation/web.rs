//! HTTP between a tab and the nodes: lost, stalled, repeated and refused on the way, and never twice to the same node on purpose.

use crate::chance::Chance;
use crate::node::ForNode;
use crate::tab::ForTab;
use crate::world::{Happening, World};
use bytes::Bytes;
use tengen_protocol::client::TransportClose;
use tengen_protocol::client::poll::{Exchange, HttpAnswer, PollEvent};
use tengen_protocol::{CloseCode, ErrorCode, Uid};

/// One copy of a request on its way; a proxy may make two of one.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    pub(crate) tab: usize,
    pub(crate) connection: u64,
    pub(crate) exchange: Exchange,
    pub(crate) node: (usize, u32),
    /// Whose cookie it carries.
    pub(crate) uid: Option<Uid>,
    /// What becomes of its answer.
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Arrives,
    /// The answer is lost, and the tab learns of it.
    Lost,
    /// Nobody waits for this copy's answer.
    Unheard,
    /// The answer comes very late.
    Stalls(u64),
}

/// What stands between a tab and the nodes, as far as WebSockets are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    None,
    Refuses,
    Swallows,
    Kills,
}

impl Proxy {
    pub(crate) fn draw(chance: &mut Chance) -> Proxy {
        match chance.between(0, 7) {
            0 => Proxy::Refuses,
            1 => Proxy::Swallows,
            2 => Proxy::Kills,
            _ => Proxy::None,
        }
    }
}

/// What a node says to a request.
pub(crate) struct Answered(pub(crate) HttpAnswer);

impl Answered {
    pub(crate) fn with(body: Vec<u8>) -> Answered {
        Answered(HttpAnswer {
            status: 200,
            body: body.into(),
            ..HttpAnswer::default()
        })
    }

    pub(crate) fn refused(status: u16, code: u32) -> Answered {
        Answered(HttpAnswer {
            status,
            tengen_error: Some(ErrorCode(code)),
            retry_after_ms: (status == 503).then_some(1_000),
            body: Bytes::new(),
        })
    }

    pub(crate) fn closed(code: CloseCode) -> Answered {
        let status = match code {
            CloseCode::SUPERSEDED => 409,
            _ if code.comes_back() => 503,
            _ => 403,
        };
        Answered::refused(status, code.0.into())
    }
}

impl World {
    /// Begins what the polls of a tab want to exchange; true if that changed something at once.
    pub(crate) fn begin_exchanges(&mut self, tab: usize) -> bool {
        let now = self.tabs[tab].now(self.now);
        let received = self.tabs[tab].client.received();
        let mut wanted = Vec::new();
        let it = &mut self.tabs[tab];
        for (connection, poll) in &mut it.polls {
            while let Some(exchange) = poll.next(received, now) {
                wanted.push((*connection, exchange));
            }
        }
        it.polls.retain(|_, poll| !poll.is_done());
        for (connection, exchange) in wanted {
            if !self.tabs[tab].muted.contains(&connection) {
                self.send_http(tab, connection, exchange);
            }
        }
        false
    }

    fn send_http(&mut self, tab: usize, connection: u64, exchange: Exchange) {
        let harsh = self.is_hostile() && self.plan.moving;
        let give_up = self.now + exchange.timeout_ms;
        let latency = self.plan.link_latency;
        let Some(node) = self.balance() else {
            let http = self.add_http(tab, connection, exchange, (0, 0), Fate::Lost);
            return self.tab_learns(http, self.now + 1, Err("connection refused".to_owned()));
        };
        let there = self.now + self.chance.between(0, latency);
        let fate = match self.chance.between(0, 39) {
            0 if harsh => {
                let http = self.add_http(tab, connection, exchange, node, Fate::Lost);
                return self.tab_learns(http, there, Err("reset".to_owned()));
            }
            1 if harsh => {
                // A proxy answers for a node.
                let http = self.add_http(tab, connection, exchange, node, Fate::Lost);
                let answer = HttpAnswer {
                    status: 502,
                    ..HttpAnswer::default()
                };
                return self.tab_learns(http, there, Ok(answer));
            }
            2 | 3 if harsh => Fate::Lost,
            4 | 5 if harsh => Fate::Stalls(self.chance.between(100, 9_000)),
            _ => Fate::Arrives,
        };
        if harsh && self.chance.one_in(15) {
            // A proxy repeats the request: the first copy is heard by a node, but not its answer.
            let other = self.repeats(tab, &exchange, node);
            let copy = self.add_http(tab, connection, exchange.clone(), other, Fate::Unheard);
            let at = self.now + self.chance.between(0, latency * 4 + 50);
            self.at(at, Happening::Node(other, ForNode::Http(copy)));
        }
        if harsh && let Some(exchange) = self.with_a_hole(tab, &exchange) {
            let copy = self.add_http(tab, connection, exchange, node, Fate::Unheard);
            let at = there + self.oddity.between(0, latency * 4 + 50);
            self.at(at, Happening::Node(node, ForNode::Http(copy)));
        }
        if harsh && self.chance.one_in(60) {
            // A copy that was held up somewhere comes when nobody remembers it.
            let other = self.repeats(tab, &exchange, node);
            let copy = self.add_http(tab, connection, exchange.clone(), other, Fate::Unheard);
            let at = self.now + self.chance.between(500, 12_000);
            self.at(at, Happening::Node(other, ForNode::Http(copy)));
        }
        let http = self.add_http(tab, connection, exchange, node, fate);
        self.at(there, Happening::Node(node, ForNode::Http(http)));
        self.tab_learns(http, give_up, Err("timeout".to_owned()));
    }

    /// To which node a proxy sends the copy. Two nodes that have the same hello at once compete for
    /// the session, and the loser may be the one that is heard: that is told by a gap.
    fn repeats(&mut self, tab: usize, exchange: &Exchange, node: (usize, u32)) -> (usize, u32) {
        let other = self.balance().unwrap_or(node);
        if exchange.post && exchange.query.is_empty() && other != node {
            self.excused.insert(tab);
        }
        other
    }

    fn add_http(
        &mut self,
        tab: usize,
        connection: u64,
        exchange: Exchange,
        node: (usize, u32),
        fate: Fate,
    ) -> u64 {
        self.nonces += 1;
        let http = Http {
            tab,
            connection,
            exchange,
            node,
            uid: self.tabs[tab].login.clone(),
            fate,
        };
        self.https.insert(self.nonces, http);
        self.nonces
    }

    /// A copy that was held up somewhere comes to where its original went; nobody hears the answer.
    pub(crate) fn comes_again(&mut self, http: Http) {
        self.nonces += 1;
        let (node, copy) = (http.node, self.nonces);
        let fate = Fate::Unheard;
        self.https.insert(copy, Http { fate, ..http });
        self.at(self.now, Happening::Node(node, ForNode::Http(copy)));
    }

    fn tab_learns(&mut self, http: u64, at: u64, answer: Result<HttpAnswer, String>) {
        let tab = self.https[&http].tab;
        self.at(at, Happening::Tab(tab, ForTab::Http(http, answer)));
    }

    /// A node answers.
    pub(crate) fn http_answer(&mut self, http: u64, answer: Answered) {
        let Some(it) = self.https.get(&http) else {
            return;
        };
        let latency = self.chance.between(0, self.plan.link_latency);
        let at = self.now + latency;
        self.say(|| format!("http {http} {:?} -> {:?}", it.exchange, answer.0));
        match it.fate {
            Fate::Arrives => self.tab_learns(http, at, Ok(answer.0)),
            Fate::Stalls(for_ms) => self.tab_learns(http, at + for_ms, Ok(answer.0)),
            Fate::Lost => self.tab_learns(http, at, Err("reset".to_owned())),
            Fate::Unheard => {}
        }
    }

    /// The node that had these requests is gone.
    pub(crate) fn reset_https(&mut self, node: (usize, u32)) {
        let lost: Vec<u64> = self
            .https
            .iter()
            .filter(|(_, http)| http.node == node && http.fate != Fate::Unheard)
            .map(|(number, _)| *number)
            .collect();
        for http in lost {
            let at = self.now + self.chance.between(0, 2_000);
            self.tab_learns(http, at, Err("reset".to_owned()));
        }
    }

    pub(crate) fn http_answered(
        &mut self,
        tab: usize,
        http: u64,
        answer: Result<HttpAnswer, String>,
    ) {
        let Some(it) = self.https.get(&http) else {
            return;
        };
        let (connection, exchange) = (it.connection, it.exchange.id);
        let held_up = matches!(it.fate, Fate::Unheard);
        if !held_up {
            self.https.remove(&http);
        }
        let now = self.tabs[tab].now(self.now);
        let it = &mut self.tabs[tab];
        if it.muted.contains(&connection) {
            return;
        }
        let Some(poll) = it.polls.get_mut(&connection) else {
            return;
        };
        for event in poll.answered(exchange, answer, now) {
            match event {
                PollEvent::Frame(frame) => it.client.frame(connection, frame, now),
                PollEvent::Heard => it.client.heard(connection, now),
                PollEvent::Closed(how) => {
                    it.client.closed(connection, &how, now);
                    it.polls.remove(&connection);
                    return;
                }
            }
        }
    }

    /// A plain GET, to learn why a WebSocket could not be opened.
    pub(crate) fn tab_asks(&mut self, tab: usize, connection: u64) {
        let at = self.now + self.chance.between(0, self.plan.link_latency * 2);
        let answer = match self.chance.one_in(5) {
            true => Err("reset".to_owned()),
            false => Ok((204, None)),
        };
        self.at(at, Happening::Tab(tab, ForTab::Asked(connection, answer)));
    }

    /// What the proxy before a tab does to a WebSocket; false if it lets it be.
    pub(crate) fn hindered(&mut self, tab: usize, wire: u64, at: u64) -> bool {
        let how = match self.tabs[tab].proxy {
            Proxy::None => return false,
            Proxy::Swallows => {
                self.wires.get_mut(&wire).unwrap().dark = true;
                self.at(at, Happening::Tab(tab, ForTab::OpenedDark(wire)));
                return true;
            }
            Proxy::Refuses => TransportClose {
                refused: Some((403, None)),
                ..TransportClose::default()
            },
            Proxy::Kills => {
                self.at(at, Happening::Tab(tab, ForTab::Opened(wire)));
                let cut = at + self.chance.between(0, 2_000);
                self.at(cut, Happening::CutWire(wire));
                return true;
            }
        };
        self.at(at, Happening::Tab(tab, ForTab::SeesEnd(wire, how)));
        true
    }
}
