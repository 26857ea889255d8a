//! What reaches a node late for sessions that have moved goes on to where they went; and what others send on is taken in.

use crate::bus::Message;
use crate::world::World;
use bytes::Bytes;
use std::collections::BTreeSet;
use tengen_protocol::server::{Pushed, Replied, Session, Standing};
use tengen_protocol::takeover::Forward;
use tengen_protocol::{
    Data, ErrorCode, Millis, NodeId, OutFrame, RawEvent, Refusal, SessionId, Target,
};

impl World {
    /// Tells another node something that has no answer. What the bus does not take is told as a
    /// gap, once it does.
    pub(crate) fn forward(&mut self, node: usize, to: &NodeId, forward: &Forward) {
        self.ledger.totals.forwards += 1;
        if !self.bus.is_up(node) {
            self.nodes[node].gap_owed_to.insert(to.clone());
            return;
        }
        if let Some(to) = self.node_named(to) {
            let body = forward.encode();
            self.send(node, Message::Forward { to, body });
        }
    }

    pub(crate) fn pay_gaps(&mut self, node: usize) {
        for to in std::mem::take(&mut self.nodes[node].gap_owed_to) {
            let gap = Forward::Gap {
                from: self.nodes[node].id.clone(),
                target: Target::All,
                reason: "lost".to_owned(),
                session: None,
            };
            self.forward(node, &to, &gap);
        }
    }

    /// Sends on what a session has for the node that has it now.
    pub(crate) fn pass_on(&mut self, node: usize, id: &SessionId) {
        let it = &mut self.nodes[node];
        let Some(home) = it.homes.get_mut(id) else {
            return;
        };
        let owner = home.session.owner().cloned();
        let forwards = home.session.take_forwards(&it.id);
        if let Some(owner) = owner {
            for forward in &forwards {
                self.forward(node, &owner, forward);
            }
        }
    }

    /// Sends on what time has let out of sessions that are between nodes.
    pub(crate) fn pass_all_on(&mut self, node: usize) {
        let homes = self.nodes[node].homes.iter();
        let moving: Vec<SessionId> = homes
            .filter(|(_, home)| home.session.standing() != Standing::Home)
            .map(|(id, _)| id.clone())
            .collect();
        for id in moving {
            self.pass_on(node, &id);
        }
    }

    /// An answer to a request that this node had taken.
    pub(crate) fn reply(
        &mut self,
        node: usize,
        id: &SessionId,
        request: u32,
        outcome: Result<Data, Refusal>,
    ) -> Option<Replied> {
        let bounds = &self.plan.bounds;
        let it = &mut self.nodes[node];
        let home = it.homes.get_mut(id)?;
        let replied = home.session.reply(request, outcome.clone(), bounds);
        let owner = home.session.owner().cloned();
        let from = it.id.clone();
        if let Some(owner) = owner.filter(|_| replied != Replied::Ignored) {
            self.ledger.takes.replied(id);
            let forward = Forward::Reply {
                from,
                session: id.clone(),
                request,
                outcome,
            };
            self.forward(node, &owner, &forward);
        }
        self.wake_soon(node, id);
        Some(replied)
    }

    pub(crate) fn forward_return(&mut self, node: usize, id: &SessionId, position: u64) {
        let it = &self.nodes[node];
        let owner = it.homes.get(id).and_then(|home| home.session.owner());
        if let Some(owner) = owner.cloned()
            && !self.is_never_told()
        {
            let it = &self.nodes[node];
            let forward = Forward::Returned {
                from: it.id.clone(),
                session: id.clone(),
                position,
            };
            self.forward(node, &owner, &forward);
        }
    }

    /// Takes what another node forwards.
    pub(crate) fn forwarded(&mut self, node: usize, body: &Bytes) {
        let forward = Forward::decode(body).expect("our own forward");
        self.say(|| format!("node {node} is forwarded {forward:?}"));
        let me = self.nodes[node].id.clone();
        match forward {
            Forward::Push {
                from,
                target,
                filter,
                identity,
                codec,
                event,
            } => {
                let raw = RawEvent::check(codec, event.clone(), &self.plan.bounds.limits).unwrap();
                let now = Millis(self.now);
                let to = self.offer_to_each(node, |session, bounds| {
                    let meant = target.means(session.uid()) && filter.admits(session.client());
                    let frame = raw.to_frame(session.codec()).unwrap();
                    meant.then(|| session.forwarded(&from, &identity, &frame, now, bounds))
                });
                for to in to {
                    let on = Forward::Push {
                        from: me.clone(),
                        target: target.clone(),
                        filter: filter.clone(),
                        identity,
                        codec,
                        event: event.clone(),
                    };
                    self.forward(node, &to, &on);
                }
            }
            Forward::Gap {
                from,
                target,
                reason,
                session: alone,
            } => {
                let to = self.offer_to_each(node, |session, bounds| {
                    let alone = alone.as_ref().is_none_or(|alone| alone == session.id());
                    let meant = target.means(session.uid()) && alone;
                    meant.then(|| session.forwarded_gap(&from, &reason, bounds))
                });
                for to in to {
                    let (target, reason) = (target.clone(), reason.clone());
                    let on = Forward::Gap {
                        from: me.clone(),
                        target,
                        reason,
                        session: alone.clone(),
                    };
                    self.forward(node, &to, &on);
                }
            }
            Forward::Item {
                from,
                session: id,
                identity,
                body,
            } => {
                let now = Millis(self.now);
                let to = self.offer_to_each(node, |session, bounds| {
                    let frame = OutFrame::new(session.codec(), &body);
                    (*session.id() == id)
                        .then(|| session.forwarded(&from, &identity, &frame, now, bounds))
                });
                for to in to {
                    let on = Forward::Item {
                        from: me.clone(),
                        session: id.clone(),
                        identity,
                        body: body.clone(),
                    };
                    self.forward(node, &to, &on);
                }
            }
            answer => self.forwarded_answer(node, answer),
        }
    }

    /// Offers something to every session here, and says to which nodes it goes on.
    fn offer_to_each(
        &mut self,
        node: usize,
        mut offer: impl FnMut(&mut Session<()>, &tengen_protocol::server::Bounds) -> Option<Pushed>,
    ) -> BTreeSet<NodeId> {
        let bounds = &self.plan.bounds;
        let (mut on, mut woken, mut touched) = (BTreeSet::new(), Vec::new(), Vec::new());
        for (id, home) in &mut self.nodes[node].homes {
            let Some(pushed) = offer(&mut home.session, bounds) else {
                continue;
            };
            match pushed {
                Pushed::Elsewhere => on.extend(home.session.forwards_to().cloned()),
                Pushed::Queued | Pushed::Slow => woken.push(id.clone()),
                Pushed::Over | Pushed::Known | Pushed::Held => {}
            }
            touched.push((id.clone(), pushed == Pushed::Slow));
        }
        for (id, slow) in touched {
            if slow {
                self.excuse(&id);
            }
            self.pass_on(node, &id);
        }
        for id in woken {
            self.wake_soon(node, &id);
        }
        on
    }

    fn forwarded_answer(&mut self, node: usize, forward: Forward) {
        let bounds = &self.plan.bounds;
        let it = &mut self.nodes[node];
        let (Forward::Reply { session: id, .. }
        | Forward::Report { session: id, .. }
        | Forward::Returned { session: id, .. }) = &forward
        else {
            return;
        };
        let id = id.clone();
        let Some(home) = it.homes.get_mut(&id) else {
            return;
        };
        let session = &mut home.session;
        let me = it.id.clone();
        let (goes_on, on) = match forward {
            Forward::Reply {
                from,
                session: id,
                request,
                outcome,
            } => {
                let early = session.standing() == Standing::Arriving;
                let replied = session.forwarded_reply(&from, request, outcome.clone(), bounds);
                // Nobody dies in a world that counts it, so what is called lost is no answer.
                let lost = |refusal: &Refusal| refusal.code == ErrorCode::CLOSED;
                if early && replied == Replied::Queued && !outcome.as_ref().is_err_and(lost) {
                    self.ledger.takes.came_early(&id);
                }
                let on = Forward::Reply {
                    from: me,
                    session: id,
                    request,
                    outcome,
                };
                (replied != Replied::Ignored, on)
            }
            Forward::Report {
                from,
                session: id,
                position,
                refusal,
            } => {
                let pushed = session.forwarded_report(&from, position, &refusal, bounds);
                let on = Forward::Report {
                    from: me,
                    session: id,
                    position,
                    refusal,
                };
                (pushed != Pushed::Known, on)
            }
            Forward::Returned {
                from,
                session: id,
                position,
            } => {
                let resumed = session.forwarded_return(&from, position, bounds);
                let on = Forward::Returned {
                    from: me,
                    session: id,
                    position,
                };
                (resumed.is_some(), on)
            }
            Forward::Push { .. } | Forward::Gap { .. } | Forward::Item { .. } => return,
        };
        let next = session.passes_on().cloned().filter(|_| goes_on);
        if let Some(next) = next {
            self.forward(node, &next, &on);
        }
        self.start_items(node, &id);
        self.pass_on(node, &id);
        self.wake_soon(node, &id);
    }
}
