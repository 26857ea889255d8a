//! Follows the feed: keeps a copy of who has been told, from the pages of the base and the changes over them.

mod base;

use super::action::Unanswered;
use super::feed::{Feed, Said, Stream, ToldPage, ToldRequest};
use super::rules::{Rule, holds};
use super::same::RANGE_USERS;
use super::told::Told;
use crate::ids::NodeId;
use crate::millis::Millis;
use base::{Base, Landed};

/// How long an answer to a request for a page may take.
pub const ASK_LIMIT_MS: u64 = 1_000;

/// A page that does not come is asked for again after this, then more and more seldom.
const RETRY_MS: u64 = 700;
const LONGEST_RETRY_MS: u64 = 5_000;

/// When a second teller was heard: by then there is one again, and what both said has arrived.
const SECOND_MS: u64 = 3_000;

/// A feed without three marks: there is no teller, or we do not hear it.
const SILENCE_MS: u64 = 16_000;

/// A hundred followers of one teller do not ask all at once.
const SPREAD_MS: u64 = 500;

/// Follows the feed; pure.
///
/// Subscribe first, then drive it: every message goes to [`Follower::hear`], what
/// [`Follower::take_ask`] says is asked on `<prefix>.presence.told` and answered to
/// [`Follower::answered`]. The copy itself is the caller's, a [`Told`], always the same one.
#[derive(Debug)]
pub struct Follower {
    /// Whose messages are its own, which it has applied when it told them.
    me: Option<NodeId>,
    seed: u64,
    range_users: u64,
    state: State,
    /// When to start again because two tellers were heard.
    second: Option<Millis>,
    last_heard: Millis,
    failures: u32,
    restarts: u64,
    /// How many requests were made: the number of the last one.
    asked: u64,
}

#[derive(Debug)]
enum State {
    /// Not connected.
    Down,
    /// The base is to be loaded, from `due` on; or is awaited, when there is none.
    Loading { base: Base, due: Option<Millis> },
    /// Everything up to this number of that stream has been applied.
    Following { stream: Stream, n: u64 },
    /// This node tells: its copy is the base.
    Leading,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// Applied, or a mark that fits.
    Applied,
    /// Applied before, or said by this node itself.
    Old,
    /// Something is missing, or a new teller began: the base is loaded again.
    Restarted,
}

impl Followed {
    /// Whether what a change says has gone into the copy.
    pub fn is_news(self) -> bool {
        self != Followed::Old
    }
}

impl Follower {
    /// One that loads the base at once. `me`: the node in which it is, none at a service;
    /// `seed`: random, so that many do not ask at the same moment.
    pub fn new(me: Option<NodeId>, seed: u64, now: Millis) -> Follower {
        Follower {
            me,
            seed,
            range_users: RANGE_USERS,
            state: State::Loading {
                base: Base::default(),
                due: Some(now),
            },
            second: None,
            last_heard: now,
            failures: 0,
            restarts: 0,
            asked: 0,
        }
    }

    /// One that says in ranges of so many users what it has, in place of 4,096.
    #[must_use]
    pub fn with_ranges_of(mut self, users: u64) -> Follower {
        self.range_users = users.max(1);
        self
    }

    /// Whether the copy is whole: the base is loaded, and nothing of the feed is known to be missing.
    pub fn is_whole(&self) -> bool {
        matches!(self.state, State::Following { .. } | State::Leading)
    }

    /// How often it has started again.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// The base is coming in: its first page is here, the last is not.
    pub fn is_loading(&self) -> bool {
        matches!(&self.state, State::Loading { base, .. } if base.has_begun())
    }

    /// Takes a message of the feed.
    pub fn hear(&mut self, feed: &Feed, told: &mut impl Told, now: Millis) -> Followed {
        if self.me.as_ref() == Some(&feed.stream.teller) {
            return Followed::Old;
        }
        let followed = match &mut self.state {
            State::Down => return Followed::Old,
            State::Leading => {
                apply(feed, told, now);
                return Followed::Applied;
            }
            State::Following { stream, n } if *stream == feed.stream => {
                self.last_heard = now;
                follow(n, feed)
            }
            State::Following { stream, .. } => stranger(stream, feed),
            State::Loading { base, .. } => base.hear(feed),
        };
        match followed {
            Heard::Old => return Followed::Old,
            Heard::Next => {}
            Heard::Second => {
                self.second.get_or_insert(now.plus(SECOND_MS));
            }
            Heard::Missing => {
                let rule = match feed.said {
                    Said::Reload => Rule::ReloadRestarts,
                    _ => Rule::FeedGapRestarts,
                };
                if holds(rule) {
                    self.restart(now);
                    if let State::Loading { base, .. } = &mut self.state {
                        base.hear(feed);
                    }
                    apply(feed, told, now);
                    return Followed::Restarted;
                } else if let State::Following { n, .. } = &mut self.state {
                    *n = feed.n;
                }
            }
        }
        apply(feed, told, now);
        Followed::Applied
    }

    /// What to ask for, if it is time, and the question's number for [`Follower::answered`].
    pub fn take_ask(&mut self, told: &impl Told, now: Millis) -> Option<(u64, ToldRequest)> {
        self.tick(now);
        let State::Loading { base, due } = &mut self.state else {
            return None;
        };
        due.take_if(|due| *due <= now)?;
        self.asked += 1;
        Some((self.asked, base.request(told, self.range_users)))
    }

    /// Takes the answer to question `asked`.
    pub fn answered(
        &mut self,
        asked: u64,
        answer: Result<&ToldPage, Unanswered>,
        told: &mut impl Told,
        now: Millis,
    ) {
        let State::Loading {
            base,
            due: due @ None,
        } = &mut self.state
        else {
            return;
        };
        if asked != self.asked {
            // To a question that was given up: it may be of another place.
            return;
        }
        let landed = match answer {
            Ok(page) => base.land(page, told, now),
            Err(_) => Landed::Again,
        };
        match landed {
            Landed::More => {
                *due = Some(now);
                self.failures = 0;
            }
            Landed::Whole { stream, n } => {
                self.state = State::Following { stream, n };
                (self.last_heard, self.failures) = (now, 0);
            }
            Landed::Again => {
                let later = RETRY_MS << self.failures.min(3);
                self.failures = self.failures.saturating_add(1);
                let jitter = self.random(RETRY_MS / 2);
                self.load(now.plus(later.min(LONGEST_RETRY_MS) + jitter));
            }
        }
    }

    /// The connection is up again, or gone; or messages were lost before they reached us (up).
    pub fn bus(&mut self, up: bool, now: Millis) {
        match (&self.state, up) {
            (State::Leading, _) => {}
            (_, false) => self.state = State::Down,
            (State::Down, true) if !holds(Rule::ReconnectRestarts) => {}
            (_, true) => {
                self.restarts += 1;
                self.failures = 0;
                self.load(now);
            }
        }
    }

    /// This node has begun to tell, or has ceased to.
    pub fn lead(&mut self, leads: bool, now: Millis) {
        match (&self.state, leads) {
            (State::Leading, false) => {
                self.restarts += 1;
                self.load(now);
            }
            (State::Leading, true) | (_, false) => {}
            (_, true) => {
                self.second = None;
                self.state = State::Leading;
            }
        }
    }

    /// When to call [`Follower::take_ask`] next.
    pub fn next(&self) -> Millis {
        let due = match &self.state {
            State::Down | State::Leading => return Millis::MAX,
            State::Loading { due, .. } => due.unwrap_or(Millis::MAX),
            State::Following { .. } => self.last_heard.plus(SILENCE_MS),
        };
        due.min(self.second.unwrap_or(Millis::MAX))
    }

    fn tick(&mut self, now: Millis) {
        if self.second.take_if(|second| *second <= now).is_some()
            && holds(Rule::SecondTellerRestarts)
        {
            self.restart(now);
        }
        if matches!(self.state, State::Following { .. }) && now >= self.last_heard.plus(SILENCE_MS)
        {
            self.restart(now);
        }
    }

    fn restart(&mut self, now: Millis) {
        self.restarts += 1;
        let spread = self.random(SPREAD_MS);
        self.load(now.plus(spread));
    }

    fn load(&mut self, due: Millis) {
        self.second = None;
        self.state = State::Loading {
            base: Base::default(),
            due: Some(due),
        };
    }

    /// Below `bound`; splitmix64, which is random enough to be polite.
    fn random(&mut self, bound: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A message against what was heard before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// Nothing new.
    Old,
    /// The next one, or a mark that fits.
    Next,
    /// There is something between, or the base itself is new.
    Missing,
    /// Of another teller than the one followed.
    Second,
}

/// A message of the stream that is followed, of which everything up to `n` has been applied.
fn follow(n: &mut u64, feed: &Feed) -> Heard {
    let next = n.saturating_add(1);
    match feed.said {
        Said::Mark if feed.n <= *n => Heard::Next,
        Said::Change { .. } | Said::Reload if feed.n <= *n => Heard::Old,
        Said::Change { .. } if feed.n == next => {
            *n = next;
            Heard::Next
        }
        _ => Heard::Missing,
    }
}

/// A message of another stream than the one followed.
fn stranger(followed: &Stream, feed: &Feed) -> Heard {
    if feed.said == Said::Reload {
        // Also under a lower epoch: the teller came again, and its clock had stepped back.
        Heard::Missing
    } else if feed.stream.teller == followed.teller && feed.stream.epoch < followed.epoch {
        // Something late of an earlier life of the same node.
        Heard::Old
    } else {
        Heard::Second
    }
}

fn apply(feed: &Feed, told: &mut impl Told, now: Millis) {
    if let Said::Change { opens, closes } = &feed.said {
        opens.iter().for_each(|uid| told.set_told(uid, true, now));
        closes.iter().for_each(|uid| told.set_told(uid, false, now));
    }
}
