//! The lives of nodes that users are filed under: how many they have, and how those of a dead one are taken out.

use smallvec::SmallVec;

use super::view::{Place, View};
use crate::ids::NodeId;
use crate::millis::Millis;
use crate::presence::Kinds;
use crate::presence::rules::{Rule, holds};

/// Rows looked at in one go while users of a dead node are taken out: about a millisecond or two, so
/// that a node with a million users does not stop the others.
const CHUNK: usize = 2_048;

/// More lives of nodes than any cluster has at a time.
const MAX_HOLDERS: usize = 16_384;

/// What a row says of who holds its user.
pub(super) type HolderId = u16;

/// One life of a node, as far as its users are concerned: what they are filed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) id: HolderId,
    /// Never used again, unlike the id.
    life: u64,
}

/// What becomes of a holder's users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// They are there.
    Live,
    /// They stay until a snapshot has replaced them.
    Replaced,
    /// They are there until then, unless they come again elsewhere.
    Grace(Millis),
    /// They are taken out.
    Over,
}

#[derive(Debug)]
pub(super) struct Holder {
    life: u64,
    pub(super) node: NodeId,
    pub(super) users: u64,
    pub(super) digest: u64,
    fate: Fate,
}

/// A walk over all rows that takes out those of some holders.
#[derive(Debug)]
pub(super) struct Pass {
    holders: Vec<HolderId>,
    after: Option<Box<str>>,
}

impl View {
    /// A new life of `node`; none if there are too many already.
    pub(super) fn hold(&mut self, node: &NodeId) -> Option<Hold> {
        self.lives += 1;
        let life = self.lives;
        let holder = Some(Holder {
            life,
            node: node.clone(),
            users: 0,
            digest: 0,
            fate: Fate::Live,
        });
        if let Some(id) = self.free.pop_front() {
            self.holders[usize::from(id)] = holder;
            return Some(Hold { id, life });
        }
        if self.holders.len() >= MAX_HOLDERS {
            return None;
        }
        self.holders.push(holder);
        let id = (self.holders.len() - 1) as HolderId;
        Some(Hold { id, life })
    }

    pub(super) fn holder(&mut self, id: HolderId) -> Option<&mut Holder> {
        self.holders.get_mut(usize::from(id))?.as_mut()
    }

    /// How many users a holder has, and their digest.
    pub(super) fn held(&self, hold: Hold) -> (u64, u64) {
        let holder = self.holders.get(usize::from(hold.id));
        let holder = holder.and_then(Option::as_ref);
        let holder = holder.filter(|holder| holder.life == hold.life);
        holder.map_or((0, 0), |holder| (holder.users, holder.digest))
    }

    /// What is to become of a holder's users. Whoever has none and shall have none is forgotten.
    pub(super) fn destine(&mut self, hold: Hold, fate: Fate) {
        let Some(holder) = self.holder(hold.id) else {
            return;
        };
        if holder.life != hold.life || holder.fate == Fate::Over {
            return;
        }
        let fate = match fate {
            Fate::Grace(_) if !holds(Rule::LostWaitGrace) => Fate::Over,
            fate => fate,
        };
        holder.fate = fate;
        let due = match fate {
            Fate::Live | Fate::Replaced => return,
            _ if holder.users == 0 => return self.forget(hold.id),
            Fate::Grace(until) => until,
            Fate::Over => Millis(0),
        };
        self.due = self.due.min(due);
    }

    /// Lets a holder whose grace is not over live again; false if it is too late.
    pub(super) fn revive(&mut self, hold: Hold) -> bool {
        match self.holder(hold.id) {
            Some(holder) if holder.life == hold.life && matches!(holder.fate, Fate::Grace(_)) => {
                holder.fate = Fate::Live;
                true
            }
            _ => false,
        }
    }

    fn forget(&mut self, id: HolderId) {
        self.holders[usize::from(id)] = None;
        self.free.push_back(id);
    }

    /// When to tick: when the next grace is over, or at once while rows are to be taken out.
    pub(super) fn due(&self) -> Millis {
        self.due
    }

    /// Takes out a chunk of those whose grace is over.
    pub(super) fn tick(&mut self, now: Millis) {
        if now < self.due {
            return;
        }
        if self.pass.is_none() {
            self.due = Millis::MAX;
            let mut over = Vec::new();
            for (id, holder) in self.holders.iter_mut().enumerate() {
                let Some(holder) = holder else { continue };
                match holder.fate {
                    Fate::Grace(until) if until > now => {
                        self.due = self.due.min(until);
                    }
                    Fate::Grace(_) | Fate::Over => {
                        holder.fate = Fate::Over;
                        over.push(id as HolderId);
                    }
                    Fate::Live | Fate::Replaced => {}
                }
            }
            if over.is_empty() {
                return;
            }
            self.due = Millis(0);
            self.pass = Some(Pass {
                holders: over,
                after: None,
            });
        }
        self.sweep(now);
    }

    fn sweep(&mut self, now: Millis) {
        let Some(mut pass) = self.pass.take() else {
            return;
        };
        let mut found: Vec<Box<str>> = Vec::new();
        let (mut looked, mut last) = (0, None);
        for (uid, row) in self.rows.after(pass.after.as_deref()).take(CHUNK) {
            let mut places = self.places(row);
            if places.any(|place| pass.holders.contains(&place.holder)) {
                found.push(uid.into());
            }
            (looked, last) = (looked + 1, Some(uid));
        }
        pass.after = last.filter(|_| looked == CHUNK).map(Box::from);
        for uid in &found {
            self.take_out(uid, &pass.holders, now);
        }
        let holders = pass.holders.iter();
        let holders = holders.filter_map(|id| self.holders.get(usize::from(*id))?.as_ref());
        let left: u64 = holders.map(|holder| holder.users).sum();
        if pass.after.is_some() && left > 0 {
            self.pass = Some(pass);
            return;
        }
        for id in pass.holders {
            self.forget(id);
        }
    }

    fn take_out(&mut self, uid: &str, holders: &[HolderId], now: Millis) {
        let Some(mut row) = self.rows.get(uid).copied() else {
            return;
        };
        let mut places: SmallVec<[Place; 4]> = self.places(&row).collect();
        for place in &places {
            if holders.contains(&place.holder) {
                self.count(place.holder, uid, place.kinds, Kinds::NONE);
            }
        }
        places.retain(|place| !holders.contains(&place.holder));
        self.store(uid, &mut row, &places, now);
    }
}
