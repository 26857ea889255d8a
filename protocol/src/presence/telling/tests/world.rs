//! Nodes and services on a bus that loses, repeats and reorders, in virtual time.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::view::{View, node, uid};
use crate::ids::{NodeId, Uid};
use crate::millis::Millis;
use crate::presence::{Epoch, Feed, FeedAction, Follower, Said, Telling, ToldPage, Unanswered};

/// How long it takes the others to see that a node is gone.
const DEATH_MS: u64 = 3_000;

pub(super) struct World {
    pub(super) now: Millis,
    pub(super) nodes: Vec<Node>,
    pub(super) services: Vec<Service>,
    pub(super) truth: BTreeSet<Uid>,
    /// Of a thousand messages, how many are lost, and how many come twice.
    pub(super) loss: u32,
    pub(super) twice: u32,
    /// How late a message may be.
    pub(super) delay: u64,
    /// Everything that was published on the feed.
    pub(super) told: Vec<Feed>,
    mail: BTreeMap<(Millis, u64), Mail>,
    sent: u64,
    random: StdRng,
}

pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) telling: Telling,
    pub(super) view: View,
    pub(super) epoch: Epoch,
    pub(super) dead: Option<Millis>,
    /// The handlers that ran here: what they were told of each user, in order.
    pub(super) ran: Vec<(Uid, bool)>,
    /// Whether handlers run at once, or never.
    pub(super) runs: bool,
}

pub(super) struct Service {
    pub(super) follower: Follower,
    pub(super) copy: BTreeSet<Uid>,
}

enum Mail {
    Feed {
        to: usize,
        body: Bytes,
    },
    Seen {
        node: usize,
        uid: Uid,
        there: bool,
    },
    AskTold {
        by: usize,
        ask: u64,
        body: Bytes,
    },
    Page {
        to: usize,
        ask: u64,
        answer: Result<Bytes, Unanswered>,
    },
    Differs {
        to: NodeId,
        body: Bytes,
    },
}

impl World {
    pub(super) fn new(seed: u64, nodes: u64, services: u64) -> World {
        let now = Millis(1_000);
        let node = |n: u64| Node {
            id: node(&format!("n{n}")),
            telling: Telling::new(node(&format!("n{n}")), true, seed ^ n, now),
            view: View::default(),
            epoch: Epoch(1_000 + n),
            dead: None,
            ran: Vec::new(),
            runs: true,
        };
        let service = |n: u64| Service {
            follower: Follower::new(None, seed.wrapping_add(n), now),
            copy: BTreeSet::new(),
        };
        World {
            now,
            nodes: (0..nodes).map(node).collect(),
            services: (0..services).map(service).collect(),
            truth: BTreeSet::new(),
            loss: 0,
            twice: 0,
            delay: 5,
            told: Vec::new(),
            mail: BTreeMap::new(),
            sent: 0,
            random: StdRng::seed_from_u64(seed),
        }
    }

    pub(super) fn chance(&mut self, of_a_thousand: u32) -> bool {
        self.random.random_range(0..1_000) < of_a_thousand
    }

    pub(super) fn pick(&mut self, below: usize) -> usize {
        self.random.random_range(0..below)
    }

    /// A user comes or goes; every node sees it, a little later.
    pub(super) fn change(&mut self, name: &str, there: bool) {
        let uid = uid(name);
        if there {
            self.truth.insert(uid.clone());
        } else {
            self.truth.remove(&uid);
        }
        for (node, later) in (0..self.nodes.len()).zip(20..) {
            // In order at each node: the roster sees to that.
            let (at, uid) = (self.now.plus(later), uid.clone());
            self.put(at, Mail::Seen { node, uid, there });
        }
    }

    pub(super) fn kill(&mut self, index: usize) {
        self.nodes[index].dead = Some(self.now);
    }

    /// It comes again under its id, and knows nothing but what it sees.
    pub(super) fn restart(&mut self, index: usize) {
        let (now, seed) = (self.now, self.random.random());
        let node = &mut self.nodes[index];
        node.dead = None;
        node.epoch = Epoch(now.0 + 5_000);
        node.telling = Telling::new(node.id.clone(), true, seed, now);
        node.view = View::default();
        for uid in &self.truth {
            node.view.announce(uid, true, now);
        }
    }

    /// Who is to tell, as node `index` sees it: the dead are found out late.
    fn teller(&self, index: usize) -> Option<NodeId> {
        let (now, me) = (self.now, &self.nodes[index].id);
        let seen = |node: &&Node| match node.dead {
            None => true,
            Some(at) => node.id != *me && now < at.plus(DEATH_MS),
        };
        let nodes = self.nodes.iter().filter(seen);
        let lowest = nodes.min_by_key(|node| node.epoch);
        lowest.map(|node| node.id.clone())
    }

    /// Those whose death all the others have seen.
    fn gone(&self) -> BTreeSet<NodeId> {
        let now = self.now;
        let is_gone = |node: &&Node| node.dead.is_some_and(|at| now >= at.plus(DEATH_MS));
        let gone = self.nodes.iter().filter(is_gone);
        gone.map(|node| node.id.clone()).collect()
    }

    pub(super) fn is_dead(&self, index: usize) -> bool {
        self.nodes[index].dead.is_some()
    }

    pub(super) fn telling(&self) -> Option<usize> {
        self.nodes
            .iter()
            .position(|node| node.dead.is_none() && node.telling.is_telling())
    }

    /// Runs for so long, in steps of 10 ms.
    pub(super) fn run(&mut self, millis: u64) {
        let end = self.now.plus(millis);
        while self.now < end {
            self.step();
        }
    }

    /// Runs until `enough`, at most half a minute.
    pub(super) fn until(&mut self, enough: impl Fn(&World) -> bool) {
        let end = self.now.plus(30_000);
        while !enough(self) {
            assert!(self.now < end, "it does not come");
            self.step();
        }
    }

    pub(super) fn step(&mut self) {
        self.now = self.now.plus(10);
        let now = self.now;
        while let Some(entry) = self.mail.first_entry()
            && entry.key().0 <= now
        {
            let mail = entry.remove();
            self.deliver(mail);
        }
        for index in 0..self.nodes.len() {
            if self.is_dead(index) {
                continue;
            }
            let teller = self.teller(index);
            let gone = self.gone();
            let Node {
                telling,
                view,
                epoch,
                ..
            } = &mut self.nodes[index];
            view.gone = gone;
            telling.tick(teller.as_ref(), *epoch, view, now);
            for action in telling.take_actions() {
                self.act(index, action);
            }
        }
        for index in 0..self.services.len() {
            let Service { follower, copy } = &mut self.services[index];
            if let Some((ask, request)) = follower.take_ask(&*copy, now) {
                self.ask(self.nodes.len() + index, ask, request.encode());
            }
        }
    }

    fn act(&mut self, index: usize, action: FeedAction) {
        match action {
            FeedAction::Publish(body) => {
                let feed = Feed::decode(&body);
                self.told.push(feed.expect("what a teller writes"));
                for to in 0..self.nodes.len() + self.services.len() {
                    let body = body.clone();
                    self.send(Mail::Feed { to, body });
                }
            }
            FeedAction::AskTold { ask, body } => self.ask(index, ask, body),
            FeedAction::Differs { teller: to, body } => self.send(Mail::Differs { to, body }),
            FeedAction::Told {
                epoch,
                n,
                opens,
                closes,
            } => {
                let node = &mut self.nodes[index];
                if node.runs {
                    node.ran.extend(opens.into_iter().map(|uid| (uid, true)));
                    node.ran.extend(closes.into_iter().map(|uid| (uid, false)));
                    node.telling.handled(epoch, n);
                }
            }
        }
    }

    fn ask(&mut self, by: usize, ask: u64, body: Bytes) {
        self.send(Mail::AskTold { by, ask, body });
        let (to, answer) = (by, Err(Unanswered::Late));
        self.put(self.now.plus(1_000), Mail::Page { to, ask, answer });
    }

    fn send(&mut self, mail: Mail) {
        if self.chance(self.loss) {
            return;
        }
        let late = self.random.random_range(0..=self.delay);
        if let Mail::Feed { to, body } = &mail
            && self.random.random_range(0..1_000) < self.twice
        {
            let later = late + self.random.random_range(0..=self.delay * 4);
            let again = Mail::Feed {
                to: *to,
                body: body.clone(),
            };
            self.put(self.now.plus(1 + later), again);
        }
        self.put(self.now.plus(1 + late), mail);
    }

    fn put(&mut self, at: Millis, mail: Mail) {
        self.sent += 1;
        self.mail.insert((at, self.sent), mail);
    }

    fn deliver(&mut self, mail: Mail) {
        let (now, nodes) = (self.now, self.nodes.len());
        match mail {
            Mail::Seen { node, uid, there } => self.nodes[node].view.announce(&uid, there, now),
            Mail::Feed { to, body } if to < nodes => {
                let node = &mut self.nodes[to];
                if node.dead.is_none() {
                    let heard = node.telling.heard(&body, &mut node.view, now);
                    heard.expect("what a teller writes");
                }
            }
            Mail::Feed { to, body } => {
                let feed = Feed::decode(&body).expect("what a teller writes");
                let Service { follower, copy } = &mut self.services[to - nodes];
                follower.hear(&feed, copy, now);
            }
            Mail::AskTold { by, ask, body } => self.answer(by, ask, &body),
            Mail::Page { to, ask, answer } if to < nodes => {
                let node = &mut self.nodes[to];
                let read = node.telling.answered(ask, answer, &mut node.view, now);
                read.expect("what a teller answers");
            }
            Mail::Page { to, ask, answer } => {
                let Service { follower, copy } = &mut self.services[to - nodes];
                let page = answer.map(|body| ToldPage::decode(&body).expect("a page"));
                let page = page.as_ref().map_err(|unanswered| *unanswered);
                follower.answered(ask, page, copy, now);
            }
            Mail::Differs { to, body } => {
                let mut living = self.nodes.iter_mut().filter(|node| node.dead.is_none());
                if let Some(node) = living.find(|node| node.id == to) {
                    let read = node.telling.asked_differs(&body);
                    read.expect("what a node names");
                }
            }
        }
    }

    /// With two tellers for a moment the first answer counts, whichever that is.
    fn answer(&mut self, to: usize, ask: u64, body: &Bytes) {
        let living = self.nodes.iter().filter(|node| node.dead.is_none());
        let answers = living.filter_map(|node| {
            let answer = node.telling.asked_told(body, &node.view);
            answer.expect("what a follower asks")
        });
        let answers: Vec<Bytes> = answers.collect();
        if !answers.is_empty() {
            let answer = Ok(answers[self.pick(answers.len())].clone());
            self.send(Mail::Page { to, ask, answer });
        }
    }

    /// Everybody agrees with the truth: who tells, all who follow, and the feed itself.
    pub(super) fn check(&self, what: &str) {
        for node in self.nodes.iter().filter(|node| node.dead.is_none()) {
            assert_eq!(node.view.told, self.truth, "{what}: node {}", node.id);
            assert!(node.telling.is_whole(), "{what}: node {}", node.id);
        }
        for (index, Service { follower, copy }) in self.services.iter().enumerate() {
            assert_eq!(*copy, self.truth, "{what}: service {index} {follower:?}");
            assert!(follower.is_whole(), "{what}: service {index}");
        }
        let tells = |node: &&Node| node.dead.is_none() && node.telling.is_telling();
        assert_eq!(self.nodes.iter().filter(tells).count(), 1, "{what}");
        let behind_reload = self.told.iter().rev();
        let behind_reload = behind_reload.take_while(|feed| feed.said != Said::Reload);
        let mut last = BTreeMap::new();
        for feed in behind_reload {
            if let Said::Change { opens, closes } = &feed.said {
                for (uids, there) in [(opens, true), (closes, false)] {
                    for uid in uids {
                        last.entry(uid).or_insert(there);
                    }
                }
            }
        }
        for (uid, there) in last {
            assert_eq!(there, self.truth.contains(uid), "{what}: the last of {uid}");
        }
    }
}
