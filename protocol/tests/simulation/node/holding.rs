//! A node gives a session away: behind a fence, in parts, to whoever gets the yes; and pays what it owes.

use super::ForNode;
use super::arrival::is_whole_for;
use super::asking::{Asker, Came, ReplyTo};
use super::ingest::Fenced;
use crate::bus::Face;
use crate::world::{Happening, World};
use bytes::Bytes;
use tengen_protocol::rules::{Rule, holds};
use tengen_protocol::server::Released;
use tengen_protocol::takeover::{Answer, Release, ToNode};
use tengen_protocol::{Millis, NodeId, SessionId};

/// For so long a question to everybody waits for a session that is still arriving.
const ARRIVAL: u64 = 500;
/// An answer about a debt is late after this.
const DEBT_TIMEOUT: u64 = 1_000;
/// The pause between two questions about debts, in sweeps.
const DEBT_SWEEPS: u64 = 2;
/// So many times in a row without responders, and a node is gone.
const GONE_AFTER: u8 = 2;

/// What waits for a fence to be cut.
#[derive(Clone, Debug)]
pub(crate) struct Cutting {
    release: Release,
    reply: ReplyTo,
}

impl World {
    pub(crate) fn asked_as_holder(&mut self, node: usize, reply: ReplyTo, body: &Bytes) {
        match ToNode::decode(body).expect("our own question") {
            ToNode::Release(release) => {
                let take = self.nodes[node].takes.get_mut(&release.session);
                match take.filter(|_| reply.everyone) {
                    Some(take) => take.asked.push((reply, release, self.now + ARRIVAL)),
                    None => self.release(node, reply, release),
                }
            }
            ToNode::Done { session, take } => {
                let now = Millis(self.now);
                let answer = match self.nodes[node].homes.get_mut(&session) {
                    Some(home) => home.session.done(take, now),
                    None => Answer::NotMine,
                };
                self.say(|| format!("node {node} is done with {session}: {answer:?}"));
                let at = self.session_at(node, &session);
                self.ledger.takes.done(&at, take, &answer);
                self.pass_on(node, &session);
                self.answer(node, reply, &answer);
            }
            ToNode::Owed { session, by } => {
                let home = self.nodes[node].homes.get(&session);
                let answer = home.map_or(Answer::NotMine, |home| home.session.owed(&by));
                self.answer(node, reply, &answer);
            }
        }
    }

    pub(crate) fn release(&mut self, node: usize, reply: ReplyTo, release: Release) {
        let now = Millis(self.now);
        let Some(home) = self.nodes[node].homes.get_mut(&release.session) else {
            return self.answer(node, reply, &Answer::NotMine);
        };
        let whole = is_whole_for(&home.session, release.received);
        let released = home.session.release(&release, now);
        assert!(
            whole || !matches!(released, Released::Fence),
            "{} is released to a client that lacks what nobody has any more",
            release.session
        );
        let over = home.session.is_over();
        // Its connection, superseded if the release is good, says so.
        let wire = home.wire;
        if home.session.detached_since().is_some() {
            home.wire = None;
        }
        self.say(|| format!("node {node} releases {}: {released:?}", release.session));
        if let Some(wire) = wire {
            self.at_node(self.now, node, ForNode::Write(wire));
        }
        self.wake_soon(node, &release.session);
        if over {
            self.excuse(&release.session);
            self.start_items(node, &release.session);
        }
        let at = self.session_at(node, &release.session);
        match &released {
            Released::Answer(answer) => self.ledger.takes.refused(&at, &release, answer),
            Released::Fence | Released::Cut => self.ledger.takes.released(at, &release),
        }
        match released {
            Released::Answer(answer) => self.answer(node, reply, &answer),
            Released::Cut => self.answer_part(node, &release, reply),
            Released::Fence if holds(Rule::FenceBeforeCut) => {
                self.fence(node, Fenced::Cut(Cutting { release, reply }));
            }
            Released::Fence => self.cut_now(node, &Cutting { release, reply }, true),
        }
    }

    pub(crate) fn cut_now(&mut self, node: usize, cutting: &Cutting, fenced: bool) {
        let now = Millis(self.now);
        let release = &cutting.release;
        if !fenced && !self.plan.is_prompt() {
            // A bus as slow as this is no better than one that is interrupted.
            self.excuse(&release.session);
        }
        let bounds = &self.plan.bounds;
        let it = &mut self.nodes[node];
        if let Some(home) = it.homes.get_mut(&release.session) {
            let uid = home.session.uid();
            let applied = it.ingest.journal.extract(uid, now);
            let kept = home.session.queue_items();
            self.ledger.takes.cut(release.take, self.now);
            if self.plan.is_gentle() {
                let open = home.session.outstanding();
                self.ledger.takes.cut_with(release, open);
            }
            home.session.cut(release.take, fenced, applied, now, bounds);
            assert!(
                home.session.queue_items() >= kept || home.session.is_over(),
                "{} was not kept until it is done",
                release.session
            );
            self.ledger.totals.cuts += 1;
            let session = &home.session;
            let stood = [
                session.acknowledged(),
                session.queue_items(),
                session.received(),
                session.inbox_items() as u64,
            ];
            if let Answer::Part { body, .. } = session.part(&it.id, release.take, 0) {
                let at = self.session_at(node, &release.session);
                let takes = &mut self.ledger.takes;
                takes.first_part(&at, release.take, &body, stood);
            }
        }
        self.answer_part(node, release, cutting.reply);
    }

    fn answer_part(&mut self, node: usize, release: &Release, reply: ReplyTo) {
        let it = &self.nodes[node];
        let answer = match it.homes.get(&release.session) {
            Some(home) => home.session.part(&it.id, release.take, release.part),
            None => Answer::NotMine,
        };
        let part = matches!(answer, Answer::Part { .. });
        if self.plan.node_faults && part && self.is_hasty(12) {
            let soon = self.now + self.haste.between(1, 2 * self.plan.bus_latency);
            self.at(soon, Happening::Dies((node, self.nodes[node].life)));
        }
        if self.plan.bus_faults && part && self.is_hasty(6) {
            let soon = self.now + self.haste.between(1, 2 * self.plan.bus_latency);
            self.at(soon, Happening::CutOff((node, self.nodes[node].life)));
        }
        let at = self.session_at(node, &release.session);
        self.ledger.takes.answered(at, release, &answer);
        self.answer(node, reply, &answer);
    }

    /// A session at the present life of a node.
    pub(crate) fn session_at(&self, node: usize, id: &SessionId) -> ((usize, u32), SessionId) {
        ((node, self.nodes[node].life), id.clone())
    }

    /// Asks those who owe something to sessions of this node whether they still know of it.
    pub(crate) fn ask_debtors(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        it.sweeps += 1;
        if !it.sweeps.is_multiple_of(DEBT_SWEEPS) {
            return;
        }
        let debts = it.homes.iter().filter_map(|(id, home)| {
            let debtor = home.session.debtor()?.clone();
            Some((debtor, id.clone()))
        });
        let debts: Vec<(NodeId, SessionId)> = debts.collect();
        for (debtor, session) in debts {
            let body = ToNode::Owed {
                session: session.clone(),
                by: self.nodes[node].id.clone(),
            };
            let asker = Asker::Debt(debtor.clone(), session);
            let body = body.encode();
            self.ask(
                node,
                Some(&debtor),
                Face::Takeover,
                body,
                DEBT_TIMEOUT,
                asker,
            );
        }
    }

    pub(crate) fn debt_hears(
        &mut self,
        node: usize,
        debtor: &NodeId,
        session: &SessionId,
        came: &Came,
    ) {
        let debt = (debtor.clone(), session.clone());
        let gone = match came {
            Came::NoResponders => {
                let times = self.nodes[node].gone.entry(debt).or_default();
                *times += 1;
                *times >= GONE_AFTER
            }
            Came::Answer(body) => {
                self.nodes[node].gone.remove(&debt);
                Answer::decode(body) == Ok(Answer::NotMine)
            }
            Came::Late => {
                // Somebody was there to ask.
                self.nodes[node].gone.remove(&debt);
                false
            }
        };
        if gone && *came == Came::NoResponders {
            // Not on the bus for so long, it counts as dead, though it may only be cut off.
            let there = self.node_named(debtor);
            self.ledger.items.taken_for_dead(session, there, self.now);
        }
        let back = matches!(came, Came::Answer(body) if Answer::decode(body) == Ok(Answer::Void));
        let bounds = &self.plan.bounds;
        if let (true, Some(home)) = (gone || back, self.nodes[node].homes.get_mut(session)) {
            if back {
                home.session.debtor_is_home(debtor, bounds);
            } else {
                home.session.debtor_died(debtor, bounds);
            }
            self.ledger.totals.debts_given_up += 1;
            self.pass_on(node, session);
            self.start_items(node, session);
            self.wake_soon(node, session);
        }
    }
}
