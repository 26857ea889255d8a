//! Questions of a node's presence and those of others to it: which answer belongs to what.

use bytes::Bytes;

use super::super::{
    ASK_LIMIT_MS, Action, AskId, BadMessage, Channel, Door, FeedAction, SyncAnswer, SyncReq,
    Unanswered,
};
use super::{Life, Member};
use crate::ids::NodeId;
use crate::millis::Millis;

/// How long an answer with users may take.
const SYNC_LIMIT_MS: u64 = 700;

/// What an answer is for.
#[derive(Debug)]
pub(super) enum Asked {
    /// The users of this node.
    Sync(NodeId),
    /// What has been told; the feed's own number of the question.
    Told(u64),
    /// Nothing: it was a question only so that it is not sent to nobody.
    Differs,
}

impl Member {
    /// A question came. `None`: this node keeps silent.
    ///
    /// # Errors
    /// [`BadMessage`]; nothing has changed then.
    pub fn asked(
        &mut self,
        door: Door,
        body: &Bytes,
        now: Millis,
    ) -> Result<Option<Bytes>, BadMessage> {
        if self.life == Life::Left {
            return Ok(None);
        }
        match door {
            Door::Sync => {
                let asked = SyncReq::decode(body)?;
                let answer = self.local.sync(&asked, now);
                Ok(answer.map(|answer| answer.encode()))
            }
            Door::Differs => {
                self.telling.asked_differs(body)?;
                Ok(Some(Bytes::new()))
            }
            Door::Told => self.telling.asked_told(body, &self.roster),
        }
    }

    /// The answer to a question of [`Action::Ask`] or [`Action::AskTold`], or why there is none. An
    /// answer that cannot be read counts as none.
    ///
    /// # Errors
    /// [`BadMessage`], to be counted; the question has been given up all the same.
    pub fn answered(
        &mut self,
        id: AskId,
        answer: Result<Bytes, Unanswered>,
        now: Millis,
    ) -> Result<(), BadMessage> {
        match self.asks.remove(&id) {
            None | Some(Asked::Differs) => Ok(()),
            Some(Asked::Sync(node)) => {
                let (answer, read) = match answer.map(|body| SyncAnswer::decode(&body)) {
                    Ok(Ok(answer)) => (Ok(answer), Ok(())),
                    Ok(Err(bad)) => (Err(Unanswered::Late), Err(bad)),
                    Err(why) => (Err(why), Ok(())),
                };
                self.roster.answered(&node, answer, now);
                read
            }
            Some(Asked::Told(ask)) => self.telling.answered(ask, answer, &mut self.roster, now),
        }
    }

    /// Asks for the users that this node lacks.
    pub(super) fn ask_for_users(&mut self, now: Millis) {
        for (node, request) in self.roster.take_asks(now) {
            let (body, asked) = (request.encode(), Asked::Sync(node.clone()));
            self.ask(node, Door::Sync, body, SYNC_LIMIT_MS, asked);
        }
    }

    /// Makes actions of what the feed asks for.
    pub(super) fn carry_out_feed(&mut self) {
        for action in self.telling.take_actions() {
            match action {
                FeedAction::Publish(body) => self.publish(Channel::Changes, body),
                FeedAction::AskTold { ask, body } => {
                    let id = self.ask_id(Asked::Told(ask));
                    let limit_ms = ASK_LIMIT_MS;
                    self.actions.push(Action::AskTold { id, body, limit_ms });
                }
                FeedAction::Differs { teller, body } => {
                    self.ask(teller, Door::Differs, body, ASK_LIMIT_MS, Asked::Differs);
                }
                FeedAction::Told {
                    epoch,
                    n,
                    opens,
                    closes,
                } => self.actions.push(Action::Told {
                    epoch,
                    n,
                    opens,
                    closes,
                }),
            }
        }
    }

    fn ask(&mut self, node: NodeId, door: Door, body: Bytes, limit_ms: u64, asked: Asked) {
        let id = self.ask_id(asked);
        self.actions.push(Action::Ask {
            id,
            node,
            door,
            body,
            limit_ms,
        });
    }

    fn ask_id(&mut self, asked: Asked) -> AskId {
        self.last_ask += 1;
        let id = AskId(self.last_ask);
        self.asks.insert(id, asked);
        id
    }
}
