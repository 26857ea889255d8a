//! Who is where: rows of users, the nodes that hold them, counts, and what changed.

use std::collections::{BTreeMap, VecDeque};

use smallvec::SmallVec;

use super::answers::{Diff, Page};
use super::holders::{Hold, Holder, HolderId, Pass};
use super::rows::Rows;
use crate::ids::{NodeId, Uid};
use crate::millis::Millis;
use crate::presence::same::Sum;
use crate::presence::{Kinds, digest_of};
use crate::transport::Transport;

/// Rows that one page walks over at most, besides sixteen for each that was asked for.
const WALK: usize = 4_096;

/// Changes that nobody has taken become one for each user at the latest when there are so many.
const COMPACT: usize = 4_096;

/// Nobody holds it.
const NOBODY: u16 = u16::MAX;

/// Eight bytes: most users are on one node, and only the others have a list in `more`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) holder: HolderId,
    kinds: Kinds,
    pub(super) told: bool,
    /// Which list has the further places, from 1; 0 none.
    pub(super) more: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) holder: HolderId,
    pub(super) kinds: Kinds,
}

const EMPTY: Row = Row {
    holder: NOBODY,
    kinds: Kinds::NONE,
    told: false,
    more: 0,
};

/// The view of all users.
#[derive(Debug)]
pub(super) struct View {
    pub(super) rows: Rows<Row>,
    pub(super) more: Vec<Vec<Place>>,
    pub(super) more_free: Vec<u32>,
    pub(super) holders: Vec<Option<Holder>>,
    pub(super) free: VecDeque<HolderId>,
    pub(super) counts: [usize; 3],
    /// Who changed since the last look, and how it was there then.
    pub(super) changed: Vec<(Uid, Kinds)>,
    /// How many changes there may be before those of the same user become one.
    compact_at: usize,
    /// Who is there and not told, or told and not there; see `told.rs`.
    pub(super) differing: BTreeMap<Uid, (Millis, bool)>,
    /// Of all who are told.
    pub(super) told: Sum,
    pub(super) pass: Option<Pass>,
    /// Lives so far.
    pub(super) lives: u64,
    /// When to tick.
    pub(super) due: Millis,
}

impl View {
    pub(super) fn new() -> View {
        View {
            rows: Rows::new(),
            more: Vec::new(),
            more_free: Vec::new(),
            holders: Vec::new(),
            free: VecDeque::new(),
            counts: [0; 3],
            changed: Vec::new(),
            compact_at: COMPACT,
            differing: BTreeMap::new(),
            told: Sum::default(),
            pass: None,
            lives: 0,
            due: Millis::MAX,
        }
    }

    /// A user is there as `kinds` on the node of `holder`, and on it in no other life.
    /// O(log n).
    pub(super) fn set(&mut self, uid: &str, hold: Hold, kinds: Kinds, now: Millis) {
        let holder = hold.id;
        let row = if kinds.is_none() {
            self.rows.get_mut(uid)
        } else {
            Some(self.rows.entry(uid, EMPTY))
        };
        let Some(row) = row else { return };
        if row.more == 0 && (row.holder == NOBODY || row.holder == holder) {
            let before = row.kinds;
            if before == kinds {
                return;
            }
            row.kinds = kinds;
            row.holder = if kinds.is_none() { NOBODY } else { holder };
            let gone = kinds.is_none() && !row.told;
            let told = row.told;
            self.count(holder, uid, before, kinds);
            self.changed(uid, before, kinds, told, now);
            if gone {
                self.rows.remove(uid);
            }
            return;
        }
        let mut row = *row;
        let before = self.kinds_of(&row);
        let mut places: SmallVec<[Place; 4]> = self.places(&row).collect();
        let node = self.holder(holder).map(|holder| holder.node.clone());
        let (mut same, elsewhere) = (false, places.len());
        for at in (0..places.len()).rev() {
            let place = places[at];
            let other = self.holder(place.holder).map(|holder| &holder.node);
            if place.holder == holder || other == node.as_ref() {
                same = place == Place { holder, kinds };
                self.count(place.holder, uid, place.kinds, Kinds::NONE);
                places.remove(at);
            }
        }
        if !kinds.is_none() {
            places.push(Place { holder, kinds });
            self.count(holder, uid, Kinds::NONE, kinds);
        }
        if same || (kinds.is_none() && places.len() == elsewhere) {
            return;
        }
        self.file(&mut row, &places);
        let now_kinds = self.kinds_of(&row);
        self.store(uid, row);
        self.changed(uid, before, now_kinds, row.told, now);
    }

    /// A holder's users and digest, when one of them changes.
    pub(super) fn count(&mut self, id: HolderId, uid: &str, before: Kinds, now: Kinds) {
        if let Some(holder) = self.holder(id) {
            holder.digest ^= digest_of(uid, before) ^ digest_of(uid, now);
            holder.users += u64::from(!now.is_none());
            holder.users -= u64::from(!before.is_none());
        }
    }

    pub(super) fn places(&self, row: &Row) -> impl Iterator<Item = Place> {
        let first = (row.holder != NOBODY).then_some(Place {
            holder: row.holder,
            kinds: row.kinds,
        });
        let more = (row.more as usize).checked_sub(1);
        let more = more.map_or(&[][..], |at| &self.more[at]);
        first.into_iter().chain(more.iter().copied())
    }

    pub(super) fn kinds_of(&self, row: &Row) -> Kinds {
        let places = self.places(row);
        places.fold(Kinds::NONE, |kinds, place| kinds.union(place.kinds))
    }

    /// Puts `places` into the row, the further ones into a list.
    pub(super) fn file(&mut self, row: &mut Row, places: &[Place]) {
        let (first, rest) = match places {
            [] => (None, &[][..]),
            [first, rest @ ..] => (Some(*first), rest),
        };
        row.holder = first.map_or(NOBODY, |place| place.holder);
        row.kinds = first.map_or(Kinds::NONE, |place| place.kinds);
        if rest.is_empty() {
            if let Some(at) = row.more.checked_sub(1) {
                self.more[at as usize] = Vec::new();
                self.more_free.push(at);
            }
            row.more = 0;
            return;
        }
        if row.more == 0 {
            let at = self.more_free.pop().unwrap_or_else(|| {
                self.more.push(Vec::new());
                (self.more.len() - 1) as u32
            });
            row.more = at + 1;
        }
        self.more[row.more as usize - 1] = rest.to_vec();
    }

    /// A row lives while somebody is there, or told.
    pub(super) fn store(&mut self, uid: &str, row: Row) {
        if row.holder == NOBODY && !row.told {
            self.rows.remove(uid);
        } else if let Some(stored) = self.rows.get_mut(uid) {
            *stored = row;
        }
    }

    /// Marks a user, who gets a row for it if there is none.
    pub(super) fn mark(&mut self, uid: &str, told: bool) {
        self.rows.entry(uid, EMPTY).told = told;
    }

    /// What follows from a change: counts, diffs, and what the feed owes.
    pub(super) fn changed(
        &mut self,
        text: &str,
        before: Kinds,
        now: Kinds,
        told: bool,
        at: Millis,
    ) {
        for (count, which) in self
            .counts
            .iter_mut()
            .zip([Kinds::WS, Kinds::POLL, Kinds::BOTH])
        {
            let has = |kinds: Kinds| kinds.code() & which.code() != 0;
            *count += usize::from(has(now));
            *count -= usize::from(has(before));
        }
        let uid = Uid::known(text);
        if before.is_none() != now.is_none() {
            self.differ(&uid, !now.is_none(), told, at);
        }
        self.changed.push((uid, before));
        if self.changed.len() >= self.compact_at {
            self.compact();
        }
    }

    /// By WebSocket, by polling, by any.
    pub(super) fn counts(&self) -> [usize; 3] {
        self.counts
    }

    pub(super) fn uid(&self, uid: &str) -> impl Iterator<Item = (&NodeId, Kinds)> {
        let row = self.rows.get(uid).copied().unwrap_or(EMPTY);
        let places: SmallVec<[Place; 4]> = self.places(&row).collect();
        places.into_iter().filter_map(|place| {
            let holder = self.holders.get(usize::from(place.holder))?.as_ref()?;
            Some((&holder.node, place.kinds))
        })
    }

    pub(super) fn kinds(&self, uid: &str) -> Kinds {
        let row = self.rows.get(uid);
        row.map_or(Kinds::NONE, |row| self.kinds_of(row))
    }

    /// Those whom `pick` takes, up to `limit`, and where to go on.
    pub(super) fn page<T>(
        &self,
        after: Option<&Uid>,
        limit: usize,
        mut pick: impl FnMut(&str, &Row) -> Option<T>,
    ) -> Page<T> {
        let walk = WALK.saturating_add(limit.saturating_mul(16));
        let (mut users, mut last) = (Vec::new(), None);
        for (walked, (uid, row)) in self.rows.after(after.map(Uid::as_str)).enumerate() {
            if users.len() >= limit || walked >= walk {
                let next = last.map(Uid::known).or(after.cloned());
                return Page { users, next };
            }
            users.extend(pick(uid, row));
            last = Some(uid);
        }
        Page { users, next: None }
    }

    pub(super) fn users(
        &self,
        after: Option<&Uid>,
        limit: usize,
        only: Option<Transport>,
    ) -> Page<(Uid, Kinds)> {
        self.page(after, limit, |uid, row| {
            let kinds = self.kinds_of(row);
            let wanted = only.map_or(!kinds.is_none(), |only| kinds.has(only));
            wanted.then(|| (Uid::known(uid), kinds))
        })
    }

    /// The first of each user's changes, in order of the users.
    fn compact(&mut self) {
        // Stable, so that the first of a user's changes stays the first.
        self.changed.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.changed.dedup_by(|later, first| later.0 == first.0);
        self.compact_at = COMPACT.max(self.changed.len() * 2);
    }

    pub(super) fn take_diffs(&mut self) -> Vec<Diff> {
        self.compact();
        self.compact_at = COMPACT;
        let changed = std::mem::take(&mut self.changed);
        let diff = |(uid, before)| Diff {
            now: self.kinds(Uid::as_str(&uid)),
            uid,
            before,
        };
        changed.into_iter().map(diff).collect()
    }
}
