//! Pushes, gaps and time for a session that is, or was lately, on its way between nodes.

use super::taken::{Held, Own};
use super::{Dead, Early, GAP, MARGIN_MS, Moving, Owed, Standing, owed_by_the_dead};
use crate::codes::CloseCode;
use crate::ids::NodeId;
use crate::millis::Millis;
use crate::out_frame::OutFrame;
use crate::rules::{Rule, holds};
use crate::server::{Bounds, Pushed, Session};
use crate::takeover::{Forward, Identity};
use crate::target::Target;

impl<C> Session<C> {
    /// Whether what is to be said to the client must be said at another node alone.
    pub(in crate::server) fn is_elsewhere(&self) -> bool {
        self.moving
            .as_deref()
            .is_some_and(|moving| moving.moved.is_some() && moving.frozen.is_none())
            && !self.is_installed()
    }

    /// Whether the session is on its way here and its queue has come.
    fn is_installed(&self) -> bool {
        let moving = self.moving.as_deref();
        moving
            .and_then(|moving| moving.arriving.as_ref())
            .is_some_and(|arriving| arriving.installed)
    }

    /// Puts something in line for the queue that is not here yet.
    pub(super) fn put_aside(&mut self, early: Early, bytes: usize, bounds: &Bounds) -> Pushed {
        let side = self.moving.as_deref_mut().and_then(|m| m.arriving.as_mut());
        let Some(arriving) = side else {
            return Pushed::Over;
        };
        let bytes = bytes + size_of::<Early>();
        if arriving.side_bytes + bytes > bounds.max_queue_bytes {
            self.abort(CloseCode::SLOW, "slow consumer");
            self.end_keeping_close();
            return Pushed::Slow;
        }
        arriving.side_bytes += bytes;
        arriving.side.push_back(early);
        Pushed::Queued
    }

    /// [`Session::push`] for a session with something in its box.
    pub(in crate::server) fn push_moving(
        &mut self,
        item: &OutFrame,
        identity: &Identity,
        bounds: &Bounds,
    ) -> Pushed {
        if self.over {
            return Pushed::Over;
        }
        let Some(moving) = self.moving.as_deref_mut() else {
            return self.append(item, bounds);
        };
        if moving.side_is_open() {
            if !holds(Rule::SideBufferFirst) {
                return Pushed::Known;
            }
            return self.put_aside(Early::Push(*identity, item.clone()), item.len(), bounds);
        }
        if self.standing() == Standing::Moved {
            return self.pass_own(identity);
        }
        if self.standing() == Standing::Frozen && !holds(Rule::FrozenReceives) {
            return Pushed::Known;
        }
        self.take_own(item, identity, bounds)
    }

    /// An own copy of a push, for a queue that is elsewhere. What the session had before it went
    /// need not go there.
    fn pass_own(&mut self, identity: &Identity) -> Pushed {
        if self.forwards_to().is_none() {
            return Pushed::Over;
        }
        if let Some(moving) = self.moving.as_deref_mut()
            && let Some(taken) = &mut moving.taken
        {
            match taken.own(identity) {
                Own::Known => return Pushed::Known,
                Own::Append(first) => moving.on.extend(first),
            }
        }
        Pushed::Elsewhere
    }

    /// An own copy of a push, for the queue that is here.
    pub(super) fn take_own(
        &mut self,
        item: &OutFrame,
        identity: &Identity,
        bounds: &Bounds,
    ) -> Pushed {
        let taken = self.moving.as_deref_mut().and_then(|m| m.taken.as_mut());
        let Some(taken) = taken else {
            return self.append(item, bounds);
        };
        // Asked before: of a publisher that is new here nothing is known to be on its way.
        let overtakes = taken.overtakes(identity);
        let first = match taken.own(identity) {
            Own::Append(first) => first,
            Own::Known => return Pushed::Known,
        };
        for held in first {
            let _ = self.let_out(held, bounds);
        }
        if let Some(position) = self.taken().and_then(|taken| taken.overtaken(identity)) {
            // A former holder was ahead of this node, and had missed this one.
            let _ = self.gap_behind(position, GAP, bounds);
        } else if overtakes && self.taken().is_some_and(|taken| taken.overtakes(identity)) {
            // What this node dropped as a stranger's is still to be forwarded.
            let _ = self.gap(GAP, bounds);
            self.told_missing(identity);
        }
        let behind = self
            .taken()
            .and_then(|taken| taken.holder_may_have_missed(identity));
        if let Some(position) = behind {
            let _ = self.gap_behind(position, GAP, bounds);
        }
        let pushed = self.append(item, bounds);
        let end = self.out.end();
        if let Some(taken) = self.taken() {
            taken.appended(identity, end);
        }
        pushed
    }

    /// Puts a forward in line whose own copy did not come, behind a gap unless nothing of its
    /// publisher can be missing before it.
    pub(super) fn let_out(&mut self, held: Held, bounds: &Bounds) -> Pushed {
        if self.standing() == Standing::Moved {
            let end = self.out.end();
            if let Some(moving) = self.moving.as_deref_mut() {
                if let Some(taken) = &mut moving.taken {
                    taken.appended_forward(&held, end);
                }
                moving.on.push(held);
            }
            return Pushed::Held;
        }
        let next = self
            .taken()
            .is_none_or(|taken| taken.is_next(&held.identity));
        if !next {
            let before = self.taken().map(|t| t.may_belong_before(&held.identity));
            let _ = self.gap_behind(before.unwrap_or_default(), GAP, bounds);
        }
        let pushed = self.append(&held.item, bounds);
        let end = self.out.end();
        if let Some(taken) = self.taken() {
            taken.appended_forward(&held, end);
        }
        // Behind the cut it is news to the taker as well.
        if self.standing() == Standing::Frozen
            && self.forwards_to().is_some()
            && let Some(moving) = self.moving.as_deref_mut()
        {
            moving.on.push(held);
        }
        pushed
    }

    /// A gap has been put before this push.
    fn told_missing(&mut self, identity: &Identity) {
        if let Some(taken) = self.taken() {
            taken.told_missing(identity);
        }
    }

    pub(super) fn taken(&mut self) -> Option<&mut super::Taken> {
        self.moving.as_deref_mut()?.taken.as_mut()
    }

    /// [`Session::gap`] where the queue is not here; `None` if it is.
    pub(in crate::server) fn gap_elsewhere(
        &mut self,
        reason: &str,
        bounds: &Bounds,
    ) -> Option<Pushed> {
        if self.moving.as_deref()?.side_is_open() {
            let early = Early::Gap(reason.to_owned());
            return Some(self.put_aside(early, reason.len(), bounds));
        }
        if self.standing() != Standing::Moved {
            return None;
        }
        Some(match self.forwards_to() {
            Some(_) => Pushed::Elsewhere,
            None => Pushed::Over,
        })
    }

    /// Messages for [`Session::owner`] that came up by themselves: to be told to it, in order,
    /// after `push`, `forwarded`, `tick` and `debtor_died`, before the push itself. `from` is this node.
    pub fn take_forwards(&mut self, from: &NodeId) -> Vec<Forward> {
        let session = self.id.clone();
        let Some(moving) = self.moving.as_deref_mut() else {
            return Vec::new();
        };
        let on = std::mem::take(&mut moving.on).into_iter();
        let dead = std::mem::take(&mut moving.dead).into_iter();
        if !holds(Rule::ForwardedOn) {
            return Vec::new();
        }
        let forwards = on.map(|held| Forward::Item {
            from: from.clone(),
            session: session.clone(),
            identity: held.identity,
            body: held.item.body(),
        });
        let target = match &self.uid {
            Some(uid) => Target::Uid(uid.clone()),
            None => Target::Anonymous,
        };
        let dead = dead.map(|dead| match dead {
            Dead::Reply(request) => Forward::Reply {
                from: from.clone(),
                session: session.clone(),
                request,
                outcome: Err(owed_by_the_dead()),
            },
            Dead::Returned(position) => Forward::Returned {
                from: from.clone(),
                session: session.clone(),
                position,
            },
            // The user's other sessions that went the same way lack nothing.
            Dead::Gap => Forward::Gap {
                from: from.clone(),
                target: target.clone(),
                reason: GAP.to_owned(),
                session: Some(session.clone()),
            },
        });
        let forwards = forwards.chain(dead).collect();
        self.settle_moving();
        forwards
    }

    /// Lets time pass in the box. Whether items may start that could not before.
    pub(in crate::server) fn tick_moving(&mut self, now: Millis, bounds: &Bounds) -> bool {
        let Some(moving) = self.moving.as_deref_mut() else {
            return false;
        };
        if let Some(moved) = &mut moving.moved {
            moved.forwarding &= now < moved.until;
        }
        let over = moving
            .running
            .as_ref()
            .is_some_and(|(_, until)| *until <= now);
        if over && holds(Rule::InboxWaitIsBounded) {
            moving.running = None;
            self.inbox.set_running(0);
        }
        let lost = |owed: &Owed| owed.until.is_some_and(|until| until <= now);
        let lost = moving.refs.extract_if(.., |_, owed| lost(owed));
        let lost: Vec<u32> = lost.map(|(request, _)| request).collect();
        let due = moving.taken.as_mut().map(|taken| taken.due(now));
        for held in due.unwrap_or_default() {
            let _ = self.let_out(held, bounds);
        }
        self.miss_what_was_not_forwarded(now, bounds);
        if let Some(moving) = self.moving.as_deref_mut() {
            moving.forget(now);
        }
        self.close_refs(lost, bounds);
        self.settle_dead();
        self.standing() == Standing::Home && self.inbox.has_work() && over
    }

    /// What a former holder was still to forward, and has not, when its time was over.
    fn miss_what_was_not_forwarded(&mut self, now: Millis, bounds: &Bounds) {
        let Some(moving) = self.moving.as_deref_mut() else {
            return;
        };
        if moving.forwards_end().is_some_and(|end| end <= now)
            && let Some(taken) = moving.taken.as_mut()
            && taken.forwards_are_over()
        {
            let _ = self.gap(GAP, bounds);
        }
    }

    pub(in crate::server) fn moving_deadline(&self) -> Option<Millis> {
        self.moving.as_deref().map(Moving::deadline)
    }
}

impl<C> Moving<C> {
    /// Forgets where the session came from when that time is over; but not at once. A node that was
    /// held up finds its clock ahead of what has piled up: what that holds is known a moment longer.
    fn forget(&mut self, now: Millis) {
        let over = |until: Millis| until <= now;
        let any = self.taken.as_ref().is_some_and(|taken| over(taken.until))
            || self.former.iter().any(|former| over(former.until));
        match self.last_call {
            None => self.last_call = any.then(|| now.plus(MARGIN_MS)),
            Some(last) if over(last) => {
                self.last_call = None;
                self.taken.take_if(|taken| over(taken.until));
                self.former.retain(|former| !over(former.until));
            }
            Some(_) => {}
        }
    }

    /// When what the holder was still to forward comes no more, if that has not been seen to. A
    /// session that goes on takes along what it lacks.
    fn forwards_end(&self) -> Option<Millis> {
        if self.arriving.is_some() || self.frozen.is_some() || self.moved.is_some() {
            return None;
        }
        let taken = self.taken.as_ref().filter(|taken| !taken.given_up())?;
        let former = self.former.iter();
        let former = former.filter(|former| former.node == taken.holder);
        let last = former.map(|former| former.pushes_until).max();
        Some(last.unwrap_or_default().plus(1))
    }

    fn deadline(&self) -> Millis {
        let moved = self.moved.as_ref().filter(|moved| moved.forwarding);
        let moved = moved.map(|moved| moved.until);
        let running = self.running.as_ref().map(|(_, until)| *until);
        let taken = self.taken.as_ref();
        let taken = taken.map(|taken| match self.last_call {
            Some(last) => last.min(taken.next_due()),
            None => taken.until.min(taken.next_due()),
        });
        let around = self.refs.values().filter_map(|owed| owed.until).min();
        let all = [moved, running, taken, self.forwards_end(), around];
        all.into_iter().flatten().min().unwrap_or(Millis::MAX)
    }
}
