//! The holder's side of a takeover: release, cut, parts, done.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Frozen, GAP, Moved, Moving, Released, Standing};
use crate::codes::CloseCode;
use crate::ids::NodeId;
use crate::millis::Millis;
use crate::rules::{Rule, holds};
use crate::server::{AttachRefused, Bounds, ItemKind, Session};
use crate::takeover::{
    Answer, Applied, CarriedItem, FORWARD_MS, MAX_PARTS, PART_BYTES, Release, Snapshot, TakeId, Way,
};

impl<C> Session<C> {
    /// Another node asks for the session.
    ///
    /// A release that is refused changes nothing, with exceptions that end the session, as a hello
    /// here would: another user or codec, and a count that cannot be.
    pub fn release(&mut self, release: &Release, now: Millis) -> Released {
        let answer = |answer| Released::Answer(answer);
        if self.over {
            return answer(Answer::Lost);
        }
        match self.standing() {
            // Gone with a newer hello: who comes late need not look for it elsewhere.
            Standing::Moved
                if release.client == self.client
                    && release.attempt < self.attempt
                    && holds(Rule::ReleaseRefusesLower) =>
            {
                return answer(Answer::LowerAttempt);
            }
            Standing::Arriving | Standing::Moved => return answer(Answer::NotMine),
            Standing::Home | Standing::Frozen => {}
        }
        if release.client != self.client || release.session != self.id {
            // Whoever guesses ends nobody's session.
            return answer(Answer::Lost);
        }
        if let Some(frozen) = self.frozen()
            && frozen.take == release.take
            && holds(Rule::SameTakeSameParts)
        {
            return match frozen.cut {
                Some(_) => Released::Cut,
                None => Released::Fence,
            };
        }
        if release.part > 0 || (self.frozen().is_some() && !holds(Rule::NewTakeVoids)) {
            return answer(Answer::Void);
        }
        self.release_anew(release, now)
    }

    fn release_anew(&mut self, release: &Release, now: Millis) -> Released {
        if release.attempt < self.attempt && holds(Rule::ReleaseRefusesLower) {
            return Released::Answer(Answer::LowerAttempt);
        }
        let same_user = release.uid == self.uid || !holds(Rule::ReleaseRefusesOtherUser);
        if !same_user || release.codec != self.codec {
            self.end_superseded("another identity");
            return Released::Answer(Answer::OtherUser);
        }
        match self.resume_after(release.received, release.attempt) {
            Ok(()) => {}
            Err(AttachRefused::LowerAttempt { .. }) => {
                return Released::Answer(Answer::LowerAttempt);
            }
            Err(_) => {
                self.end_superseded("cannot be resumed");
                return Released::Answer(Answer::Lost);
            }
        }
        self.attempt = release.attempt;
        if holds(Rule::ReleaseDetaches) {
            self.reset_connection(now);
        }
        let moving = self.moving.get_or_insert_with(|| Box::new(Moving::new()));
        let old = moving.frozen.take().and_then(|frozen| frozen.cut);
        let cut = old.filter(|_| !holds(Rule::NewTakeNewFence));
        moving.frozen = Some(Frozen {
            take: release.take,
            by: release.by.clone(),
            cut,
        });
        Released::Fence
    }

    /// Ends the session for a client that goes on elsewhere without it. A connection that is still
    /// here is told, or it would go on with a session that hears nothing.
    fn end_superseded(&mut self, why: &str) {
        self.abort(CloseCode::SUPERSEDED, why);
        self.end_keeping_close();
    }

    fn frozen(&self) -> Option<&Frozen> {
        self.moving.as_deref()?.frozen.as_ref()
    }

    /// The fence is back, or did not come back in time (`fenced` false: a gap says so). `applied`
    /// was extracted after it. Does nothing if the take has been voided or cut already.
    pub fn cut(
        &mut self,
        take: TakeId,
        fenced: bool,
        mut applied: Applied,
        now: Millis,
        bounds: &Bounds,
    ) {
        let wanted = self
            .frozen()
            .is_some_and(|frozen| frozen.take == take && frozen.cut.is_none());
        if !wanted || self.over {
            return;
        }
        if !fenced && holds(Rule::LateFenceIsGap) {
            // What the fence would have pushed through the subscription may never be told.
            let _ = self.gap(GAP, bounds);
        }
        if let Some(taken) = self.moving.as_deref().and_then(|m| m.taken.as_ref()) {
            taken.correct(&mut applied, now);
        }
        let snapshot = self.snapshot(applied, now, bounds).encode();
        if Snapshot::parts(snapshot.len()) > usize::from(MAX_PARTS) {
            // No queue within its bound is as large as this.
            return self.end();
        }
        if let Some(frozen) = self.moving.as_deref_mut().and_then(|m| m.frozen.as_mut()) {
            frozen.cut = Some(snapshot);
        }
        if !holds(Rule::KeptUntilDone) {
            self.out.clear();
        }
    }

    fn snapshot(&self, mut applied: Applied, now: Millis, bounds: &Bounds) -> Snapshot {
        if !holds(Rule::CarriesSequences) {
            applied.publishers.clear();
        }
        if !holds(Rule::CarriesIdentities) {
            applied.singles.clear();
            applied.messages.clear();
            applied.contents.clear();
        }
        let items: Vec<Bytes> = match holds(Rule::CarriesItems) {
            true => self.out.iter().map(|frame| frame.body()).collect(),
            false => Vec::new(),
        };
        let inbox = self.inbox.waiting().map(|item| {
            let (id, data, request) = match &item.kind {
                ItemKind::Event { id, data } => (id, data, None),
                ItemKind::Request {
                    request,
                    id,
                    data,
                    timeout_ms,
                } => (id, data, Some((*request, *timeout_ms))),
            };
            CarriedItem {
                position: item.position,
                waited_ms: now.since(item.at).as_millis() as u64,
                id: id.clone(),
                data: data.clone(),
                request,
            }
        });
        let counters = holds(Rule::CarriesCounters);
        Snapshot {
            base: self.out.acked(),
            items,
            gap_at: self.gap_at,
            answer_at: self.answer_at,
            received: if counters { self.received } else { 0 },
            running: self.running_until(now, bounds).map(|(position, until)| {
                let left = until.since(now).as_millis() as u64;
                let elsewhere = self.moving.as_deref().and_then(|m| m.running.as_ref());
                let way = elsewhere.map(|(way, _)| way.clone());
                (position, left, way.unwrap_or_default())
            }),
            refs: match holds(Rule::CarriesRefs) {
                true => self.open_refs(),
                false => BTreeMap::new(),
            },
            inbox: match holds(Rule::CarriesInbox) {
                true => inbox.collect(),
                false => Vec::new(),
            },
            applied,
            errors: match self.errors {
                0 => (0, 0),
                errors => (errors, now.since(self.errors_since).as_millis() as u64),
            },
        }
    }

    /// The requests that wait for their answer, and where they are.
    fn open_refs(&self) -> BTreeMap<u32, Way> {
        let elsewhere = self.moving.as_deref().map(|moving| &moving.refs);
        let way = |request: u32| elsewhere?.get(&request).map(|owed| owed.way.clone());
        let open = self.outstanding.iter();
        open.map(|request| (request, way(request).unwrap_or_default()))
            .collect()
    }

    /// The item whose handler runs, here or elsewhere, and when it must be over.
    fn running_until(&self, now: Millis, bounds: &Bounds) -> Option<(u64, Millis)> {
        let (position, limit) = self.inbox.running()?;
        let elsewhere = self.moving.as_deref().and_then(|m| m.running.as_ref());
        let until = match (elsewhere, limit) {
            (Some((_, until)), _) => *until,
            (None, Some(limit)) => limit,
            // When it began is not known here; it has no longer than this.
            (None, None) => now.plus(bounds.handler_timeout_ms),
        };
        Some((position, until))
    }

    /// A part of what was cut: the same bytes each time.
    pub fn part(&self, holder: &NodeId, take: TakeId, part: u16) -> Answer {
        if self.over {
            return Answer::Lost;
        }
        let cut = self.frozen().filter(|frozen| frozen.take == take);
        let Some(cut) = cut.and_then(|frozen| frozen.cut.as_ref()) else {
            return Answer::Void;
        };
        // At most MAX_PARTS.
        let of = Snapshot::parts(cut.len()) as u16;
        if part >= of {
            return Answer::Lost;
        }
        let start = usize::from(part) * PART_BYTES;
        let end = cut.len().min(start + PART_BYTES);
        Answer::Part {
            holder: holder.clone(),
            take,
            part,
            of,
            body: cut.slice(start..end),
        }
    }

    /// The taker has it all. [`Answer::Granted`]: the session is there from now on, and what is
    /// kept of it here serves to forward what comes late.
    pub fn done(&mut self, take: TakeId, now: Millis) -> Answer {
        if self.over {
            return Answer::Lost;
        }
        let Some(moving) = self.moving.as_deref_mut() else {
            return Answer::Void;
        };
        if let Some(moved) = &moving.moved
            && moved.take == take
            && holds(Rule::DoneIsRemembered)
        {
            return Answer::Granted;
        }
        let granted = |frozen: &mut Frozen| {
            frozen.cut.is_some() && (frozen.take == take || !holds(Rule::VoidTakeRefused))
        };
        let Some(frozen) = moving.frozen.take_if(granted) else {
            return Answer::Void;
        };
        moving.moved = Some(Moved {
            take,
            to: frozen.by,
            until: now.plus(FORWARD_MS),
            forwarding: true,
        });
        self.detached_at = now;
        self.out.clear();
        self.gap_at = 0;
        for request in self.inbox.hand_over() {
            self.outstanding.remove(request);
        }
        Answer::Granted
    }

    /// The answer to [`ToNode::Owed`](crate::takeover::ToNode::Owed): whether this node may still owe the session something.
    /// [`Answer::Void`] where it has come home again, or has gone from here to another node than
    /// `by` since: the word goes where the session went last, and `by` is not where it is.
    pub fn owed(&self, by: &NodeId) -> Answer {
        let moved = self.moving.as_deref().and_then(|m| m.moved.as_ref());
        match moved {
            _ if self.over => Answer::NotMine,
            Some(moved) if moved.to == *by => Answer::Granted,
            Some(_) | None => Answer::Void,
        }
    }
}
