//! Loads the base page by page, while the feed goes on.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::Heard;
use crate::ids::Uid;
use crate::millis::Millis;
use crate::presence::feed::{Feed, Said, Stream, ToldPage, ToldRequest};
use crate::presence::rules::{Rule, holds};
use crate::presence::same::{Have, MAX_RANGES};
use crate::presence::told::Told;

/// The most users that may come and go while a base is loaded: about 30 MiB of a follower's
/// memory. Beyond it the base is loaded anew, from a time when there is less to do.
const MAX_CHANGED: usize = 1 << 18;

/// A base on its way.
#[derive(Debug, Default)]
pub(super) struct Base {
    /// The unbroken end of the feed that has been heard since loading began.
    run: Option<Run>,
    /// What that run said last of each user, and in which message: it stands over a page made before.
    changed: BTreeMap<Uid, (u64, bool)>,
    /// What the first page said.
    first: Option<(Stream, u64)>,
    /// The page to ask for is behind this user.
    after: Option<Uid>,
    /// How many ranges of the copy the next question shows: fewer after one that was another, and
    /// twice as many after each that was the same. None is decided, or 0: the copy was empty.
    ranges: Option<usize>,
    asked: Asked,
}

/// The question that is under way.
#[derive(Debug, Default)]
struct Asked {
    /// It shows what the copy had.
    shows: bool,
    /// The first change that has come into the copy since.
    changed: Option<(Stream, u64)>,
    /// Changes of two streams have.
    mixed: bool,
    /// Changes of before the last answer had: ask for the page itself.
    plainly: bool,
}

#[derive(Debug)]
struct Run {
    stream: Stream,
    /// The number of its first message.
    from: u64,
    /// And of its last; before `from` when there is none yet.
    last: u64,
}

/// What a page makes of a base.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Landed {
    /// Ask for the next page.
    More,
    /// That was the last: follow from here.
    Whole { stream: Stream, n: u64 },
    /// Pages and feed do not fit together: begin again, a little later.
    Again,
}

impl Base {
    pub(super) fn has_begun(&self) -> bool {
        self.first.is_some()
    }

    pub(super) fn request(&mut self, told: &impl Told, range_users: u64) -> ToldRequest {
        let ranges = self
            .ranges
            .get_or_insert_with(|| match told.told_sum().users {
                0 => 0,
                _ => MAX_RANGES,
            });
        let shows = *ranges > 0 && !self.asked.plainly;
        let have = shows.then(|| Have::of(told, self.after.as_ref(), *ranges, range_users));
        self.asked = Asked {
            shows,
            ..Asked::default()
        };
        ToldRequest {
            after: self.after.clone(),
            have,
        }
    }

    /// Notes a message that came while the base is being loaded.
    pub(super) fn hear(&mut self, feed: &Feed) -> Heard {
        let heard = self.note(feed);
        if heard != Heard::Old && matches!(feed.said, Said::Change { .. }) {
            let (stream, _) = self
                .asked
                .changed
                .get_or_insert((feed.stream.clone(), feed.n));
            self.asked.mixed |= *stream != feed.stream;
        }
        heard
    }

    fn note(&mut self, feed: &Feed) -> Heard {
        if let Some((stream, _)) = &self.first
            && *stream != feed.stream
        {
            return super::stranger(stream, feed);
        }
        let run = match &mut self.run {
            Some(run) if run.stream == feed.stream => run,
            run => {
                self.changed.clear();
                run.insert(Run::before(feed))
            }
        };
        let mut heard = super::follow(&mut run.last, feed);
        if heard == Heard::Missing && self.first.is_none() {
            // No page depends on what is missing: the run begins here.
            let said_reload = feed.said == Said::Reload && feed.n == run.last.saturating_add(1);
            if !said_reload {
                *run = Run::before(feed);
            }
            run.last = feed.n;
            heard = Heard::Next;
        }
        if let (Heard::Next, Said::Change { opens, closes }) = (heard, &feed.said) {
            let there = opens.iter().map(|uid| (uid.clone(), (feed.n, true)));
            let gone = closes.iter().map(|uid| (uid.clone(), (feed.n, false)));
            self.changed.extend(there.chain(gone));
            if self.changed.len() > MAX_CHANGED {
                return Heard::Missing;
            }
        }
        heard
    }

    /// Takes the page that was asked for.
    pub(super) fn land(&mut self, page: &ToldPage, told: &mut impl Told, now: Millis) -> Landed {
        let (stream, lowest) = self
            .first
            .get_or_insert_with(|| (page.stream.clone(), page.n))
            .clone();
        let within = page
            .uids
            .first()
            .is_none_or(|uid| self.after.as_ref() < Some(uid));
        let onward = page
            .next
            .as_ref()
            .is_none_or(|next| self.after.as_ref() < Some(next));
        let unasked = page.same && !self.asked.shows;
        if page.stream != stream || page.n < lowest || !within || !onward || unasked {
            return Landed::Again;
        }
        let run = match &mut self.run {
            Some(run) if run.stream == stream => run,
            run => {
                self.changed.clear();
                run.insert(Run::behind(stream.clone(), lowest))
            }
        };
        if run.from > lowest.saturating_add(1) {
            // Between the page and the first message that was heard there is something else.
            return Landed::Again;
        }
        // What is on its way still, up to the lowest number, is in every page.
        run.last = run.last.max(lowest);
        let last = run.last;
        if !page.same {
            self.replace(page, told, now);
            self.ranges = self.ranges.map(|ranges| ranges.min(1));
        } else if self.asked.was_before(page) || !holds(Rule::SameAtItsMark) {
            self.ranges = self.ranges.map(|ranges| MAX_RANGES.min(ranges * 2));
        } else {
            self.asked.plainly = true;
            return Landed::More;
        }
        match &page.next {
            Some(next) => {
                self.after = Some(next.clone());
                Landed::More
            }
            None => Landed::Whole { stream, n: last },
        }
    }

    /// The page stands for its range, less what was heard of later.
    fn replace(&self, page: &ToldPage, told: &mut impl Told, now: Millis) {
        let (after, until) = (self.after.as_ref(), page.next.as_ref());
        if holds(Rule::BasePageReplaces) {
            told.retain_told_in(after, until, &page.uids, now);
        } else {
            page.uids
                .iter()
                .for_each(|uid| told.set_told(uid, true, now));
        }
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let to = until.map_or(Bound::Unbounded, Bound::Included);
        for (uid, (n, open)) in self.changed.range::<Uid, _>((from, to)) {
            if *n > page.n && holds(Rule::FeedOverBase) {
                told.set_told(uid, *open, now);
            }
        }
    }
}

impl Asked {
    /// Whether the copy is what the question showed, but for what was told after this answer.
    ///
    /// An earlier change would be wrong if the answer's number counts one after it, of the same
    /// user, which is not applied any more when it comes.
    fn was_before(&self, page: &ToldPage) -> bool {
        let changed = self.changed.as_ref();
        let earlier = |(stream, n): &(Stream, u64)| *stream != page.stream || *n <= page.n;
        !self.mixed && !changed.is_some_and(earlier)
    }
}

impl Run {
    /// One that begins with this message, or behind it when it is a mark.
    fn before(feed: &Feed) -> Run {
        let from = match feed.said {
            Said::Mark => feed.n.saturating_add(1),
            Said::Change { .. } | Said::Reload => feed.n,
        };
        Run {
            stream: feed.stream.clone(),
            from,
            last: from.saturating_sub(1),
        }
    }

    fn behind(stream: Stream, n: u64) -> Run {
        Run {
            stream,
            from: n.saturating_add(1),
            last: n,
        }
    }
}
