//! The new node's procedure, step by step: whom to ask for a session, when to ask again, and how it ends.

use bytes::{Bytes, BytesMut};

use super::{Answer, DONE_TIMEOUT_MS, MAX_PARTS, RELEASE_TIMEOUT_MS, Release, Snapshot, ToNode};
use crate::ids::NodeId;
use crate::millis::Millis;
use crate::rules::{Rule, holds};
use crate::server::{Bounds, Session};

/// One takeover, at the node that takes.
///
/// Registered before it starts: a session made by [`Session::arriving`], so that pushes find it.
/// The driver carries out each [`Step`] and says what it [`Heard`], until it is finished.
#[derive(Debug)]
pub struct Taker {
    release: Release,
    stage: Stage,
    /// Whom the present question went to; none = everybody.
    asked: Option<NodeId>,
    again: bool,
    parts: Vec<Bytes>,
    of: u16,
    /// When the holder's first answer came: about when it cut.
    cut: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Releasing,
    Done,
    Over,
}

/// What the driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask this node by request, at its door `takeover`.
    Ask {
        /// Whom.
        node: NodeId,
        /// What.
        message: ToNode,
        /// After this the answer is late.
        timeout_ms: u64,
    },
    /// Ask on `<prefix>.session`, where the holder alone answers.
    AskEveryone {
        /// What.
        message: ToNode,
        /// After this nobody holds it.
        timeout_ms: u64,
    },
    /// It is over.
    Finished(Finish),
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An answer.
    Answer(Answer),
    /// There is no such node.
    NoResponders,
    /// No answer in time; also an answer that could not be read, and an own bus that is down.
    Late,
}

/// How a takeover ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The session is here, detached: attach the hello to it.
    Taken,
    /// The session cannot be had: begin a fresh one, whose hello says `gap`.
    Fresh,
    /// A newer connection was first: close with 4505.
    Superseded,
}

impl Taker {
    /// Takes `release.session` over; part 0 is asked for first. `first` is the node to ask first: one
    /// that the session is known to have moved to, else the one in its id. Nobody in particular if
    /// that is this node itself.
    pub fn new(release: Release, first: Option<NodeId>) -> Taker {
        let asked = first.filter(|node| *node != release.by);
        Taker {
            release,
            stage: Stage::Releasing,
            asked,
            again: false,
            parts: Vec::new(),
            of: 0,
            cut: Millis(0),
        }
    }

    /// The first question.
    pub fn start(&mut self) -> Step {
        self.ask()
    }

    /// Takes what came of the last question, and says what comes next.
    ///
    /// `session` is the arriving one. When it is finished otherwise than [`Finish::Taken`], the
    /// session is over and to be forgotten once [`Session::next_item`] gives nothing more, or, if it
    /// had been here before and gone, as it was.
    pub fn heard<C: Clone>(
        &mut self,
        heard: Heard,
        session: &mut Session<C>,
        now: Millis,
        bounds: &Bounds,
    ) -> Step {
        match self.stage {
            Stage::Releasing if session.is_over() => self.give_up(Finish::Fresh, session),
            Stage::Releasing => self.heard_release(heard, session, now, bounds),
            Stage::Done => self.heard_done(&heard, session, now),
            Stage::Over => Step::Finished(Finish::Fresh),
        }
    }

    fn heard_release<C: Clone>(
        &mut self,
        heard: Heard,
        session: &mut Session<C>,
        now: Millis,
        bounds: &Bounds,
    ) -> Step {
        match heard {
            Heard::Answer(Answer::Part {
                holder,
                take,
                part,
                of,
                body,
            }) => {
                let expected = usize::from(part) == self.parts.len()
                    && take == self.release.take
                    && (1..=MAX_PARTS).contains(&of)
                    && (self.of == 0 || (of == self.of && self.asked.as_ref() == Some(&holder)));
                if !expected {
                    return self.give_up(Finish::Fresh, session);
                }
                (self.of, self.asked, self.again) = (of, Some(holder), false);
                if self.parts.is_empty() {
                    self.cut = now;
                }
                self.parts.push(body);
                if self.parts.len() < usize::from(of) {
                    return self.ask();
                }
                self.install(session, now, bounds)
            }
            Heard::Answer(Answer::LowerAttempt | Answer::Void) => {
                self.give_up(Finish::Superseded, session)
            }
            Heard::NoResponders | Heard::Answer(Answer::NotMine)
                if self.parts.is_empty() && self.asked.is_some() && holds(Rule::AskEveryone) =>
            {
                (self.asked, self.again) = (None, false);
                self.ask()
            }
            // Everybody has been asked at once: one second of silence is an answer.
            Heard::Late if !self.again && self.asked.is_some() && holds(Rule::AskAgain) => {
                self.again = true;
                self.ask()
            }
            _ => self.give_up(Finish::Fresh, session),
        }
    }

    fn install<C: Clone>(
        &mut self,
        session: &mut Session<C>,
        now: Millis,
        bounds: &Bounds,
    ) -> Step {
        let mut whole = BytesMut::with_capacity(self.parts.iter().map(Bytes::len).sum());
        for part in self.parts.drain(..) {
            whole.extend_from_slice(&part);
        }
        let (Ok(snapshot), Some(holder)) = (Snapshot::decode(&whole.freeze()), &self.asked) else {
            return self.give_up(Finish::Fresh, session);
        };
        if !session.install(snapshot, holder, &self.release, self.cut, now, bounds) {
            return self.give_up(Finish::Fresh, session);
        }
        if !holds(Rule::DoneNeedsYes) {
            return self.taken(session, now);
        }
        self.stage = Stage::Done;
        self.ask()
    }

    fn heard_done<C: Clone>(
        &mut self,
        heard: &Heard,
        session: &mut Session<C>,
        now: Millis,
    ) -> Step {
        match heard {
            Heard::Answer(Answer::Granted) => self.taken(session, now),
            // Dead, or only cut off from the bus: there the session would go on, at the next hello,
            // with items that had been handled here.
            Heard::NoResponders if !holds(Rule::AbsentIsNoYes) => self.taken(session, now),
            Heard::Answer(Answer::Void | Answer::LowerAttempt) => {
                self.give_up(Finish::Superseded, session)
            }
            Heard::Late if !self.again => {
                self.again = true;
                self.ask()
            }
            Heard::Late if !holds(Rule::UnansweredDoneIsGap) => self.taken(session, now),
            _ => self.give_up(Finish::Fresh, session),
        }
    }

    fn taken<C: Clone>(&mut self, session: &mut Session<C>, now: Millis) -> Step {
        self.stage = Stage::Over;
        session.granted(now);
        // Kicked, say, while it was asked for: what it had counted is to be handled here.
        Step::Finished(match session.is_over() {
            true => Finish::Fresh,
            false => Finish::Taken,
        })
    }

    fn give_up<C: Clone>(&mut self, finish: Finish, session: &mut Session<C>) -> Step {
        self.stage = Stage::Over;
        session.give_up_arrival();
        Step::Finished(finish)
    }

    fn ask(&self) -> Step {
        let (message, timeout_ms) = if self.stage == Stage::Done {
            let (session, take) = (self.release.session.clone(), self.release.take);
            (ToNode::Done { session, take }, DONE_TIMEOUT_MS)
        } else {
            let mut release = self.release.clone();
            // Bounded by MAX_PARTS.
            release.part = self.parts.len() as u16;
            (ToNode::Release(release), RELEASE_TIMEOUT_MS)
        };
        match self.asked.clone() {
            Some(node) => Step::Ask {
                node,
                message,
                timeout_ms,
            },
            None => Step::AskEveryone {
                message,
                timeout_ms,
            },
        }
    }
}
