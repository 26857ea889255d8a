//! What a former holder forwards: pushes that reached it late, gaps, and what its handlers still say.

use super::Early;
use super::taken::Forwarded;
use crate::codes::{CloseCode, Refusal};
use crate::data::Data;
use crate::ids::NodeId;
use crate::millis::Millis;
use crate::out_frame::OutFrame;
use crate::server::{Bounds, Pushed, Replied, Resumed, Session};
use crate::takeover::Identity;

impl<C> Session<C> {
    /// Takes a push that the former holder `from` forwarded, by [`Forward::Push`](crate::takeover::Forward::Push) or
    /// [`Forward::Item`](crate::takeover::Forward::Item), in the session's codec. A session that did not come from there has no
    /// use for it ([`Pushed::Known`]). Where it has gone in turn, this goes on by
    /// [`Session::take_forwards`], unless this node's own copy does.
    pub fn forwarded(
        &mut self,
        from: &NodeId,
        identity: &Identity,
        item: &OutFrame,
        now: Millis,
        bounds: &Bounds,
    ) -> Pushed {
        if self.over {
            return Pushed::Over;
        }
        let Some(moving) = self.moving.as_deref_mut() else {
            return Pushed::Known;
        };
        if moving.side_is_open() {
            let early = Early::Forwarded(from.clone(), *identity, item.clone());
            return self.put_aside(early, item.len(), bounds);
        }
        if !moving.takes_pushes_of(from, now) {
            return Pushed::Known;
        }
        let Some(taken) = &mut moving.taken else {
            return Pushed::Known;
        };
        match taken.forwarded(from, *identity, item.clone(), now) {
            Forwarded::Known => Pushed::Known,
            Forwarded::Held => {
                let bytes = self.out.bytes() + self.moving_held_bytes();
                if bytes > bounds.max_queue_bytes {
                    self.abort(CloseCode::SLOW, "slow consumer");
                    self.end_keeping_close();
                    return Pushed::Slow;
                }
                Pushed::Held
            }
            Forwarded::LetOut(held) => self.let_out(held, bounds),
        }
    }

    /// Takes a gap that a former holder forwarded.
    pub fn forwarded_gap(&mut self, from: &NodeId, reason: &str, bounds: &Bounds) -> Pushed {
        if self.over {
            return Pushed::Over;
        }
        let Some(moving) = self.moving.as_deref() else {
            return Pushed::Known;
        };
        if moving.side_is_open() {
            let early = Early::ForwardedGap(from.clone(), reason.to_owned());
            return self.put_aside(early, reason.len(), bounds);
        }
        match moving.came_from(from) {
            true => self.gap(reason, bounds),
            false => Pushed::Known,
        }
    }

    /// Takes a reply that a former holder owed. Ask [`Session::passes_on`] afterwards, unless it is
    /// [`Replied::Ignored`].
    pub fn forwarded_reply(
        &mut self,
        from: &NodeId,
        request: u32,
        outcome: Result<Data, Refusal>,
        bounds: &Bounds,
    ) -> Replied {
        if self.over {
            return Replied::Over;
        }
        let Some(moving) = self.moving.as_deref_mut() else {
            return Replied::Ignored;
        };
        if moving.side_is_open() {
            let bytes = outcome.as_ref().map_or(0, |data| data.bytes().len());
            let early = Early::Reply(from.clone(), request, outcome);
            return match self.put_aside(early, bytes, bounds) {
                Pushed::Queued => Replied::Queued,
                _ => Replied::Slow,
            };
        }
        // The ref may have been closed, and be in use again for another request.
        if !moving.refs.get(&request).is_some_and(|owed| owed.by(from)) {
            return Replied::Ignored;
        }
        moving.refs.remove(&request);
        let replied = self.reply(request, outcome, bounds);
        self.settle_moving();
        replied
    }

    /// Takes what a handler at a former holder had to say of an event. Ask [`Session::passes_on`]
    /// afterwards, unless it is [`Pushed::Known`].
    pub fn forwarded_report(
        &mut self,
        from: &NodeId,
        position: u64,
        refusal: &Refusal,
        bounds: &Bounds,
    ) -> Pushed {
        if self.over {
            return Pushed::Over;
        }
        let Some(moving) = self.moving.as_deref() else {
            return Pushed::Known;
        };
        if moving.side_is_open() {
            let early = Early::Report(from.clone(), position, refusal.clone());
            return self.put_aside(early, refusal.message.len(), bounds);
        }
        match self.came_from(from) {
            true => self.report(position, refusal, bounds),
            false => Pushed::Known,
        }
    }

    /// The handler that ran at a former holder returned. Ask [`Session::passes_on`] afterwards; but
    /// `None` says that nobody here waits for it, nor then anybody behind: another node is at work.
    pub fn forwarded_return(
        &mut self,
        from: &NodeId,
        position: u64,
        bounds: &Bounds,
    ) -> Option<Resumed> {
        let moving = self.moving.as_deref_mut()?;
        if moving.side_is_open() {
            let early = Early::Returned(from.clone(), position);
            let _ = self.put_aside(early, 0, bounds);
            return Some(Resumed::default());
        }
        if !moving.waits_for(from) {
            return None;
        }
        Some(self.item_returned(position, bounds))
    }

    /// Whether this node is one that the session lately came from.
    fn came_from(&self, node: &NodeId) -> bool {
        let Some(moving) = self.moving.as_deref() else {
            return false;
        };
        moving.came_from(node)
            || moving.refs.values().any(|owed| owed.by(node))
            || moving.waits_for(node)
    }

    /// What had come before the session itself did.
    pub(super) fn take_early(&mut self, early: Early, now: Millis, bounds: &Bounds) {
        // Whatever becomes of each: a line that is full ends the session, which is seen.
        let _ = match early {
            Early::Push(identity, item) => self.take_own(&item, &identity, bounds),
            Early::Gap(reason) => self.gap(&reason, bounds),
            Early::Forwarded(from, identity, item) => {
                self.forwarded(&from, &identity, &item, now, bounds)
            }
            Early::ForwardedGap(from, reason) => self.forwarded_gap(&from, &reason, bounds),
            Early::Report(from, position, refusal) => {
                self.forwarded_report(&from, position, &refusal, bounds)
            }
            Early::Reply(from, request, outcome) => {
                let _ = self.forwarded_reply(&from, request, outcome, bounds);
                return;
            }
            Early::Returned(from, position) => {
                let _ = self.forwarded_return(&from, position, bounds);
                return;
            }
        };
    }
}
