//! Users in order, each with how it is there: what a part of a snapshot carries.

use super::Kinds;
use super::wire::{BadMessage, MAX_BYTES, Reader, Writer};
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

    /// Adds the user whose uid begins with the first `shared` bytes of the last one.
    fn push_after(&mut self, shared: usize, rest: &str, kinds: Kinds) -> Result<(), BadMessage> {
        let end = self.text.len();
        let start = end - self.last().map_or(0, str::len);
        let cut = start + shared;
        if cut > end || !self.text.is_char_boundary(cut) {
            return Err(BadMessage::Malformed("uid"));
        }
        let ascends = self.entries.is_empty() || rest.as_bytes() > &self.text.as_bytes()[cut..];
        // What is shared was looked at when it came first.
        if !ascends || !(1..=Uid::MAX_BYTES).contains(&(shared + rest.len())) || !is_clean(rest) {
            return Err(BadMessage::Malformed("uid"));
        }
        self.text.extend_from_within(start..cut);
        self.text.push_str(rest);
        // What is shared costs nothing on the wire: a small message must not fill the memory.
        if self.text.len() > MAX_BYTES {
            return Err(BadMessage::TooLarge);
        }
        self.entries.push((self.text.len() as u32, kinds));
        Ok(())
    }

    /// `[shared × 4 + kinds, rest, …]`: of each uid only what differs from the one before.
    pub(super) fn write(&self, out: &mut Writer) {
        out.list(self.entries.len() as u64 * 2);
        out.reserve(self.text.len() + self.entries.len() * 4);
        let mut before = "";
        for (uid, kinds) in self.iter() {
            let shared = shared(before, uid);
            out.number((shared as u64) << 2 | u64::from(kinds.code()));
            out.text(&uid[shared..]);
            before = uid;
        }
    }

    pub(super) fn read(fields: &mut Reader<'_>) -> Result<Users, BadMessage> {
        let pairs = fields.pairs()?;
        let mut users = Users {
            text: String::new(),
            entries: Vec::with_capacity(pairs),
        };
        for _ in 0..pairs {
            let head = fields.number()?;
            let kinds = Kinds::from_code(head & 3).filter(|kinds| !kinds.is_none());
            let kinds = kinds.ok_or(BadMessage::Malformed("kinds"))?;
            let shared = usize::try_from(head >> 2).unwrap_or(usize::MAX);
            if shared > Uid::MAX_BYTES {
                return Err(BadMessage::Malformed("uid"));
            }
            users.push_after(shared, fields.text()?, kinds)?;
        }
        Ok(users)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes of all of them as they stand, each with four for what goes with it: by this a
    /// part is cut. On the wire they are fewer, because neighbours share their beginnings.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.entries.len() * 4
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

/// How many bytes two uids share at their beginning, up to a whole character.
fn shared(before: &str, uid: &str) -> usize {
    let pairs = before.bytes().zip(uid.bytes());
    let equal = pairs.take_while(|(a, b)| a == b).count();
    uid.floor_char_boundary(equal)
}

/// Whether there is no control character in it.
fn is_clean(text: &str) -> bool {
    // Without a branch for each byte: nearly every uid is ASCII.
    let (mut control, mut wide) = (false, false);
    for byte in text.bytes() {
        control |= byte.is_ascii_control();
        wide |= byte >= 0x80;
    }
    let control = control || (wide && text.chars().any(char::is_control));
    !control
}
