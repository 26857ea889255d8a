//! The pushes: each to each client that was a member exactly once, in order per publisher, or a gap that covers it.

use super::Totals;
use crate::pushing::Name;
use std::collections::BTreeMap;
use tengen_protocol::{ClientId, Filter, Target, Uid};

/// How long a message id is remembered (design §4).
pub(crate) const ID_WINDOW: u64 = 10_000;
/// How long a push without number and id is remembered (design §2).
pub(crate) const CONTENT_WINDOW: u64 = 2_000;

struct Published {
    /// Its body, which equal pushes share.
    name: Name,
    at: u64,
    target: Target,
    filter: Filter,
    /// It was lost before it reached the bus: nobody need have it.
    lost: bool,
    /// It was published once more, by its message id the same; its first copy may have been lost.
    again: bool,
    /// For how long nodes know who it is, if it has no number.
    known_for: Option<u64>,
}

impl Published {
    /// A node may have forgotten the first copy: of what was published more than once, or, if
    /// nodes lag for so long, of what has no number.
    fn is_forgotten(&self, now: u64, lagging: bool) -> bool {
        let known_for = self.known_for.filter(|_| self.again || lagging);
        known_for.is_some_and(|known_for| now >= self.at + known_for)
    }

    /// It may come long after its time, and nobody can tell.
    fn is_late(&self, lagging: bool) -> bool {
        lagging && self.known_for.is_some()
    }
}

/// What one tab has seen.
#[derive(Default)]
pub(crate) struct Seen {
    uid: Option<Uid>,
    client: Option<ClientId>,
    /// When the present membership was told to the application; what was published later has to come.
    since: Option<u64>,
    /// When its session began, for the application.
    fresh_at: u64,
    /// The last push seen, by publisher, and when.
    last: BTreeMap<usize, (u64, u64)>,
    /// Where each push was seen.
    seen: BTreeMap<(usize, u64), u64>,
    /// When the application was last told to fetch anew.
    gap_at: u64,
    /// Holes whose gap must come soon: the bus was interrupted, and the node waits for its interest.
    holes: Vec<Hole>,
    /// Something has come since the last check.
    hears: bool,
}

struct Hole {
    missing: (usize, u64),
    published: u64,
    /// For so long the tab has heard more since.
    heard: u64,
}

#[derive(Default)]
pub(crate) struct Pushes {
    by_publisher: BTreeMap<usize, Vec<Published>>,
    tabs: BTreeMap<usize, Seen>,
    /// A gap may come this much later than what follows the hole.
    pub(crate) slack: u64,
    /// Nodes may be held up for longer than they remember.
    pub(crate) lagging: bool,
}

impl Pushes {
    pub(crate) fn publish(
        &mut self,
        by: usize,
        name: Option<Name>,
        target: &Target,
        filter: &Filter,
        (at, known_for): (u64, Option<u64>),
    ) -> Name {
        let line = self.by_publisher.entry(by).or_default();
        let name = name.unwrap_or((by, line.len() as u64));
        line.push(Published {
            name,
            at,
            target: target.clone(),
            filter: filter.clone(),
            lost: false,
            again: false,
            known_for,
        });
        name
    }

    /// The publisher's connection broke before this had reached the bus.
    pub(crate) fn lost(&mut self, name: Name) {
        let line = self
            .by_publisher
            .get_mut(&name.0)
            .expect("published before");
        for published in line.iter_mut().filter(|it| it.name == name) {
            published.lost = true;
        }
    }

    /// The same is published once more.
    pub(crate) fn again(&mut self, name: Name) {
        let line = self
            .by_publisher
            .get_mut(&name.0)
            .expect("published before");
        for published in line.iter_mut().filter(|it| it.name == name) {
            published.again = true;
        }
    }

    /// A new membership begins: nothing before it is missed.
    pub(crate) fn opened_fresh(
        &mut self,
        tab: usize,
        uid: Option<&Uid>,
        client: &ClientId,
        now: u64,
    ) {
        let seen = self.tabs.entry(tab).or_default();
        seen.uid = uid.cloned();
        seen.client = Some(client.clone());
        seen.since = Some(now);
        seen.fresh_at = now;
        seen.last.clear();
        seen.holes.clear();
    }

    /// The application left, or became somebody else: what it missed is no surprise.
    pub(crate) fn left(&mut self, tab: usize) {
        let seen = self.tabs.entry(tab).or_default();
        seen.since = None;
        seen.holes.clear();
    }

    pub(crate) fn gap(&mut self, tab: usize, now: u64, totals: &mut Totals) {
        let seen = self.tabs.entry(tab).or_default();
        seen.gap_at = now;
        let before = seen.holes.len();
        seen.holes.retain(|hole| hole.published > now);
        totals.holes_covered += (before - seen.holes.len()) as u64;
        totals.gaps += 1;
    }

    pub(crate) fn saw(&mut self, tab: usize, name: Name, now: u64, totals: &mut Totals) {
        let seen = self
            .tabs
            .get_mut(&tab)
            .expect("a push before the first hello");
        let lagging = self.lagging;
        let line = &self.by_publisher[&name.0];
        // Equal pushes cannot be told apart: this is the first of them that has not come yet.
        let equals = line.iter().enumerate().filter(|(_, it)| it.name == name);
        let equals: Vec<u64> = equals.map(|(n, _)| n as u64).collect();
        let unseen = equals
            .iter()
            .find(|n| !seen.seen.contains_key(&(name.0, **n)));
        let again = || {
            let mut equals = equals.iter();
            equals.find(|n| !seen.has(name.0, **n, line, (now, lagging)))
        };
        let fresh = unseen.or_else(again).copied();
        let Some(n) = fresh else {
            panic!("tab {tab} saw push {name:?} once too often");
        };
        let push = &line[n as usize];
        assert!(
            push.target.means(seen.uid.as_ref()),
            "tab {tab}, {:?}, saw a push for {:?}",
            seen.uid,
            push.target
        );
        let client = seen.client.as_ref().expect("it has been greeted");
        assert!(push.filter.admits(client), "tab {tab} saw a filtered push");
        seen.seen.insert((name.0, n), now);
        seen.hears = true;
        totals.pushes_seen += 1;
        match seen.last.get(&name.0).copied() {
            Some((last, _)) if n < last && push.is_forgotten(now, lagging) => {}
            // Published before this membership, it is neither missed nor out of its order.
            Some((last, _)) if n < last && seen.since.is_none_or(|since| push.at <= since) => {}
            // The second copy has a place of its own; whoever lacked the first was told, or the first
            // never reached the bus, as its publisher knows.
            Some((last, _)) if n < last && push.again && (push.lost || seen.gap_at > push.at) => {}
            // While the bus was interrupted: then the gap is still to come.
            Some((last, _)) if n < last && push.again && self.slack > 0 => {
                let published = push.at;
                seen.holes.push(Hole {
                    missing: (name.0, n),
                    published,
                    heard: 0,
                });
            }
            // It was lost to the node that had the session then, and a gap told it. Another, which was
            // held up meanwhile, has it still. Nothing says its order without a number; and while the
            // bus is interrupted such a push is promised at most once, not in order (design §6).
            Some((last, _)) if n < last && push.is_late(lagging) && seen.gap_at > push.at => {}
            Some((last, at)) if n < last => assert!(
                seen.gap_at >= at && seen.gap_at > 0,
                "tab {tab} saw push {name:?} ({n}) after {last}, and no gap between"
            ),
            last => {
                let from = last.map_or(0, |(last, _)| last + 1);
                seen.last.insert(name.0, (n, now));
                let slack = self.slack;
                let missing = seen.missing(name.0, line, from..n);
                for hole in missing {
                    assert!(
                        slack > 0,
                        "tab {tab} saw push {name:?} ({n}) without {} before it, and no gap told it",
                        hole.1
                    );
                    let published = line[hole.1 as usize].at;
                    seen.holes.push(Hole {
                        missing: hole,
                        published,
                        heard: 0,
                    });
                }
            }
        }
    }

    /// The connection of a tab is not silent: something has come, whatever it is.
    pub(crate) fn heard(&mut self, tab: usize) {
        self.tabs.entry(tab).or_default().hears = true;
    }

    /// The gap of an interruption must follow, soon: as time goes for a tab that hears. Over a
    /// connection which is silent nobody can tell it anything.
    pub(crate) fn check_slack(&mut self, since: u64) {
        for (tab, seen) in &mut self.tabs {
            let heard = std::mem::take(&mut seen.hears);
            for hole in &mut seen.holes {
                hole.heard += if heard { since } else { 0 };
                assert!(
                    hole.heard < self.slack,
                    "tab {tab} lacks push {:?}, and no gap told it",
                    hole.missing
                );
            }
        }
    }

    /// Whether a push has come to a tab.
    pub(crate) fn has_come(&self, tab: usize, name: Name) -> bool {
        let seen = self.tabs.get(&tab);
        seen.is_some_and(|seen| seen.seen.contains_key(&name))
    }

    /// Everything is quiet and whole: nothing may be missing at the end of any line either.
    pub(crate) fn settle(&self) -> Result<(), String> {
        for (tab, seen) in &self.tabs {
            if let Some(hole) = seen.holes.first() {
                return Err(format!("tab {tab} lacks push {:?}", hole.missing));
            }
            for (publisher, line) in &self.by_publisher {
                let from = seen.last.get(publisher).map_or(0, |(last, _)| last + 1);
                let missing = seen.missing(*publisher, line, from..line.len() as u64);
                if let Some(missing) = missing.first() {
                    return Err(format!("push {missing:?} never came to tab {tab}"));
                }
            }
        }
        Ok(())
    }
}

impl Seen {
    /// Whether it has come, and must not come again.
    fn has(
        &self,
        publisher: usize,
        n: u64,
        line: &[Published],
        (now, lagging): (u64, bool),
    ) -> bool {
        let Some(at) = self.seen.get(&(publisher, n)).copied() else {
            return false;
        };
        let push = &line[n as usize];
        // A session which could not be resumed, and the next one: no node knows both.
        let other_session = at <= self.fresh_at && push.at <= self.fresh_at;
        // A node that was held up takes the second copy when it has forgotten the first.
        let forgotten = push.is_forgotten(now, lagging);
        !other_session && !forgotten
    }

    /// What of these should have come, and no gap tells of.
    fn missing(
        &self,
        publisher: usize,
        line: &[Published],
        range: std::ops::Range<u64>,
    ) -> Vec<(usize, u64)> {
        let Some(since) = self.since else {
            return Vec::new();
        };
        let client = self.client.as_ref();
        range
            .filter(|n| {
                let push = &line[*n as usize];
                push.at > since
                    && !push.lost
                    && push.at > self.gap_at
                    && push.target.means(self.uid.as_ref())
                    && client.is_some_and(|client| push.filter.admits(client))
                    && !self.seen.contains_key(&(publisher, *n))
            })
            .map(|n| (publisher, n))
            .collect()
    }
}

impl super::Ledger {
    pub(crate) fn publish(
        &mut self,
        by: usize,
        target: &Target,
        filter: &Filter,
        at: (u64, Option<u64>),
    ) -> Name {
        self.totals.published += 1;
        self.pushes.publish(by, None, target, filter, at)
    }

    pub(crate) fn publish_equal(
        &mut self,
        by: usize,
        name: Name,
        target: &Target,
        filter: &Filter,
        at: u64,
    ) {
        self.totals.published += 1;
        let at = (at, Some(CONTENT_WINDOW));
        self.pushes.publish(by, Some(name), target, filter, at);
    }
}
