//! The taker's side of a takeover: registered, installed, granted, or given up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::taken::Taken;
use super::{Arriving, Dead, Early, Former, MARGIN_MS, Moving, Owed, Standing};
use crate::codec::Codec;
use crate::ids::{ClientId, NodeId, SessionId, Uid};
use crate::millis::Millis;
use crate::out_frame::OutFrame;
use crate::out_queue::OutQueue;
use crate::rules::{Rule, holds};
use crate::server::{Bounds, Item, ItemKind, Link, Session};
use crate::takeover::{Applied, CarriedItem, FORWARD_MS, HOLD_MS, Release, Snapshot, Way};

/// No client ever sends, or gets, as many items: what says so is no session.
const MAX_COUNT: u64 = 1 << 62;

impl<C> Session<C> {
    /// A session that another node has: registered before that one is asked, so that pushes and
    /// gaps go into its side buffer from now on. `context` goes with the items that arrive
    /// unstarted. [`Session::heard_before`] comes next.
    pub fn arriving(
        id: SessionId,
        client: ClientId,
        uid: Option<Uid>,
        codec: Codec,
        context: C,
    ) -> Self {
        let mut session = Session::new(id, client, uid, codec);
        let mut moving = Moving::new();
        moving.arriving = Some(Arriving::new(context));
        session.moving = Some(Box::new(moving));
        session
    }

    /// The same for a session that went from here to another node and is wanted back. False if it
    /// is not gone.
    pub fn arrive_again(&mut self, context: C) -> bool {
        if self.over || self.standing() != Standing::Moved {
            return false;
        }
        let moving = self.moving.get_or_insert_with(|| Box::new(Moving::new()));
        moving.arriving = Some(Arriving::new(context));
        true
    }

    /// Tells an arriving session what its node's journal said when it was registered. Registration
    /// and extract best happen under the lock under which the journal is written: what stands
    /// between them is counted twice, or not at all.
    pub fn heard_before(&mut self, before: Applied, now: Millis) {
        if let Some(arriving) = self.moving.as_deref_mut().and_then(|m| m.arriving.as_mut()) {
            (arriving.before, arriving.registered) = (before, now);
        }
    }

    /// The holder's yes: the session is home, and detached.
    pub(crate) fn granted(&mut self, now: Millis) {
        let Some(moving) = self.moving.as_deref_mut() else {
            return;
        };
        if self.over {
            // It ended while the answer was under way. What has been counted is handled all the same.
            self.inbox.set_running(0);
            self.moving = None;
            return;
        }
        moving.arriving = None;
        moving.moved = None;
        let until = now.plus(FORWARD_MS + HOLD_MS + MARGIN_MS);
        if let Some(taken) = &mut moving.taken {
            taken.until = until;
            let mut former = moving.former.iter().rev();
            let former = former.find(|former| former.node == taken.holder);
            let pushes_until = former.map_or(now, |former| former.pushes_until);
            let node = taken.holder.clone();
            moving.former.retain(|former| former.node != node);
            moving.former.push(Former {
                node,
                until,
                pushes_until,
            });
        }
        self.detached_at = now;
    }

    /// The session cannot be had. It is over, or what it was before: gone.
    pub(crate) fn give_up_arrival(&mut self) {
        let Some(moving) = self.moving.as_deref_mut() else {
            return;
        };
        let Some(arriving) = moving.arriving.take() else {
            return;
        };
        if moving.moved.is_none() {
            // Its unstarted items are the holder's, who never said yes.
            self.inbox.hand_over();
            return self.end_keeping_close();
        }
        if arriving.installed {
            self.uninstall(arriving.brought_held);
        }
    }

    /// What was installed has another home now, or none. What is owed here is owed as before, and
    /// goes on to where the session had gone.
    fn uninstall(&mut self, brought_held: bool) {
        let handed_over = self.inbox.hand_over();
        let Some(moving) = self.moving.as_deref_mut() else {
            return;
        };
        self.out.clear();
        (self.gap_at, self.answer_at) = (0, 0);
        let holder = moving.taken.as_ref().map(|taken| taken.holder.clone());
        let by_holder = |way: &Way| way.last() == holder.as_ref();
        let theirs = moving.refs.extract_if(.., |_, owed| by_holder(&owed.way));
        for request in handed_over
            .into_iter()
            .chain(theirs.map(|(request, _)| request))
        {
            self.outstanding.remove(request);
        }
        // Where this node lies on the way, others still wait for its word.
        if moving.running.take_if(|(way, _)| by_holder(way)).is_some() {
            self.inbox.set_running(0);
        }
        moving.former.retain(|former| former.until < Millis::MAX);
        let until = moving.former.iter().map(|former| former.until).max();
        moving.taken = moving.taken.take().zip(until).map(|(mut taken, until)| {
            taken.until = until;
            taken
        });
        if brought_held {
            // It was held to go on, and is in a queue that is nobody's.
            moving.dead.push(Dead::Gap);
        }
    }
}

impl<C: Clone> Session<C> {
    /// Makes this the session that `holder` cut at `cut`. False, and nothing is usable, if that
    /// cannot be.
    pub(crate) fn install(
        &mut self,
        snapshot: Snapshot,
        holder: &NodeId,
        release: &Release,
        cut: Millis,
        now: Millis,
        bounds: &Bounds,
    ) -> bool {
        let end = snapshot.base.checked_add(snapshot.items.len() as u64);
        let Some(end) = end.filter(|_| snapshot.base == release.received) else {
            return false;
        };
        let Some(moving) = self.moving.as_deref_mut() else {
            return false;
        };
        let Some(arriving) = moving.arriving.as_mut().filter(|a| !a.installed) else {
            return false;
        };
        if !in_order(&snapshot) || snapshot.refs.len() > bounds.max_outstanding {
            return false;
        }
        arriving.installed = true;
        arriving.side_bytes = 0;
        let side = std::mem::take(&mut arriving.side);
        let context = arriving.context.clone();
        let before = std::mem::take(&mut arriving.before);
        let registered = arriving.registered;
        let (here, there) = (&release.by, holder.clone());
        let taken = Taken::new(here, there, snapshot.applied, cut, &before, registered);
        let before = moving.taken.replace(taken);
        let taken = moving.taken.as_mut();
        let held = before
            .zip(taken)
            .map(|(before, taken)| taken.resume(before));
        arriving.brought_held = held.as_ref().is_some_and(|held| !held.is_empty());
        moving.former.push(Former {
            node: holder.clone(),
            until: Millis::MAX,
            pushes_until: now.plus(FORWARD_MS),
        });

        let mut out = OutQueue::behind(snapshot.base);
        for body in &snapshot.items {
            out.push(OutFrame::new(self.codec, body));
        }
        if let Some(taken) = &mut moving.taken {
            taken.end = end;
            taken.holder_missed = snapshot.gap_at > snapshot.base;
        }
        self.out = out;
        self.gap_at = snapshot.gap_at.min(end);
        self.answer_at = snapshot.answer_at.min(end);
        (self.received, self.told) = (snapshot.received, snapshot.received);
        let (errors, since_ms) = snapshot.errors;
        if errors > 0 {
            self.errors = errors;
            self.errors_since = Millis(now.0.saturating_sub(since_ms));
        }
        self.attempt = release.attempt;
        // Whoever attaches now resumes.
        self.link = Link(self.link.0.max(1));
        let came = Came {
            from: holder,
            to: &release.by,
            back: self.is_back(),
            now,
        };
        self.carry_running(snapshot.running, &came);
        self.carry_refs(snapshot.refs, &snapshot.inbox, &came);
        self.carry_items(snapshot.inbox, &context, now);
        for held in held.unwrap_or_default() {
            // It was to go on to where the session was; now it is here.
            let early = Early::Forwarded(holder.clone(), held.identity, held.item);
            self.take_early(early, now, bounds);
        }
        for early in side {
            self.take_early(early, now, bounds);
        }
        !self.over
    }

    fn is_back(&self) -> bool {
        self.moving
            .as_deref()
            .is_some_and(|moving| moving.moved.is_some())
    }

    /// The handler that runs at the holder, or somewhere behind it; or here, if the session had
    /// been here before.
    fn carry_running(&mut self, running: Option<(u64, u64, Way)>, came: &Came<'_>) {
        let ours = self.inbox.running().map(|(position, _)| position);
        let running = running.filter(|_| holds(Rule::InboxWaitsForReturn));
        let Some((position, left_ms, way)) = running else {
            return self.waits_for_nobody();
        };
        let heard_of_here = came.back && way.passes(came.to);
        if heard_of_here && ours == Some(position) {
            return;
        }
        if heard_of_here {
            // It has returned, or is over its limit, and the holder has not heard of it.
            return self.waits_for_nobody();
        }
        self.inbox.set_running(position);
        if let Some(moving) = self.moving.as_deref_mut() {
            let until = came.now.plus(left_ms);
            moving.running = Some((came.onwards(way), until));
        }
    }

    /// Who answers which request. What waits in the inbox is answered here.
    fn carry_refs(&mut self, refs: BTreeMap<u32, Way>, inbox: &[CarriedItem], came: &Came<'_>) {
        let here = inbox.iter().filter_map(|item| item.request);
        let here: BTreeSet<u32> = here.map(|(request, _)| request).collect();
        let open = refs.keys().copied().collect();
        let before = std::mem::replace(&mut self.outstanding, open);
        let Some(moving) = self.moving.as_deref_mut() else {
            return;
        };
        let mut known = std::mem::take(&mut moving.refs);
        for (request, way) in refs {
            if here.contains(&request) {
                continue;
            }
            let heard_of_here = came.back && way.passes(came.to);
            let owed = match heard_of_here {
                // It has not come by here yet: it does so as before, or its handler is here.
                true if before.contains(request) => known.remove(&request),
                true => Some(Owed {
                    way: way.by(came.from),
                    until: Some(came.now.plus(FORWARD_MS + HOLD_MS + MARGIN_MS)),
                }),
                false => Some(Owed {
                    way: came.onwards(way),
                    until: None,
                }),
            };
            moving.refs.extend(owed.map(|owed| (request, owed)));
        }
    }

    fn carry_items(&mut self, items: Vec<CarriedItem>, context: &C, now: Millis) {
        for item in items {
            let bytes = item.data.bytes().len();
            let (id, data) = (item.id, item.data);
            let kind = match item.request {
                None => ItemKind::Event { id, data },
                Some((request, timeout_ms)) => ItemKind::Request {
                    request,
                    id,
                    data,
                    timeout_ms,
                },
            };
            let item = Item {
                position: item.position,
                kind,
                context: context.clone(),
                at: Millis(now.0.saturating_sub(item.waited_ms)),
            };
            self.inbox.put(item, bytes);
        }
    }
}

/// How a session came to be here.
struct Came<'a> {
    from: &'a NodeId,
    to: &'a NodeId,
    /// It had been here before, and this node remembers.
    back: bool,
    now: Millis,
}

impl Came<'_> {
    /// The way of something that is at work elsewhere, on to here. If it leads by this node, which
    /// has forgotten, it comes to here before it comes to the holder.
    fn onwards(&self, way: Way) -> Way {
        way.before(self.to).unwrap_or_else(|| way.by(self.from))
    }
}

/// Whether the items of the client are ones that it can have sent, each once.
fn in_order(snapshot: &Snapshot) -> bool {
    let running = snapshot.running.as_ref();
    let running = running.map_or(0, |(position, ..)| *position);
    let mut last = running;
    let rising = snapshot.inbox.iter().all(|item| {
        let rises = item.position > last && item.position <= snapshot.received;
        last = item.position;
        rises
    });
    let countable = snapshot.received.max(snapshot.base) < MAX_COUNT;
    rising && running <= snapshot.received && countable
}

impl<C> Arriving<C> {
    fn new(context: C) -> Arriving<C> {
        Arriving {
            context,
            before: Applied::default(),
            registered: Millis(0),
            side: VecDeque::new(),
            side_bytes: 0,
            installed: false,
            brought_held: false,
        }
    }
}
