//! Tells the feed what has changed, while this node is the one that tells.

use std::collections::BTreeSet;

use super::feed::{CHANGE_BYTES, Feed, PAGE_BYTES, PAGE_UIDS, Said, Stream, ToldPage, ToldRequest};
use super::rules::{Rule, holds};
use super::same::Agreed;
use super::told::Announced;
use super::{Epoch, Page};
use crate::ids::{NodeId, Uid};
use crate::millis::Millis;

/// A new teller waits for so long, for the former one's last words and for its own view.
const WAIT_MS: u64 = 2_000;

/// A teller that still gets pages of the base from another one waits on, at most for so long.
const LONGEST_WAIT_MS: u64 = 10_000;

/// How often a teller marks where the feed stands.
const MARK_MS: u64 = 5_000;

/// An elder that tells is not interfered with for so long: until a mark of it has not come.
const ELDER_MS: u64 = MARK_MS + 1_000;

/// After a change the next one waits for so long, for others to be told with it.
const TELL_EVERY_MS: u64 = 50;

/// Changes told at once: at most 1 MiB in 50 ms, which a cluster that begins with a million users needs.
const CHANGES_AT_ONCE: usize = 16;

/// The most users named by others that wait to be told again; more of them are named again anyway.
const NAMED_MAX: usize = 10_000;

/// The teller's half of a node; pure. Most nodes have one that never tells.
#[derive(Debug)]
pub struct Teller {
    stream: Stream,
    /// The last number used.
    n: u64,
    handled: u64,
    state: State,
    named: BTreeSet<Uid>,
    /// Who told last of those that come before this node, and when.
    elder: Option<(NodeId, Millis)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Another node tells, or nobody.
    Off,
    /// It is on us, in a moment.
    Waiting {
        since: Millis,
        /// The base is still coming in: it waits on, at most so long.
        loading: bool,
    },
    Telling {
        next_tell: Millis,
        next_mark: Millis,
    },
}

/// Who is to tell, as far as this node has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// This node is ready and the lowest.
    pub mine: bool,
    /// This node's epoch.
    pub epoch: Epoch,
    /// The base is coming in from another teller right now.
    pub loading: bool,
}

impl Teller {
    /// One that does not tell yet.
    pub fn new(me: NodeId) -> Teller {
        Teller {
            stream: Stream {
                teller: me,
                epoch: Epoch(0),
            },
            n: 0,
            handled: 0,
            state: State::Off,
            named: BTreeSet::new(),
            elder: None,
        }
    }

    /// Whether this node is telling: its flags of who has been told are the base.
    pub fn is_telling(&self) -> bool {
        matches!(self.state, State::Telling { .. })
    }

    /// Another node tells. This one may be wrong about who is to: it has been paused, or that node
    /// came again with a clock that stepped back. Two that tell each other's users gone and there do
    /// not do so for long, because the lower epoch goes on and the higher yields.
    pub fn heard(&mut self, stream: &Stream, epoch: Epoch, now: Millis) {
        if (stream.epoch, &stream.teller) < (epoch, &self.stream.teller) {
            self.elder = Some((stream.teller.clone(), now));
        }
    }

    /// Tells what is due, and appends it to `out`; to be published in that order.
    pub fn tick(
        &mut self,
        turn: Turn,
        view: &mut impl Announced,
        now: Millis,
        out: &mut Vec<Feed>,
    ) {
        if !turn.mine || self.yields(view, now) {
            self.state = State::Off;
            self.named.clear();
            return;
        }
        if turn.epoch != self.stream.epoch {
            // Numbers belong to an epoch, so in a new one they begin again.
            self.stream.epoch = turn.epoch;
            (self.n, self.handled, self.state) = (0, 0, State::Off);
        }
        if self.state == State::Off {
            let (since, loading) = (now, turn.loading);
            self.state = State::Waiting { since, loading };
        }
        if let State::Waiting { since, loading } = &mut self.state {
            *loading = turn.loading;
            if waited_until(*since, *loading) <= now || !holds(Rule::NewTellerWaits) {
                self.begin(now, out);
            }
        }
        let State::Telling {
            next_tell,
            next_mark,
        } = self.state
        else {
            return;
        };
        let told = now >= next_tell && self.tell(view, now, out);
        let marks = now >= next_mark && holds(Rule::MarksGoOn);
        if marks {
            out.push(self.message(Said::Mark));
        }
        self.state = State::Telling {
            next_tell: if told {
                now.plus(TELL_EVERY_MS)
            } else {
                next_tell
            },
            next_mark: if now >= next_mark {
                now.plus(MARK_MS)
            } else {
                next_mark
            },
        };
    }

    /// When to tick at the latest, unless the view changes before.
    pub fn next(&self, view: &impl Announced) -> Millis {
        match self.state {
            State::Off => Millis::MAX,
            State::Waiting { since, loading } => waited_until(since, loading),
            State::Telling {
                next_tell,
                next_mark,
            } if self.has_more(view) => next_tell.min(next_mark),
            State::Telling { next_mark, .. } => next_mark,
        }
    }

    /// A page of the base, or that the asker has it already; nothing from a node that does not tell.
    pub fn page(&self, request: &ToldRequest, view: &impl Announced) -> Option<ToldPage> {
        if !self.is_telling() && holds(Rule::BaseByTellerAlone) {
            return None;
        }
        let agreed = match &request.have {
            Some(have) if holds(Rule::SameByDigest) => have.agrees(view, request.after.as_ref()),
            Some(_) => Agreed::Whole,
            None => Agreed::Nothing,
        };
        let same = |next| ToldPage {
            stream: self.stream.clone(),
            n: self.n,
            same: true,
            uids: Vec::new(),
            next,
        };
        match agreed {
            Agreed::Whole if holds(Rule::SameIsNotSent) => return Some(same(None)),
            Agreed::UpTo(until) if holds(Rule::SameIsNotSent) => return Some(same(Some(until))),
            _ => {}
        }
        let Page {
            users: mut uids,
            mut next,
        } = view.told_page(request.after.as_ref(), PAGE_UIDS);
        let mut bytes = 0;
        let fits = uids.iter().take_while(|uid| {
            bytes += written(uid.as_str());
            bytes <= PAGE_BYTES
        });
        let fits = fits.count();
        if fits < uids.len() {
            uids.truncate(fits);
            next = uids.last().cloned();
        }
        // No further than the first of the asker's ranges: those behind it may be the same.
        let range = request.have.as_ref().and_then(|have| have.upto.first());
        if let Some((until, _)) = range {
            let within = uids.partition_point(|uid| uid <= until);
            if within < uids.len() || next.as_ref() > Some(until) {
                uids.truncate(within);
                next = Some(until.clone());
            }
        }
        Some(ToldPage {
            stream: self.stream.clone(),
            n: self.n,
            same: false,
            uids,
            next,
        })
    }

    /// Another node names users of whom it has heard something else than it sees.
    pub fn differs(&mut self, uids: Vec<Uid>) {
        if self.is_telling() {
            let room = NAMED_MAX.saturating_sub(self.named.len());
            self.named.extend(uids.into_iter().take(room));
        }
    }

    /// The application's handlers have run for all up to this number of ours.
    pub fn handled(&mut self, epoch: Epoch, n: u64) {
        if epoch == self.stream.epoch {
            self.handled = self.handled.max(n.min(self.n));
        }
    }

    /// The mark with which a node that leaves says up to where its handlers have run.
    pub fn last_mark(&self) -> Option<Feed> {
        self.is_telling().then(|| self.message(Said::Mark))
    }

    /// While an elder tells: until no mark of it has come for a while, or it is gone.
    fn yields(&self, view: &impl Announced, now: Millis) -> bool {
        let elder = self.elder.as_ref();
        elder.is_some_and(|(node, at)| now < at.plus(ELDER_MS) && view.is_live(node))
            && holds(Rule::HigherTellerYields)
    }

    fn begin(&mut self, now: Millis, out: &mut Vec<Feed>) {
        self.state = State::Telling {
            next_tell: now,
            next_mark: now.plus(MARK_MS),
        };
        if holds(Rule::NewTellerReloads) {
            self.n += 1;
            out.push(self.message(Said::Reload));
        }
    }

    /// Says what is named, and the difference of announced and told. False = there was none.
    fn tell(&mut self, view: &mut impl Announced, now: Millis, out: &mut Vec<Feed>) -> bool {
        let mut changes = Vec::new();
        let mut change = Pending::default();
        let named = std::mem::take(&mut self.named);
        let again = named
            .iter()
            .map(|uid| (uid.as_str(), view.is_announced(uid)));
        let different = view
            .differing()
            .filter(|(uid, _, _)| holds(Rule::LevelTriggered) && !named.contains(*uid))
            .map(|(uid, _, announced)| (uid, announced));
        for (uid, announced) in again.chain(different) {
            if change.bytes + written(uid) > CHANGE_BYTES {
                changes.push(std::mem::take(&mut change));
                if changes.len() == CHANGES_AT_ONCE {
                    break;
                }
            }
            change.add(Uid::known(uid), announced);
        }
        if change.bytes > 0 {
            changes.push(change);
        }
        for Pending { opens, closes, .. } in &changes {
            opens.iter().for_each(|uid| view.set_told(uid, true, now));
            closes.iter().for_each(|uid| view.set_told(uid, false, now));
        }
        let told = !changes.is_empty();
        for Pending { opens, closes, .. } in changes {
            self.n += 1;
            out.push(self.message(Said::Change { opens, closes }));
        }
        told
    }

    fn has_more(&self, view: &impl Announced) -> bool {
        !self.named.is_empty() || view.differing().next().is_some()
    }

    fn message(&self, said: Said) -> Feed {
        Feed {
            stream: self.stream.clone(),
            n: self.n,
            handled: self.handled,
            said,
        }
    }
}

/// When a teller that is to tell since then begins.
fn waited_until(since: Millis, loading: bool) -> Millis {
    since.plus(if loading { LONGEST_WAIT_MS } else { WAIT_MS })
}

/// A change being collected.
#[derive(Default)]
struct Pending {
    opens: Vec<Uid>,
    closes: Vec<Uid>,
    bytes: usize,
}

impl Pending {
    fn add(&mut self, uid: Uid, announced: bool) {
        self.bytes += written(uid.as_str());
        if announced {
            self.opens.push(uid);
        } else {
            self.closes.push(uid);
        }
    }
}

/// What a uid takes in JSON at most: quotes, a comma, and a backslash before some characters.
fn written(uid: &str) -> usize {
    let escaped = uid.bytes().filter(|b| matches!(b, b'"' | b'\\'));
    uid.len() + escaped.count() + 3
}
