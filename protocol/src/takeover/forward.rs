//! What a node that gave sessions away tells the node that took them; nobody answers.

use bytes::Bytes;

use super::Identity;
use super::fields::{self, BadMessage, Fields, message, number, text};
use crate::codec::Codec;
use crate::codes::Refusal;
use crate::data::Data;
use crate::ids::{NodeId, SessionId};
use crate::target::{Filter, Target};
use crate::value::Value;

const PUSH: u64 = 16;
const GAP: u64 = 17;
const REPLY: u64 = 18;
const REPORT: u64 = 19;
const RETURNED: u64 = 20;
const ITEM: u64 = 21;

/// A message to `<prefix>.node.<id>.forward`. The messages of one node arrive in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forward {
    /// A push that reached the former holder late: for every session of `target` that came from
    /// there. Sent once per node, however many sessions it is for.
    Push {
        /// The former holder.
        from: NodeId,
        /// For whom.
        target: Target,
        /// Which of their clients.
        filter: Filter,
        /// Who the push is.
        identity: Identity,
        /// How the event is to be read.
        codec: Codec,
        /// The event, `["ns/name", data]`, as its publisher wrote it.
        event: Bytes,
    },
    /// The former holder learned of a hole.
    Gap {
        /// The former holder.
        from: NodeId,
        /// For whom it may be.
        target: Target,
        /// What the client is told.
        reason: String,
        /// The one session of theirs that it concerns, if it is only one.
        session: Option<SessionId>,
    },
    /// The answer to a request that the former holder, or one before it, had taken.
    Reply {
        /// The former holder.
        from: NodeId,
        /// Which session.
        session: SessionId,
        /// The *ref* of the request.
        request: u32,
        /// The reply, or why there is none.
        outcome: Result<Data, Refusal>,
    },
    /// What a handler there had to say of an event.
    Report {
        /// The former holder.
        from: NodeId,
        /// Which session.
        session: SessionId,
        /// The event's position.
        position: u64,
        /// What is told to its sender.
        refusal: Refusal,
    },
    /// The handler that kept the session's next items waiting has returned.
    Returned {
        /// The former holder.
        from: NodeId,
        /// Which session.
        session: SessionId,
        /// The position of the item it handled.
        position: u64,
    },
    /// One push for one session, which a node that handed over in turn had held itself.
    Item {
        /// The former holder.
        from: NodeId,
        /// Which session.
        session: SessionId,
        /// Who the push is.
        identity: Identity,
        /// The frame's body, in the session's codec.
        body: Bytes,
    },
}

impl Forward {
    /// The message's bytes.
    pub fn encode(&self) -> Bytes {
        match self {
            Forward::Push {
                from,
                target,
                filter,
                identity,
                codec,
                event,
            } => message(
                PUSH,
                [
                    text(from.as_str()),
                    fields::target(target),
                    fields::filter(filter),
                    fields::identity(identity),
                    fields::codec(*codec),
                    fields::bytes(event),
                ],
            ),
            Forward::Gap {
                from,
                target,
                reason,
                session,
            } => {
                let session = session.as_ref();
                message(
                    GAP,
                    [
                        text(from.as_str()),
                        fields::target(target),
                        text(reason),
                        session.map_or(Value::Null, |session| text(session.as_str())),
                    ],
                )
            }
            Forward::Reply {
                from,
                session,
                request,
                outcome,
            } => {
                let [code, codec, answer] = fields::outcome(outcome);
                let (from, session) = (text(from.as_str()), text(session.as_str()));
                let request = number(u64::from(*request));
                message(REPLY, [from, session, request, code, codec, answer])
            }
            Forward::Report {
                from,
                session,
                position,
                refusal,
            } => message(
                REPORT,
                [
                    text(from.as_str()),
                    text(session.as_str()),
                    number(*position),
                    number(u64::from(refusal.code.0)),
                    text(&refusal.message),
                ],
            ),
            Forward::Returned {
                from,
                session,
                position,
            } => message(
                RETURNED,
                [
                    text(from.as_str()),
                    text(session.as_str()),
                    number(*position),
                ],
            ),
            Forward::Item {
                from,
                session,
                identity,
                body,
            } => message(
                ITEM,
                [
                    text(from.as_str()),
                    text(session.as_str()),
                    fields::identity(identity),
                    fields::bytes(body),
                ],
            ),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`BadMessage`]; nothing is guessed.
    pub fn decode(bytes: &Bytes) -> Result<Forward, BadMessage> {
        let (kind, mut fields) = Fields::message(bytes)?;
        if !(PUSH..=ITEM).contains(&kind) {
            return Err(BadMessage::Kind(kind));
        }
        let from = fields.node()?;
        Ok(match kind {
            PUSH => Forward::Push {
                from,
                target: fields.target()?,
                filter: fields.filter()?,
                identity: fields.identity()?,
                codec: fields.codec()?,
                event: fields.bytes()?,
            },
            GAP => Forward::Gap {
                from,
                target: fields.target()?,
                reason: fields.text()?,
                session: fields.optional_session()?,
            },
            REPLY => Forward::Reply {
                from,
                session: fields.session()?,
                request: fields.small()?,
                outcome: fields.outcome()?,
            },
            REPORT => Forward::Report {
                from,
                session: fields.session()?,
                position: fields.number()?,
                refusal: fields.refusal()?,
            },
            RETURNED => Forward::Returned {
                from,
                session: fields.session()?,
                position: fields.number()?,
            },
            _ => Forward::Item {
                from,
                session: fields.session()?,
                identity: fields.identity()?,
                body: fields.bytes()?,
            },
        })
    }
}
