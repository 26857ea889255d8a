//! Who is where: rows of users, the nodes that hold them, counts, and what changed.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::answers::{Diff, Page};
use super::holders::{Hold, Holder, HolderId, Pass};
use super::rows::{self, Rows};
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

/// Sixteen bytes: most users are on one node, and only the others have a list in `more`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) holder: HolderId,
    kinds: Kinds,
    /// What the feed has told of the user last: online, or not.
    pub(super) told: bool,
    /// Which list has the further places, from 1; 0 none.
    pub(super) more: u32,
    /// When the user came, went, was told to be there or to be gone: since then both differ, if
    /// they do.
    pub(super) since: Millis,
}

impl Row {
    pub(super) fn is_announced(&self) -> bool {
        self.holder != NOBODY
    }
}

impl rows::Row for Row {
    const VACANT: Row = Row {
        holder: NOBODY,
        kinds: Kinds::NONE,
        told: false,
        more: 0,
        since: Millis(0),
    };

    fn is_vacant(&self) -> bool {
        !self.is_announced() && !self.told
    }

    fn differs(&self) -> bool {
        self.is_announced() != self.told
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) holder: HolderId,
    pub(super) kinds: Kinds,
}

/// The view of all users.
#[derive(Debug)]
pub(super) struct View {
    pub(super) rows: Rows<Row>,
    pub(super) more: Vec<Vec<Place>>,
    pub(super) more_free: Vec<u32>,
    pub(super) holders: Vec<Option<Holder>>,
    pub(super) free: VecDeque<HolderId>,
    pub(super) counts: [usize; 3],
    /// What changed since the last look.
    changed: Vec<Diff>,
    /// How many changes there may be before those of the same user become one.
    compact_at: usize,
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
            told: Sum::default(),
            pass: None,
            lives: 0,
            due: Millis::MAX,
        }
    }

    /// A user is there as `kinds` on the node of `holder`, and on it in no other life.
    pub(super) fn set(&mut self, uid: &str, hold: Hold, kinds: Kinds, now: Millis) {
        let holder = hold.id;
        let row = self.rows.change(uid, |row| {
            if row.more != 0 || (row.is_announced() && row.holder != holder) {
                return Err(*row);
            }
            let before = row.kinds;
            if before.is_none() != kinds.is_none() {
                row.since = now;
            }
            row.kinds = kinds;
            row.holder = if kinds.is_none() { NOBODY } else { holder };
            Ok(before)
        });
        match row {
            Ok(before) if before == kinds => {}
            Ok(before) => {
                self.count(holder, uid, before, kinds);
                self.changed(uid, before, kinds);
            }
            Err(row) => self.set_among_others(uid, row, Place { holder, kinds }, now),
        }
    }

    /// The same for a user who is, or was, on several nodes.
    fn set_among_others(&mut self, uid: &str, mut row: Row, place: Place, now: Millis) {
        let Place { holder, kinds } = place;
        let mut places: SmallVec<[Place; 4]> = self.places(&row).collect();
        let node = self.holder(holder).map(|holder| holder.node.clone());
        let (mut same, elsewhere) = (false, places.len());
        for at in (0..places.len()).rev() {
            let known = places[at];
            let other = self.holder(known.holder).map(|holder| &holder.node);
            if known.holder == holder || other == node.as_ref() {
                same = known == place;
                self.count(known.holder, uid, known.kinds, Kinds::NONE);
                places.remove(at);
            }
        }
        if !kinds.is_none() {
            places.push(place);
            self.count(holder, uid, Kinds::NONE, kinds);
        }
        if same || (kinds.is_none() && places.len() == elsewhere) {
            return;
        }
        self.store(uid, &mut row, &places, now);
    }

    /// From now on a user is there by `places` alone; `row` is what was known.
    pub(super) fn store(&mut self, uid: &str, row: &mut Row, places: &[Place], now: Millis) {
        let before = self.kinds_of(row);
        self.file(row, places);
        let kinds = self.kinds_of(row);
        if before.is_none() != kinds.is_none() {
            row.since = now;
        }
        self.rows.change(uid, |stored| *stored = *row);
        self.changed(uid, before, kinds);
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
        let first = row.is_announced().then_some(Place {
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
    fn file(&mut self, row: &mut Row, places: &[Place]) {
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

    /// What follows from a change: counts and diffs.
    fn changed(&mut self, uid: &str, before: Kinds, now: Kinds) {
        for (count, which) in self
            .counts
            .iter_mut()
            .zip([Kinds::WS, Kinds::POLL, Kinds::BOTH])
        {
            let has = |kinds: Kinds| kinds.code() & which.code() != 0;
            *count += usize::from(has(now));
            *count -= usize::from(has(before));
        }
        let uid = Uid::known(uid);
        self.changed.push(Diff { uid, before, now });
        if self.changed.len() >= self.compact_at {
            self.compact();
        }
    }

    /// By WebSocket, by polling, by any.
    pub(super) fn counts(&self) -> [usize; 3] {
        self.counts
    }

    pub(super) fn uid(&self, uid: &str) -> impl Iterator<Item = (&NodeId, Kinds)> {
        let row = self.rows.get(uid).copied().unwrap_or(rows::Row::VACANT);
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

    /// One change for each user, from the first state to the last, in order of the users.
    fn compact(&mut self) {
        // Stable, so that a user's changes stay in their order.
        self.changed.sort_by(|a, b| a.uid.cmp(&b.uid));
        self.changed.dedup_by(|later, first| {
            let same = later.uid == first.uid;
            if same {
                first.now = later.now;
            }
            same
        });
        self.compact_at = COMPACT.max(self.changed.len() * 2);
    }

    pub(super) fn take_diffs(&mut self) -> Vec<Diff> {
        self.compact();
        self.compact_at = COMPACT;
        std::mem::take(&mut self.changed)
    }
}
