//! The feed at one node: it follows, tells when it is its turn, and names what it has heard otherwise than it sees.

use bytes::Bytes;

use super::action::Unanswered;
use super::feed::{Differs, Feed, NAMED_UIDS, Said, ToldPage, ToldRequest};
use super::follower::{Followed, Follower};
use super::owed::Owed;
use super::rules::{Rule, holds};
use super::teller::{Teller, Turn};
use super::told::Announced;
use super::{BadMessage, Epoch};
use crate::ids::{NodeId, Uid};
use crate::millis::Millis;

/// What differs for so long is named to the teller: then it is no message on its way.
const DIFFERS_MS: u64 = 5_000;

/// How often a node looks for what differs.
const LOOK_MS: u64 = 1_000;

/// The feed at one node; pure. The flags of who has been told are the roster's, handed in as an
/// [`Announced`] that is always the same.
#[derive(Debug)]
pub struct Telling {
    me: NodeId,
    teller: Teller,
    follower: Follower,
    owed: Owed,
    /// The application has handlers, so that it matters for which changes they have run.
    handlers: bool,
    /// This node's, as of the last tick.
    epoch: Epoch,
    next_look: Millis,
    actions: Vec<FeedAction>,
}

/// What the feed asks of its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedAction {
    /// Publish on `<prefix>.presence.changes`, in order.
    Publish(Bytes),
    /// Ask `<prefix>.presence.told`; the answer goes to [`Telling::answered`] with `ask`.
    AskTold {
        /// Which question.
        ask: u64,
        /// What to ask.
        body: Bytes,
    },
    /// Ask `<prefix>.node.<teller>.differs`; the answer, empty, does not matter.
    Differs {
        /// The teller.
        teller: NodeId,
        /// What to say.
        body: Bytes,
    },
    /// Run the application's handlers, then say so by [`Telling::handled`].
    Told {
        /// Of this node, when it told.
        epoch: Epoch,
        /// The number up to which is handled then.
        n: u64,
        /// Who came.
        opens: Vec<Uid>,
        /// Who went.
        closes: Vec<Uid>,
    },
}

impl Telling {
    /// One that loads the base at once. `handlers`: the application has some for users that come
    /// and go; `seed`: random.
    pub fn new(me: NodeId, handlers: bool, seed: u64, now: Millis) -> Telling {
        Telling {
            teller: Teller::new(me.clone()),
            follower: Follower::new(Some(me.clone()), seed, now),
            owed: Owed::default(),
            me,
            handlers,
            epoch: Epoch::default(),
            next_look: now,
            actions: Vec::new(),
        }
    }

    /// A message on `<prefix>.presence.changes`.
    ///
    /// # Errors
    /// [`BadMessage`]: ignored, to be counted.
    pub fn heard(
        &mut self,
        body: &Bytes,
        view: &mut impl Announced,
        now: Millis,
    ) -> Result<Followed, BadMessage> {
        let feed = Feed::decode(body)?;
        if !holds(Rule::AllFollow) {
            return Ok(Followed::Old);
        }
        if feed.stream.teller != self.me {
            self.teller.heard(&feed.stream, self.epoch, now);
        }
        let followed = self.follower.hear(&feed, view, now);
        if self.handlers && feed.stream.teller != self.me && !self.teller.is_telling() {
            self.owed.hear(&feed, followed.is_news());
        }
        Ok(followed)
    }

    /// A request on `<prefix>.presence.told`. `None`: to be left without an answer, another node tells.
    ///
    /// # Errors
    /// [`BadMessage`]: left without an answer, to be counted.
    pub fn asked_told(
        &self,
        body: &Bytes,
        view: &impl Announced,
    ) -> Result<Option<Bytes>, BadMessage> {
        let request = ToldRequest::decode(body)?;
        Ok(self.teller.page(&request, view).map(|page| page.encode()))
    }

    /// A request on `<prefix>.node.<me>.differs`; to be answered by an empty body.
    ///
    /// # Errors
    /// [`BadMessage`]: to be counted.
    pub fn asked_differs(&mut self, body: &Bytes) -> Result<(), BadMessage> {
        let Differs { uids } = Differs::decode(body)?;
        if holds(Rule::NamedIsToldAgain) {
            self.teller.differs(uids);
        }
        Ok(())
    }

    /// The answer to a [`FeedAction::AskTold`].
    ///
    /// # Errors
    /// [`BadMessage`]: to be counted; it is asked for again.
    pub fn answered(
        &mut self,
        ask: u64,
        answer: Result<Bytes, Unanswered>,
        view: &mut impl Announced,
        now: Millis,
    ) -> Result<(), BadMessage> {
        let page = answer.map(|body| ToldPage::decode(&body));
        let (page, read) = match &page {
            Ok(Ok(page)) => (Ok(page), Ok(())),
            Ok(Err(bad)) => (Err(Unanswered::Late), Err(bad.clone())),
            Err(unanswered) => (Err(*unanswered), Ok(())),
        };
        self.follower.answered(ask, page, view, now);
        read
    }

    /// The bus is connected, or is not; or (up) messages were lost before they reached us.
    pub fn bus(&mut self, up: bool, now: Millis) {
        self.follower.bus(up, now);
    }

    /// The handlers have run for all up to this number.
    pub fn handled(&mut self, epoch: Epoch, n: u64) {
        self.teller.handled(epoch, n);
    }

    /// Time passes, or the view changed. `teller`: who is to tell, never this node while it is
    /// not ready; `epoch`: of this node.
    pub fn tick(
        &mut self,
        teller: Option<&NodeId>,
        epoch: Epoch,
        view: &mut impl Announced,
        now: Millis,
    ) {
        self.epoch = epoch;
        let turn = Turn {
            mine: teller == Some(&self.me),
            epoch,
            loading: self.follower.is_loading(),
        };
        let mut said = Vec::new();
        self.teller.tick(turn, view, now, &mut said);
        self.follower.lead(self.teller.is_telling(), now);
        for feed in said {
            self.say(feed);
        }
        if let Some((ask, request)) = self.follower.take_ask(&*view, now) {
            let body = request.encode();
            self.actions.push(FeedAction::AskTold { ask, body });
        }
        if now >= self.next_look {
            self.next_look = now.plus(LOOK_MS);
            self.look(teller, view, now);
        }
    }

    /// When to call [`Telling::tick`] next, unless the view changes before.
    pub fn next(&self, view: &impl Announced) -> Millis {
        let next = self.teller.next(view).min(self.follower.next());
        next.min(self.next_look)
    }

    /// This node leaves: says up to where its handlers have run, so that none runs twice.
    pub fn leave(&mut self) {
        if let Some(mark) = self.teller.last_mark() {
            self.actions.push(FeedAction::Publish(mark.encode()));
        }
    }

    /// What to do, in order.
    pub fn take_actions(&mut self) -> Vec<FeedAction> {
        std::mem::take(&mut self.actions)
    }

    /// Whether this node tells.
    pub fn is_telling(&self) -> bool {
        self.teller.is_telling()
    }

    /// Whether this node's flags are whole: nothing of the feed is known to be missing.
    pub fn is_whole(&self) -> bool {
        self.follower.is_whole()
    }

    /// How often the base was loaded anew.
    pub fn restarts(&self) -> u64 {
        self.follower.restarts()
    }

    /// Changes of a former teller whose handlers may have run nowhere: more than are kept.
    pub fn forgotten(&self) -> u64 {
        self.owed.forgotten()
    }

    fn say(&mut self, feed: Feed) {
        self.actions.push(FeedAction::Publish(feed.encode()));
        let (epoch, n) = (feed.stream.epoch, feed.n);
        match feed.said {
            Said::Mark => {}
            Said::Reload => {
                // What a former teller has told, and nobody says is handled. Numbered below the
                // reload: only with the last of it the reload itself counts as handled.
                for (opens, closes) in self.owed.take() {
                    self.run(epoch, n - 1, opens, closes);
                }
                self.run(epoch, n, Vec::new(), Vec::new());
            }
            Said::Change { opens, closes } => self.run(epoch, n, opens, closes),
        }
    }

    fn run(&mut self, epoch: Epoch, n: u64, opens: Vec<Uid>, closes: Vec<Uid>) {
        if self.handlers {
            self.actions.push(FeedAction::Told {
                epoch,
                n,
                opens,
                closes,
            });
        } else {
            self.teller.handled(epoch, n);
        }
    }

    /// Names what has differed for too long to the node that tells.
    fn look(&mut self, teller: Option<&NodeId>, view: &impl Announced, now: Millis) {
        let Some(teller) = teller.filter(|teller| **teller != self.me) else {
            return;
        };
        if !self.follower.is_whole() || !holds(Rule::DiffersIsNamed) {
            return;
        }
        let long = view
            .differing()
            .filter(|(_, since, _)| now >= since.plus(DIFFERS_MS));
        let uids: Vec<Uid> = long
            .map(|(uid, _, _)| Uid::known(uid))
            .take(NAMED_UIDS)
            .collect();
        if !uids.is_empty() {
            let (teller, body) = (teller.clone(), Differs { uids }.encode());
            self.actions.push(FeedAction::Differs { teller, body });
            // The teller answers through the feed; a little patience keeps this from a storm.
            self.next_look = now.plus(DIFFERS_MS);
        }
    }
}

#[cfg(test)]
mod tests;
