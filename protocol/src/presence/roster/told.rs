//! What the feed has told of each user, and where that differs from who is there.

use std::collections::BTreeSet;

use super::answers::Page;
use super::view::View;
use crate::ids::Uid;
use crate::millis::Millis;

impl View {
    pub(super) fn set_told(&mut self, uid: &Uid, told: bool, now: Millis) {
        let flipped = self.rows.change(uid.as_str(), |row| {
            let flips = row.told != told;
            if flips {
                (row.told, row.since) = (told, now);
            }
            flips
        });
        if flipped {
            self.told.change(uid.as_str(), told);
        }
    }

    pub(super) fn is_told(&self, uid: &str) -> bool {
        self.rows.get(uid).is_some_and(|row| row.told)
    }

    pub(super) fn told_page(&self, after: Option<&Uid>, limit: usize) -> Page<Uid> {
        self.page(after, limit, |uid, row| row.told.then(|| Uid::known(uid)))
    }

    pub(super) fn each_told(&self, after: Option<&Uid>, mut look: impl FnMut(&str) -> bool) {
        let mut rows = self.rows.after(after.map(Uid::as_str));
        rows.all(|(uid, row)| !row.told || look(uid));
    }

    pub(super) fn retain_told_in(
        &mut self,
        after: Option<&Uid>,
        until: Option<&Uid>,
        told: &[Uid],
        now: Millis,
    ) {
        let wanted: BTreeSet<&str> = told.iter().map(Uid::as_str).collect();
        let range = self.rows.after(after.map(Uid::as_str));
        let range = range.take_while(|(uid, _)| until.is_none_or(|until| *uid <= until.as_str()));
        let gone = range.filter(|(uid, row)| row.told && !wanted.contains(uid));
        let gone: Vec<Uid> = gone.map(|(uid, _)| Uid::known(uid)).collect();
        for uid in &gone {
            self.set_told(uid, false, now);
        }
        let inside = |uid: &&Uid| {
            after.is_none_or(|after| *uid > after) && until.is_none_or(|until| *uid <= until)
        };
        for uid in told.iter().filter(inside) {
            self.set_told(uid, true, now);
        }
    }
}
