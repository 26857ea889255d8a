//! The truth: users, their clients, where each of them is, and what they do.

use crate::plan::{GRACE_MS, TTL_MS};
use crate::world::{Happening, What, World};
use std::collections::BTreeMap;
use tengen_protocol::presence::Kinds;
use tengen_protocol::{NodeId, Transport, Uid};

/// One client of a user.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) node: usize,
    pub(crate) transport: Transport,
    pub(crate) since: u64,
}

/// One user, or somebody without a name.
pub(crate) struct User {
    pub(crate) uid: Option<Uid>,
    pub(crate) clients: Vec<Client>,
    /// Until then this user is there without any client, for sure.
    stays_until: u64,
    /// From then on this user is gone without any client, for sure.
    gone_by: u64,
    /// When a client of this user was last seen by its node.
    last_there: u64,
    /// Whether the feed should have told that this user is there.
    believed: bool,
    /// How many events about this user the feed should have told, where nothing goes wrong.
    pub(crate) events: u64,
}

/// How long a client of this transport is missed.
fn grace(transport: Transport) -> u64 {
    match transport {
        Transport::Ws => 2_500,
        Transport::Poll => 5_000,
    }
}

impl User {
    pub(crate) fn new(index: usize) -> User {
        // Every eighth has no name.
        let uid = (index % 8 != 7).then(|| format!("u{index}"));
        User {
            uid: uid.map(|uid| Uid::parse(&uid).unwrap()),
            clients: Vec::new(),
            stays_until: 0,
            gone_by: 0,
            last_there: 0,
            believed: false,
            events: 0,
        }
    }

    /// When one of the clients was there last.
    pub(crate) fn last_there(&self) -> u64 {
        match self.clients.is_empty() {
            true => self.last_there,
            false => u64::MAX,
        }
    }

    /// Counts the event that the end of the grace is.
    pub(crate) fn pass(&mut self, now: u64) {
        if self.believed && self.clients.is_empty() && now > self.gone_by {
            self.believed = false;
            self.events += 1;
        }
    }

    /// Whether nobody can say if a grace is over or not.
    fn is_on_the_brink(&self, now: u64) -> bool {
        self.believed
            && self.clients.is_empty()
            && now + 300 > self.stays_until
            && now < self.gone_by + 1_500
    }
}

impl World {
    pub(crate) fn transport(&mut self) -> Transport {
        self.chance
            .one_of(&[Transport::Ws, Transport::Ws, Transport::Poll])
    }

    /// The balancer's choice: any node that takes clients.
    pub(crate) fn balance(&mut self) -> Option<usize> {
        let takes: Vec<usize> = (0..self.nodes.len())
            .filter(|node| self.nodes[*node].takes_clients(self.now))
            .collect();
        (!takes.is_empty()).then(|| self.chance.one_of(&takes))
    }

    /// In truth.
    fn is_there(&mut self, user: usize, node: usize, transport: Transport) -> Option<Uid> {
        let it = &mut self.users[user];
        it.pass(self.now);
        if !it.believed {
            it.believed = true;
            it.events += 1;
        }
        it.clients.push(Client {
            node,
            transport,
            since: self.now,
        });
        self.totals.opened += 1;
        it.uid.clone()
    }

    pub(crate) fn open(&mut self, user: usize, node: usize, transport: Transport) {
        let uid = self.is_there(user, node, transport);
        self.say(|| format!("user {user} opens {transport} at node {node}"));
        let now = self.millis();
        let member = self.nodes[node].member.as_mut();
        member.unwrap().opened(uid.as_ref(), transport, now);
        self.carry_out(node);
    }

    /// A client goes; its node notices at once, or when it goes on.
    pub(crate) fn close(&mut self, user: usize, client: usize) -> Client {
        let sure = grace(self.users[user].clients[client].transport);
        self.closes(user, client, sure)
    }

    fn closes(&mut self, user: usize, client: usize, sure: u64) -> Client {
        let gone = self.goes(user, client, sure);
        let what = What::Closed {
            user,
            transport: gone.transport,
        };
        let (to, life) = (gone.node, self.life(gone.node));
        self.at(self.now, Happening::Within { to, life, what });
        gone
    }

    /// In truth only: its node does not notice any more, or by itself. For `sure` milliseconds the
    /// user is still there.
    pub(crate) fn goes(&mut self, user: usize, client: usize, sure: u64) -> Client {
        let it = &mut self.users[user];
        let gone = it.clients.swap_remove(client);
        // A node that stands still notices when it goes on.
        let noticed = self.nodes[gone.node].paused_until.max(self.now);
        it.last_there = it.last_there.max(noticed);
        it.stays_until = it.stays_until.max(self.now + sure);
        it.gone_by = it.gone_by.max(noticed + GRACE_MS + 500);
        self.totals.closed += 1;
        self.say(|| {
            format!(
                "user {user} leaves {} at node {}",
                gone.transport, gone.node
            )
        });
        gone
    }

    /// All come for the first time within a few seconds, if the plan has it so.
    pub(crate) fn storm(&mut self) {
        let Some(within) = self.plan.storm_ms else {
            return;
        };
        for user in 0..self.users.len() {
            let after = self.chance.between(0, within);
            let transport = self.transport();
            let comes = Happening::Comes {
                user,
                to: Some(user % self.plan.nodes),
                transport,
            };
            self.at(self.now + after, comes);
        }
    }

    /// Who that is.
    pub(crate) fn user_of(&self, uid: &Uid) -> usize {
        let index = uid
            .as_str()
            .strip_prefix('u')
            .and_then(|index| index.parse().ok());
        index.expect("nobody is told who never was")
    }

    /// One thing that somebody does.
    pub(crate) fn traffic(&mut self) {
        if !self.is_hostile() || self.users.is_empty() {
            return;
        }
        let pause = self.chance.between(5, 400) * 10 / (self.users.len() as u64).min(100);
        self.at(self.now + 1 + pause, Happening::Traffic);
        let user = self.chance.next() as usize % self.users.len();
        if self.users[user].clients.is_empty() {
            let transport = self.transport();
            return self.comes(user, None, transport);
        }
        let client = self.chance.next() as usize % self.users[user].clients.len();
        let node = self.users[user].clients[client].node;
        let asleep = !self.nodes[node].takes_clients(self.now);
        match self.chance.between(0, 9) {
            0 | 1 => {
                self.close(user, client);
            }
            2 | 3 => self.reload(user, client),
            4 if !asleep => self.switch(user, client),
            5 | 6 if !asleep => self.moves(user, client),
            7 if self.users[user].clients.len() < 3 => {
                let transport = self.transport();
                self.comes(user, None, transport);
            }
            _ => {}
        }
    }

    /// Somebody comes, or comes back; not when it would be disputable whether in time.
    pub(crate) fn comes(&mut self, user: usize, to: Option<usize>, transport: Transport) {
        if !self.is_hostile() || self.users[user].is_on_the_brink(self.now) {
            return;
        }
        let wanted = to.filter(|node| self.nodes[*node].takes_clients(self.now));
        if let Some(node) = wanted.or_else(|| self.balance()) {
            self.open(user, node, transport);
        }
    }

    /// Gone, and back within the grace, at the same node or another.
    fn reload(&mut self, user: usize, client: usize) {
        let it = self.users[user].clients[client].clone();
        let after = self.chance.between(1, grace(it.transport) - 400);
        self.totals.reloaded += 1;
        if self.chance.one_in(3) {
            // The session itself comes back, perhaps by the other transport: no new client.
            let was = it.transport;
            self.closes(user, client, after + 400);
            let to = it.node;
            let transport = self.transport();
            let returns = Happening::Returns {
                user,
                to,
                life: self.life(to),
                was,
                transport,
            };
            return self.at(self.now + after, returns);
        }
        self.close(user, client);
        let to = self.chance.one_in(2).then_some(it.node);
        let transport = self.transport();
        let comes = Happening::Comes {
            user,
            to,
            transport,
        };
        self.at(self.now + after, comes);
    }

    /// A session that had lost its connection has another one.
    pub(crate) fn returns(&mut self, user: usize, to: usize, was: Transport, by: Transport) {
        if !self.nodes[to].takes_clients(self.now) {
            return;
        }
        self.say(|| format!("user {user} returns by {by} to node {to}, was {was}"));
        let uid = self.is_there(user, to, by);
        let now = self.millis();
        let member = self.nodes[to].member.as_mut();
        member.unwrap().returned(uid.as_ref(), was, by, now);
        self.carry_out(to);
    }

    fn switch(&mut self, user: usize, client: usize) {
        let it = &mut self.users[user].clients[client];
        let (node, from) = (it.node, it.transport);
        let to = match from {
            Transport::Ws => Transport::Poll,
            Transport::Poll => Transport::Ws,
        };
        it.transport = to;
        let uid = self.users[user].uid.clone();
        self.totals.switched += 1;
        self.say(|| format!("user {user} switches to {to} at node {node}"));
        let now = self.millis();
        let member = self.nodes[node].member.as_mut();
        member.unwrap().switched(uid.as_ref(), from, to, now);
        self.carry_out(node);
    }

    /// Another node takes the session over: the holder grants it, then the taker opens it.
    pub(crate) fn moves(&mut self, user: usize, client: usize) {
        let Some(to) = self.balance() else { return };
        let node = self.users[user].clients[client].node;
        if to == node {
            return;
        }
        // First the holder detaches it, then it grants it: until the taker shows it, it is there.
        let gone = self.goes(
            user,
            client,
            grace(self.users[user].clients[client].transport) / 2,
        );
        let uid = self.users[user].uid.clone();
        let id = self.nodes[to].id.clone();
        let now = self.millis();
        let member = self.nodes[node].member.as_mut().unwrap();
        member.closed(uid.as_ref(), gone.transport, now);
        member.handed_over(uid.as_ref(), gone.transport, &id, now);
        self.carry_out(node);
        self.totals.moved += 1;
        let transport = match self.chance.one_in(4) {
            true => self.transport(),
            false => gone.transport,
        };
        let after = self.chance.between(0, 3 * self.plan.latency);
        let comes = Happening::Comes {
            user,
            to: Some(to),
            transport,
        };
        self.at(self.now + after, comes);
    }

    /// A node is gone with all its clients; some find another, the others do not come back.
    pub(crate) fn strand(&mut self, node: usize) {
        let mut lost = Vec::new();
        for user in 0..self.users.len() {
            while let Some(client) = self.users[user]
                .clients
                .iter()
                .position(|it| it.node == node)
            {
                // The grace of who is lost begins when the node is given up, not when it dies.
                self.goes(user, client, GRACE_MS);
                let it = &mut self.users[user];
                it.gone_by = it.gone_by.max(self.now + TTL_MS + GRACE_MS + 1_000);
                if self.chance.one_in(2) {
                    let after = self.chance.between(50, 2_200);
                    let transport = self.transport();
                    let comes = Happening::Comes {
                        user,
                        to: None,
                        transport,
                    };
                    self.at(self.now + after, comes);
                }
            }
            let it = &mut self.users[user];
            if it.clients.is_empty() && it.gone_by > self.now {
                lost.push(user);
            }
        }
        let mourned = Happening::Mourned {
            users: lost,
            died: self.now,
        };
        self.at(self.now + TTL_MS + GRACE_MS + 1_500, mourned);
    }

    /// Who is where, by everything that has been done.
    pub(crate) fn truth(&self) -> BTreeMap<Uid, BTreeMap<NodeId, Kinds>> {
        let mut truth: BTreeMap<Uid, BTreeMap<NodeId, Kinds>> = BTreeMap::new();
        for user in &self.users {
            let Some(uid) = &user.uid else { continue };
            for client in &user.clients {
                let places = truth.entry(uid.clone()).or_default();
                let kinds = places
                    .entry(self.nodes[client.node].id.clone())
                    .or_insert(Kinds::NONE);
                *kinds = kinds.with(client.transport);
            }
        }
        truth
    }

    /// How many there are without a name, by WebSocket and by polling.
    pub(crate) fn anonymous(&self) -> [u64; 2] {
        let nameless = self.users.iter().filter(|user| user.uid.is_none());
        let clients = nameless.flat_map(|user| &user.clients);
        clients.fold([0, 0], |[ws, poll], client| match client.transport {
            Transport::Ws => [ws + 1, poll],
            Transport::Poll => [ws, poll + 1],
        })
    }
}
