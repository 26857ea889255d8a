//! Another node as this one knows it: its life, how far its users are known, and how they are caught up with.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::holders::{Fate, Hold};
use super::view::View;
use crate::ids::{NodeId, Uid};
use crate::millis::Millis;
use crate::presence::rules::{Rule, holds};
use crate::presence::{Epoch, Kinds};

/// Deltas that wait for a snapshot at most, and changes in them. What is more is dropped: the ring
/// of the other node has it, or else its next snapshot.
const MAX_BUFFERED: usize = 1_024;
const MAX_BUFFERED_CHANGES: usize = 1 << 16;

/// Former lives of a node whose users stay for a while: until a snapshot has replaced them, and
/// then for the grace. One that begins again without end must not use up the lives there are for all.
const MAX_FORMER: usize = 8;

/// A node is asked for everything anew at most this often, in milliseconds.
const ASK_EVERY_MS: u64 = 250;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Alive,
    /// Not heard for its time to live; since when it counts as gone.
    Silent(Millis),
    /// It said Bye.
    Left(Millis),
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) epoch: Epoch,
    /// The last delta that was applied; 0 before the first.
    pub(super) seq: u64,
    /// The highest number that a beat has named.
    pub(super) ahead: u64,
    pub(super) hold: Hold,
    /// What stays until a snapshot is whole: of an earlier life (true), which then waits the grace
    /// out, or of this one.
    pub(super) old: Vec<(Hold, bool)>,
    /// What waits the grace out, the newest last; some of it may be over.
    leaving: VecDeque<Hold>,
    pub(super) life: Life,
    /// A member since.
    pub(super) since: Millis,
    pub(super) heard_at: Millis,
    /// Since when only a lower epoch of its id is heard.
    pub(super) contradicted: Option<Millis>,
    pub(super) ready: bool,
    pub(super) anonymous: [u64; 2],
    pub(super) server_id: Arc<str>,
    pub(super) key_fingerprint: u64,
    /// None when its users are known.
    pub(super) sync: Option<Sync>,
    /// When it fell behind, or was last seen to come nearer.
    pub(super) behind_since: Millis,
    /// Digests in turn that did not match, one for each snapshot.
    pub(super) unmatched: u32,
    /// When everything is to be asked for anew because a digest did not match.
    pub(super) full_at: Option<Millis>,
    /// Questions in turn without an answer.
    pub(super) misses: u32,
    /// Of those the last ones in turn at which nobody listened.
    pub(super) closed_doors: u32,
    pub(super) asked_at: Option<Millis>,
}

#[derive(Debug)]
pub(super) struct Sync {
    /// What is known is right up to `seq`: the missing deltas are enough.
    pub(super) trust: bool,
    pub(super) fill: Option<Fill>,
    pub(super) buffer: BTreeMap<u64, Vec<(Uid, Kinds)>>,
    changes: usize,
    pub(super) ask: Ask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    At(Millis),
    Out(Millis),
}

/// A snapshot that is coming in.
#[derive(Debug)]
pub(super) struct Fill {
    pub(super) hold: Hold,
    /// What its first part carried.
    pub(super) seq: u64,
    pub(super) part: u32,
    pub(super) after: Option<Uid>,
}

impl Peer {
    pub(super) fn new(epoch: Epoch, hold: Hold, now: Millis) -> Peer {
        Peer {
            epoch,
            seq: 0,
            ahead: 0,
            hold,
            old: Vec::new(),
            leaving: VecDeque::new(),
            life: Life::Alive,
            since: now,
            heard_at: now,
            contradicted: None,
            ready: false,
            anonymous: [0; 2],
            server_id: "".into(),
            key_fingerprint: 0,
            sync: None,
            behind_since: now,
            unmatched: 0,
            full_at: None,
            misses: 0,
            closed_doors: 0,
            asked_at: None,
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.life == Life::Alive
    }

    /// Whether its users are not known, or perhaps others.
    pub(super) fn is_doubtful(&self) -> bool {
        self.sync.is_some() || self.contradicted.is_some()
    }

    /// It lives under another epoch: nothing of it is known, and what was stays for a while.
    pub(super) fn renew(&mut self, epoch: Epoch, hold: Hold, view: &mut View) {
        for (_, earlier) in &mut self.old {
            *earlier = true;
        }
        let fill = self.sync.take().and_then(|sync| sync.fill);
        let held = fill.map(|fill| fill.hold).into_iter().chain([self.hold]);
        if self.is_alive() {
            for held in held {
                let stays = holds(Rule::OldStaysUntilReplaced);
                view.destine(held, if stays { Fate::Replaced } else { Fate::Over });
                self.old.push((held, true));
            }
            let many = self.old.len().saturating_sub(MAX_FORMER);
            for (held, _) in self.old.drain(..many) {
                view.destine(held, Fate::Over);
            }
        }
        (self.epoch, self.hold) = (epoch, hold);
        (self.seq, self.ahead) = (0, 0);
        // What was wrong with the former life is not this one's fault.
        (self.unmatched, self.misses, self.full_at) = (0, 0, None);
        self.closed_doors = 0;
        self.contradicted = None;
    }

    /// It is gone: its users wait the grace out.
    pub(super) fn lose(&mut self, life: Life, until: Millis, view: &mut View) {
        let fill = self.sync.take().and_then(|sync| sync.fill);
        let fill = fill.map(|fill| fill.hold);
        let old = self.old.drain(..).map(|(hold, _)| hold);
        let all: Vec<Hold> = fill.into_iter().chain(old).chain([self.hold]).collect();
        for hold in all {
            self.let_go(hold, until, view);
        }
        self.life = life;
        self.ready = false;
        self.anonymous = [0; 2];
    }

    /// Its users are known: what stayed for them goes.
    pub(super) fn settle(&mut self, until: Millis, view: &mut View) {
        self.sync = None;
        (self.misses, self.closed_doors) = (0, 0);
        for (hold, earlier) in std::mem::take(&mut self.old) {
            match earlier {
                true => self.let_go(hold, until, view),
                false if holds(Rule::SnapshotReplaces) => view.destine(hold, Fate::Over),
                false => view.destine(hold, Fate::Live),
            }
        }
    }

    /// It was only silent for a while: its users are there as before.
    pub(super) fn stays(&mut self) {
        self.leaving.retain(|hold| *hold != self.hold);
    }

    /// Whoever is still filed there waits the grace out.
    fn let_go(&mut self, hold: Hold, until: Millis, view: &mut View) {
        view.destine(hold, Fate::Grace(until));
        self.leaving.push_back(hold);
        if self.leaving.len() > MAX_FORMER
            && let Some(oldest) = self.leaving.pop_front()
        {
            view.destine(oldest, Fate::Over);
        }
    }

    /// Its users are not known, or no longer: ask at `at`.
    pub(super) fn fall_behind(&mut self, trust: bool, at: Millis, now: Millis) {
        let soonest = self.asked_at.map_or(at, |asked| asked.plus(ASK_EVERY_MS));
        self.behind_since = now;
        self.sync = Some(Sync {
            trust: trust && holds(Rule::RingReplays),
            fill: None,
            buffer: BTreeMap::new(),
            changes: 0,
            ask: Ask::At(at.max(soonest)),
        });
    }

    /// Something is missing while everything is to be asked for, but only later: the missing deltas
    /// alone are cheap, and had at once.
    pub(super) fn close_gap(&mut self, soon: Millis) {
        let later = self.full_at.is_some_and(|at| at > soon);
        if let Some(sync) = &mut self.sync
            && !sync.trust
            && sync.fill.is_none()
            && matches!(sync.ask, Ask::At(_))
            && later
            && holds(Rule::RingReplays)
        {
            sync.trust = true;
            sync.ask = Ask::At(soon);
        }
    }

    pub(super) fn apply(
        &mut self,
        seq: u64,
        changes: &[(Uid, Kinds)],
        view: &mut View,
        now: Millis,
    ) {
        self.seq = seq;
        for (uid, kinds) in changes {
            view.set(uid.as_str(), self.hold, *kinds, now);
        }
    }

    /// Applies what waited and follows; true if nothing is missing any more.
    pub(super) fn replay(&mut self, view: &mut View, now: Millis) -> bool {
        let Some(sync) = &mut self.sync else {
            return true;
        };
        let mut buffer = std::mem::take(&mut sync.buffer);
        sync.changes = 0;
        while let Some((seq, changes)) = buffer.pop_first() {
            if seq == self.seq.saturating_add(1) {
                self.apply(seq, &changes, view, now);
            } else if seq > self.seq {
                buffer.insert(seq, changes);
                break;
            }
        }
        let whole = buffer.is_empty() && self.seq >= self.ahead;
        if let Some(sync) = &mut self.sync {
            sync.changes = buffer.values().map(Vec::len).sum();
            sync.buffer = buffer;
        }
        whole
    }
}

impl Sync {
    /// Keeps a delta for later, unless there are too many.
    pub(super) fn keep(&mut self, seq: u64, changes: Vec<(Uid, Kinds)>) {
        if !holds(Rule::DeltasAreBuffered) {
            return;
        }
        self.changes += changes.len();
        if self.buffer.len() >= MAX_BUFFERED || self.changes > MAX_BUFFERED_CHANGES {
            self.forget();
            return;
        }
        self.buffer.insert(seq, changes);
    }

    pub(super) fn forget(&mut self) {
        self.buffer.clear();
        self.changes = 0;
    }
}

/// Where nodes are filed.
pub(super) type Peers = BTreeMap<NodeId, Peer>;
