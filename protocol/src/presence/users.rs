//! Users in order, each with how it is there: what a part of a snapshot carries.

use super::Kinds;
use crate::ids::Uid;

/// Users in ascending order of their uids' bytes, in one piece of memory: a million of them are
/// three allocations, not a million.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    text: String,
    /// Where each uid ends in `text`.
    entries: Vec<(u32, Kinds)>,
}

impl Users {
    /// Adds the next user.
    ///
    /// False, and nothing is added, when `uid` does not come after the last one: order is what a
    /// receiver relies on.
    pub fn push(&mut self, uid: &str, kinds: Kinds) -> bool {
        if self.last().is_some_and(|last| last >= uid) {
            return false;
        }
        let Ok(end) = u32::try_from(self.text.len() + uid.len()) else {
            return false;
        };
        self.text.push_str(uid);
        self.entries.push((end, kinds));
        true
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The last uid.
    pub fn last(&self) -> Option<&str> {
        let start = match self.entries.len() {
            0 => return None,
            1 => 0,
            n => self.entries[n - 2].0 as usize,
        };
        Some(&self.text[start..])
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Kinds)> {
        let mut start = 0;
        self.entries.iter().map(move |(end, kinds)| {
            let uid = &self.text[start..*end as usize];
            start = *end as usize;
            (uid, *kinds)
        })
    }
}

impl<'u> FromIterator<(&'u Uid, Kinds)> for Users {
    /// Whoever is out of order is left out.
    fn from_iter<I: IntoIterator<Item = (&'u Uid, Kinds)>>(users: I) -> Users {
        let mut all = Users::default();
        for (uid, kinds) in users {
            all.push(uid.as_str(), kinds);
        }
        all
    }
}
