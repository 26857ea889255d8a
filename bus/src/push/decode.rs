//! What arrives through the one push subscription, turned into pushes, fences and known losses.

use bytes::Bytes;
use tengen_protocol::{
    ClientId, Codec, ErrorCode, NodeId, Refusal,
    subject::{SendTo, Subjects, decode_header},
};

use super::{
    Filter, HEADER_CONTENT_TYPE, HEADER_EXCEPT, HEADER_FLUSH, HEADER_MESSAGE_ID, HEADER_ONLY,
    HEADER_TRACEPARENT, Push, Sequences, Target, batch, message_id, sequences::Observed,
};
use crate::{
    headers::Headers,
    message::{Message, Subject},
};

/// One thing that a message on `<prefix>.send-to.>` says, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// A push. Its event is not checked yet.
    Push(Push, Origin),
    /// A node's message to itself. Other nodes' fences arrive too.
    Fence {
        /// Whose.
        node: NodeId,
        /// What it wrote.
        nonce: Bytes,
    },
    /// Batches of this publisher are missing here. Whom they were for is not known.
    Lost {
        /// Which publisher.
        publisher: u128,
        /// The first missing number.
        from_seq: u64,
        /// How many batches.
        count: u64,
    },
    /// Something that cannot be used; its neighbours are good.
    Bad {
        /// Where it was published to.
        subject: Subject,
        /// Why.
        refusal: Refusal,
        /// Where its publisher awaits an answer, if it does.
        reply: Option<Subject>,
    },
}

/// Where a push came from: its identity, and where a report of it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A place in a batch: nobody else has the same.
    Batch {
        /// Which publisher.
        publisher: u128,
        /// Its batch.
        seq: u64,
        /// The place in it, from 0.
        index: u16,
    },
    /// A message of its own.
    Plain {
        /// Where a report is awaited, if it is.
        reply: Option<Subject>,
        /// The trace it belongs to, as its publisher wrote it.
        traceparent: Option<String>,
    },
}

/// Appends what `message` says to `out`. Never panics, whatever was published.
///
/// Costs one look-up of the publisher per batch and one allocation per uid; events share the
/// memory of the message.
pub fn decode(
    subjects: &Subjects,
    message: Message,
    sequences: &mut Sequences,
    out: &mut Vec<Arrived>,
) {
    let target = match subjects.parse_send_to(&message.subject) {
        Ok(SendTo::Batch) => return decode_batch(message, sequences, out),
        Ok(SendTo::Fence(node)) => {
            return out.push(Arrived::Fence {
                node,
                nonce: message.body,
            });
        }
        Ok(SendTo::Uid(uid)) => Target::Uid(uid),
        Ok(SendTo::Anonymous) => Target::Anonymous,
        Ok(SendTo::All) => Target::All,
        Err(refusal) => return out.push(bad(message, refusal)),
    };
    let filter = match filter(&message.headers) {
        Ok(filter) => filter,
        Err(refusal) => return out.push(bad(message, refusal)),
    };
    let Message {
        headers,
        reply,
        body,
        ..
    } = message;
    let codec = Codec::from_content_type(headers.first(HEADER_CONTENT_TYPE));
    let push = Push {
        target,
        filter,
        id: headers.first(HEADER_MESSAGE_ID).map_or(0, message_id),
        report: reply.is_some(),
        flush: headers.first(HEADER_FLUSH) == Some("1"),
        event: (codec, body),
    };
    let traceparent = headers.first(HEADER_TRACEPARENT).map(str::to_owned);
    out.push(Arrived::Push(push, Origin::Plain { reply, traceparent }));
}

fn decode_batch(message: Message, sequences: &mut Sequences, out: &mut Vec<Arrived>) {
    let (head, pushes) = match batch::decode(message.body.clone()) {
        Ok(batch) => batch,
        Err(refusal) => return out.push(bad(message, refusal)),
    };
    let batch::Head {
        publisher,
        seq,
        count,
    } = head;
    match sequences.observe(publisher, seq, count == 0) {
        Observed::Next | Observed::Nothing => {}
        Observed::Lost { from, count } => {
            out.push(Arrived::Lost {
                publisher,
                from_seq: from,
                count,
            });
        }
        Observed::Repeated => return,
    }
    for (index, push) in (0..=u16::MAX).zip(pushes) {
        out.push(match push {
            Ok(push) => Arrived::Push(
                push,
                Origin::Batch {
                    publisher,
                    seq,
                    index,
                },
            ),
            Err(refusal) => Arrived::Bad {
                subject: message.subject.clone(),
                refusal,
                reply: message.reply.clone(),
            },
        });
    }
}

fn filter(headers: &Headers) -> Result<Filter, Refusal> {
    let client = |name| match headers.first(name) {
        Some(value) => ClientId::parse(&decode_header(value)?).map(Some),
        None => Ok(None),
    };
    match (client(HEADER_ONLY)?, client(HEADER_EXCEPT)?) {
        (None, None) => Ok(Filter::None),
        (Some(client), None) => Ok(Filter::Only(client)),
        (None, Some(client)) => Ok(Filter::Except(client)),
        (Some(_), Some(_)) => Err(Refusal::new(
            ErrorCode::BAD_EVENT,
            "push with both tengen-only and tengen-except",
        )),
    }
}

fn bad(message: Message, refusal: Refusal) -> Arrived {
    Arrived::Bad {
        subject: message.subject,
        refusal,
        reply: message.reply,
    }
}

#[cfg(test)]
mod tests;
