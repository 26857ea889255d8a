//! What a node answers to one that missed deltas: those alone, or its users part by part.

use super::super::rules::{Rule, holds};
use super::super::{Epoch, Snapshot, SyncAnswer, SyncReq, Users};
use super::{CHANGE_BYTES, Local};
use crate::ids::NodeId;
use crate::millis::Millis;

/// Nodes that are sent a snapshot at once; others are asked to come back.
const MAX_ASKERS: usize = 2;
/// A node that has not asked for its next part for so long has given up, or is gone: twice the time
/// after which it asks again.
const PATIENCE_MS: u64 = 1_400;

/// Who is being sent a snapshot, each until it has not asked for long enough.
#[derive(Debug, Default)]
pub(super) struct Askers(Vec<(NodeId, Millis)>);

impl Askers {
    /// Whether `by` may be sent the next part now.
    fn admit(&mut self, by: &NodeId, now: Millis) -> bool {
        self.0.retain(|(asker, until)| *until > now && asker != by);
        let room = self.0.len() < MAX_ASKERS || !holds(Rule::TwoOutgoing);
        if room {
            self.0.push((by.clone(), now.plus(PATIENCE_MS)));
        }
        room
    }

    fn done(&mut self, by: &NodeId) {
        self.0.retain(|(asker, _)| asker != by);
    }
}

impl Local {
    /// Answers a node that missed something. `None` before there is an epoch: a node that has said
    /// nothing can have been missed by nobody.
    ///
    /// A part costs by its own size: it is cut from the ordered users behind the last one of the
    /// part before, and only the first number travels with all of them.
    pub fn sync(&mut self, asked: &SyncReq, now: Millis) -> Option<SyncAnswer> {
        let epoch = self.epoch?;
        if asked.epoch != epoch {
            return Some(SyncAnswer::Other { epoch });
        }
        if asked.part == 0
            && holds(Rule::RingReplays)
            && let Some(missed) = asked.have_seq.and_then(|seq| self.missed(seq))
        {
            return Some(SyncAnswer::Deltas(missed));
        }
        if !self.askers.admit(&asked.by, now) {
            return Some(SyncAnswer::Busy);
        }
        Some(SyncAnswer::Part(self.part(asked, epoch)))
    }

    fn missed(&self, seq: u64) -> Option<Vec<super::Delta>> {
        match seq.cmp(&self.seq) {
            std::cmp::Ordering::Less => self.ring.after(seq),
            std::cmp::Ordering::Equal => Some(Vec::new()),
            // No delta of this epoch has that number: whatever the asker has, it is not ours.
            std::cmp::Ordering::Greater => None,
        }
    }

    fn part(&mut self, asked: &SyncReq, epoch: Epoch) -> Snapshot {
        let max_bytes = self.options.max_part_bytes;
        let (mut users, mut bytes, mut is_last) = (Users::default(), 0, true);
        for (uid, kinds) in self.announced(asked.after.as_ref()) {
            bytes += uid.as_str().len() + CHANGE_BYTES;
            if bytes > max_bytes && !users.is_empty() {
                is_last = false;
                break;
            }
            users.push(uid.as_str(), kinds);
        }
        if is_last {
            self.askers.done(&asked.by);
        }
        let first = asked.have_seq.filter(|_| asked.part > 0);
        let first = first.filter(|_| holds(Rule::PartsCarryFirstSeq));
        Snapshot {
            node: self.options.node.clone(),
            epoch,
            seq: first.unwrap_or(self.seq).min(self.seq),
            part: asked.part,
            of: asked.part.saturating_add(if is_last { 1 } else { 2 }),
            users,
            bans: Vec::new(),
        }
    }
}
