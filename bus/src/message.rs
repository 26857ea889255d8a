//! What travels on the bus: a subject, an optional reply subject, headers and a body.

use std::{fmt, ops::Deref, time::Duration};

use bytes::Bytes;

use crate::headers::Headers;

/// A subject as text. Cheap to clone: the bytes are shared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject(async_nats::Subject);

impl Subject {
    /// A subject known when the program was written. Costs nothing.
    #[must_use]
    pub const fn from_static(subject: &'static str) -> Subject {
        Subject(async_nats::Subject::from_static(subject))
    }

    /// The text, tokens separated by dots.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn into_nats(self) -> async_nats::Subject {
        self.0
    }

    pub(crate) fn from_nats(subject: async_nats::Subject) -> Subject {
        Subject(subject)
    }
}

impl std::hash::Hash for Subject {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Deref for Subject {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Subject {
    fn from(subject: &str) -> Subject {
        Subject(async_nats::Subject::from(subject))
    }
}

impl From<String> for Subject {
    fn from(subject: String) -> Subject {
        Subject(async_nats::Subject::from(subject))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

/// A message to be published.
#[derive(Clone, Debug)]
pub struct Publish {
    /// Where to. No wildcards; at most [`tengen_protocol::subject::MAX_SUBJECT_BYTES`].
    pub subject: Subject,
    /// Where an answer is awaited, if one is. At most [`crate::MAX_REPLY_BYTES`].
    pub reply: Option<Subject>,
    /// Checked when published, see [`Headers`].
    pub headers: Headers,
    /// The payload. With the headers at most [`crate::Bus::max_payload`].
    pub body: Bytes,
}

impl Publish {
    /// A message without headers that wants no answer.
    pub fn new(subject: impl Into<Subject>, body: impl Into<Bytes>) -> Publish {
        Publish {
            subject: subject.into(),
            reply: None,
            headers: Headers::default(),
            body: body.into(),
        }
    }

    /// Asks for the answer at `reply`.
    #[must_use]
    pub fn reply(mut self, reply: impl Into<Subject>) -> Publish {
        self.reply = Some(reply.into());
        self
    }

    /// Adds a header. Checked when published.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Publish {
        self.headers.push(name, value);
        self
    }
}

/// A message as it arrived.
#[derive(Clone, Debug)]
pub struct Message {
    /// The subject it was published to, which a wildcard subscription needs to know.
    pub subject: Subject,
    /// Where its sender awaits an answer, if it does.
    pub reply: Option<Subject>,
    /// What its sender added. Anybody may publish: trust nothing in here.
    pub headers: Headers,
    /// The payload. Shares memory with its neighbours on the wire: copy what is kept for long.
    pub body: Bytes,
}

impl Message {
    /// What this message counts for in a queue's byte bound: its bytes, and the place it takes.
    #[must_use]
    pub fn cost(&self) -> usize {
        std::mem::size_of::<crate::Delivery>()
            + self.subject.len()
            + self.reply.as_ref().map_or(0, |reply| reply.len())
            + self.headers.wire_len()
            + self.body.len()
    }
}

/// How to subscribe.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// Members of one queue group share the messages: each goes to one of them, at random.
    pub queue: Option<String>,
    /// The bound of this subscription's own queue (64 MiB). Counted are the bytes of the messages
    /// and the place they take; see [`Message::cost`]. Above it messages are shed and told in place.
    pub max_queue_bytes: usize,
}

impl Default for Subscribe {
    fn default() -> Self {
        // 200,000 pushes of 128 bytes in one burst cost 59 MiB: they must fit.
        Subscribe {
            queue: None,
            max_queue_bytes: 64 << 20,
        }
    }
}

impl Subscribe {
    /// As a member of the queue group `queue`.
    #[must_use]
    pub fn queue(queue: impl Into<String>) -> Subscribe {
        Subscribe {
            queue: Some(queue.into()),
            ..Subscribe::default()
        }
    }

    /// With another bound of the own queue, in bytes.
    #[must_use]
    pub fn max_queue_bytes(mut self, bytes: usize) -> Subscribe {
        self.max_queue_bytes = bytes;
        self
    }
}

/// How long a publish, a subscribe or a confirmation may take before it counts as failed.
pub(crate) const DEFAULT_PUBLISH_TIMEOUT: Duration = Duration::from_secs(1);
