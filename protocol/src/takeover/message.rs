//! What a taker asks a holder, and what the holder answers.

use bytes::Bytes;

use super::fields::{self, BadMessage, Fields, message, number, text, wide};
use super::{MAX_PARTS, PART_BYTES, TakeId};
use crate::codec::Codec;
use crate::ids::{ClientId, NodeId, SessionId, Uid};

const RELEASE: u64 = 1;
const DONE: u64 = 2;
const OWED: u64 = 3;
const PART: u64 = 8;
const GRANTED: u64 = 9;
const VOID: u64 = 10;
const LOWER_ATTEMPT: u64 = 11;
const NOT_MINE: u64 = 12;
const OTHER_USER: u64 = 13;
const LOST: u64 = 14;

/// Give this session away. Asked once per part: the same take and part get the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub session: SessionId,
    pub take: TakeId,
    /// Of the hello that the taker has.
    pub attempt: u64,
    /// How many items its client has received.
    pub received: u64,
    /// Whom the taker takes the client for.
    pub uid: Option<Uid>,
    pub client: ClientId,
    pub codec: Codec,
    /// The taker: where to forward.
    pub by: NodeId,
    /// Which part, from 0.
    pub part: u16,
}

/// A request to `<prefix>.node.<id>.takeover`, or, a release alone, to `<prefix>.session`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToNode {
    /// Give it away. Answered by [`Answer::Part`] or a refusal.
    Release(Release),
    /// The taker has it all: may it be the home?
    Done {
        /// Which session.
        session: SessionId,
        /// Which take.
        take: TakeId,
    },
    /// Does the node still know that it owes something to this session, which it gave away?
    /// [`Answer::Granted`], [`Answer::Void`] where the session is home again or has gone to another
    /// node since, or [`Answer::NotMine`] from one that has started anew.
    Owed {
        /// Which session.
        session: SessionId,
        /// Who asks.
        by: NodeId,
    },
}

/// What the holder says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A part of the session's state.
    Part {
        /// Who answers: whom to ask for the others.
        holder: NodeId,
        /// Which take.
        take: TakeId,
        /// Which part, from 0.
        part: u16,
        /// How many there are.
        of: u16,
        /// At most [`PART_BYTES`].
        body: Bytes,
    },
    /// Yes: the taker is the home.
    Granted,
    /// No: another take, or a hello at the holder itself, came after this one.
    Void,
    /// A newer hello was here before.
    LowerAttempt,
    /// The session is not here. To a question to everybody nobody says so.
    NotMine,
    /// The session belonged to another user, or was in another codec, and has ended: begin a new one.
    OtherUser,
    /// What the client lacks is not retained, or its counts cannot be: begin a new one.
    Lost,
}

impl ToNode {
    /// Which session it is about.
    pub fn session(&self) -> &SessionId {
        match self {
            ToNode::Release(Release { session, .. })
            | ToNode::Done { session, .. }
            | ToNode::Owed { session, .. } => session,
        }
    }

    /// The message's bytes.
    pub fn encode(&self) -> Bytes {
        match self {
            ToNode::Release(release) => message(
                RELEASE,
                [
                    text(release.session.as_str()),
                    wide(release.take),
                    number(release.attempt),
                    number(release.received),
                    fields::uid(release.uid.as_ref()),
                    text(release.client.as_str()),
                    fields::codec(release.codec),
                    text(release.by.as_str()),
                    number(u64::from(release.part)),
                ],
            ),
            ToNode::Done { session, take } => message(DONE, [text(session.as_str()), wide(*take)]),
            ToNode::Owed { session, by } => {
                message(OWED, [text(session.as_str()), text(by.as_str())])
            }
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`BadMessage`]; nothing is guessed.
    pub fn decode(bytes: &Bytes) -> Result<ToNode, BadMessage> {
        let (kind, mut fields) = Fields::message(bytes)?;
        match kind {
            RELEASE => Ok(ToNode::Release(Release {
                session: fields.session()?,
                take: fields.wide()?,
                attempt: fields.number()?,
                received: fields.number()?,
                uid: fields.uid()?,
                client: fields.client()?,
                codec: fields.codec()?,
                by: fields.node()?,
                part: fields.small()?,
            })),
            DONE => Ok(ToNode::Done {
                session: fields.session()?,
                take: fields.wide()?,
            }),
            OWED => Ok(ToNode::Owed {
                session: fields.session()?,
                by: fields.node()?,
            }),
            other => Err(BadMessage::Kind(other)),
        }
    }
}

impl Answer {
    /// The message's bytes.
    pub fn encode(&self) -> Bytes {
        match self {
            Answer::Part {
                holder,
                take,
                part,
                of,
                body,
            } => message(
                PART,
                [
                    text(holder.as_str()),
                    wide(*take),
                    number(u64::from(*part)),
                    number(u64::from(*of)),
                    fields::bytes(body),
                ],
            ),
            Answer::Granted => message(GRANTED, []),
            Answer::Void => message(VOID, []),
            Answer::LowerAttempt => message(LOWER_ATTEMPT, []),
            Answer::NotMine => message(NOT_MINE, []),
            Answer::OtherUser => message(OTHER_USER, []),
            Answer::Lost => message(LOST, []),
        }
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// [`BadMessage`]; nothing is guessed.
    pub fn decode(bytes: &Bytes) -> Result<Answer, BadMessage> {
        let (kind, mut fields) = Fields::message(bytes)?;
        match kind {
            PART => {
                let (holder, take) = (fields.node()?, fields.wide()?);
                let (part, of) = (fields.small()?, fields.small()?);
                let body = fields.bytes()?;
                if part >= of || of > MAX_PARTS || body.len() > PART_BYTES {
                    return Err(BadMessage::Malformed("a part of what cannot be"));
                }
                Ok(Answer::Part {
                    holder,
                    take,
                    part,
                    of,
                    body,
                })
            }
            GRANTED => Ok(Answer::Granted),
            VOID => Ok(Answer::Void),
            LOWER_ATTEMPT => Ok(Answer::LowerAttempt),
            NOT_MINE => Ok(Answer::NotMine),
            OTHER_USER => Ok(Answer::OtherUser),
            LOST => Ok(Answer::Lost),
            other => Err(BadMessage::Kind(other)),
        }
    }
}
