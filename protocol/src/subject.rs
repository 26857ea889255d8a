//! The names of everything on the bus, and the one-to-one encoding of uids and event ids into them.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::codes::{ErrorCode, Refusal};
use crate::ids::{EventId, NodeId, Uid};

/// Longest subject that may go to the bus, in bytes. NATS answers a longer one by closing the
/// whole node's connection, so nothing longer is ever handed to it.
pub const MAX_SUBJECT_BYTES: usize = 2048;

/// Longest prefix. With it, and with every byte of the longest uid or event id encoded as three,
/// no subject made here comes near [`MAX_SUBJECT_BYTES`].
pub const MAX_PREFIX_BYTES: usize = 64;

const _: () = assert!(MAX_PREFIX_BYTES + 64 + 3 * Uid::MAX_BYTES < MAX_SUBJECT_BYTES);

/// What a subject token may not contain; non-ASCII is always encoded.
const TOKEN: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'.')
    .add(b'*')
    .add(b'>')
    .add(b'%')
    .add(b'/');

/// What a header value may not contain. The space because NATS libraries trim values.
const HEADER: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// `text` as one subject token. Different texts give different tokens; the empty text, which no
/// token can be, gives the empty string.
pub fn encode_token(text: &str) -> String {
    utf8_percent_encode(text, TOKEN).to_string()
}

/// The text of a token, or of several dotted ones. Accepts more than [`encode_token`] writes:
/// services may encode further characters, or none.
///
/// # Errors
/// [`ErrorCode::BAD_ID`] on a `%` without two hexadecimal digits, and on bytes that are not UTF-8.
pub fn decode_token(token: &str) -> Result<String, Refusal> {
    let bad = |what: &str| Refusal::new(ErrorCode::BAD_ID, what);
    let bytes = token.as_bytes();
    for (at, _) in token.match_indices('%') {
        if !bytes
            .get(at + 1..at + 3)
            .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
        {
            return Err(bad("percent sign without two hexadecimal digits"));
        }
    }
    let decoded = percent_decode_str(token).decode_utf8();
    Ok(decoded
        .map_err(|_| bad("percent-encoded bytes are not utf-8"))?
        .into_owned())
}

/// `text` as a header value on the bus: no control character, no space, ASCII alone.
pub fn encode_header(text: &str) -> String {
    utf8_percent_encode(text, HEADER).to_string()
}

/// The text of a header value.
///
/// # Errors
/// As [`decode_token`].
pub fn decode_header(value: &str) -> Result<String, Refusal> {
    decode_token(value)
}

/// To whom a push on the bus is addressed, as its subject says it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SendTo {
    /// Every client of this user.
    Uid(Uid),
    /// Every client without a uid.
    Anonymous,
    /// Every client.
    All,
    /// Those that the items of the batch name.
    Batch,
    /// The node itself: how it learns that everything sent before has arrived.
    Fence(NodeId),
}

/// All subjects of one environment: everything below one prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subjects {
    prefix: Box<str>,
}

impl Default for Subjects {
    /// The subjects below `tengen`.
    fn default() -> Subjects {
        Subjects {
            prefix: "tengen".into(),
        }
    }
}

impl Subjects {
    /// The subjects below `prefix`: tokens of `A–Z a–z 0–9 _ -`, joined by dots.
    ///
    /// # Errors
    /// [`ErrorCode::BAD_ID`] when it is none, or longer than 64 bytes.
    pub fn new(prefix: &str) -> Result<Subjects, Refusal> {
        let byte = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let token = |t: &str| !t.is_empty() && t.bytes().all(byte);
        if prefix.len() <= MAX_PREFIX_BYTES && prefix.split('.').all(token) {
            Ok(Subjects {
                prefix: prefix.into(),
            })
        } else {
            let what = "prefix must be tokens of A-Z a-z 0-9 _ - joined by dots, at most 64 bytes";
            Err(Refusal::new(ErrorCode::BAD_ID, what))
        }
    }

    /// What every subject of this environment begins with, without the dot.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A push to every client of `uid`.
    pub fn send_to_uid(&self, uid: &Uid) -> String {
        format!("{}.send-to.uid.{}", self.prefix, encode_token(uid.as_str()))
    }

    /// A push to every client without a uid.
    pub fn send_to_anonymous(&self) -> String {
        self.below("send-to.anonymous")
    }

    /// A push to every client.
    pub fn send_to_all(&self) -> String {
        self.below("send-to.all")
    }

    /// Many pushes in one message.
    pub fn send_to_batch(&self) -> String {
        self.below("send-to.batch")
    }

    /// The one subscription through which a node takes all pushes, so that NATS keeps each
    /// publisher's order across them.
    pub fn send_to_wildcard(&self) -> String {
        self.below("send-to.>")
    }

    /// A node's message to itself, in order with its pushes.
    pub fn fence(&self, node: &NodeId) -> String {
        format!("{}.send-to.fence.{node}", self.prefix)
    }

    /// Puts a user out, on all nodes.
    pub fn kick(&self) -> String {
        self.below("kick")
    }

    /// A client's request, to whichever service answers it.
    pub fn request(&self, id: &EventId) -> String {
        self.about("request", id)
    }

    /// A client's event, to every service that listens.
    pub fn event(&self, id: &EventId) -> String {
        self.about("event", id)
    }

    /// Who holds this session?
    pub fn session(&self) -> String {
        self.below("session")
    }

    /// What nodes tell each other about who is connected.
    pub fn presence(&self) -> String {
        self.below("presence")
    }

    /// The feed of users that came and went.
    pub fn presence_changes(&self) -> String {
        self.below("presence.changes")
    }

    /// What the feed has told so far.
    pub fn presence_told(&self) -> String {
        self.below("presence.told")
    }

    /// Who is connected?
    pub fn connected_uids(&self) -> String {
        self.below("connected-uids")
    }

    /// A message to one node; `what` is one token.
    pub fn node(&self, node: &NodeId, what: &str) -> String {
        format!("{}.node.{node}.{what}", self.prefix)
    }

    /// Who is this? Asked of a service at the handshake.
    pub fn auth(&self) -> String {
        self.below("auth")
    }

    /// Where the delivery reports of one publisher go.
    pub fn report(&self, publisher: u128) -> String {
        format!("{}.report.{publisher:032x}", self.prefix)
    }

    /// Reads the subject of a message that came through [`Subjects::send_to_wildcard`]. A uid
    /// whose dots were left unencoded arrives as several tokens and is joined again.
    ///
    /// # Errors
    /// [`ErrorCode::BAD_ID`] for a subject that addresses nobody.
    pub fn parse_send_to(&self, subject: &str) -> Result<SendTo, Refusal> {
        let unknown = || Refusal::new(ErrorCode::BAD_ID, "subject addresses nobody");
        match self.strip(subject, "send-to").ok_or_else(unknown)? {
            "anonymous" => Ok(SendTo::Anonymous),
            "all" => Ok(SendTo::All),
            "batch" => Ok(SendTo::Batch),
            other => match other.split_once('.') {
                Some(("uid", uid)) => Ok(SendTo::Uid(Uid::parse(&decode_token(uid)?)?)),
                Some(("fence", node)) => Ok(SendTo::Fence(NodeId::parse(node)?)),
                _ => Err(unknown()),
            },
        }
    }

    /// The event id in a subject made by [`Subjects::request`].
    ///
    /// # Errors
    /// As [`EventId::parse`]; [`ErrorCode::BAD_ID`] for another subject.
    pub fn parse_request(&self, subject: &str) -> Result<EventId, Refusal> {
        self.parse_about("request", subject)
    }

    /// The event id in a subject made by [`Subjects::event`].
    ///
    /// # Errors
    /// As [`EventId::parse`]; [`ErrorCode::BAD_ID`] for another subject.
    pub fn parse_event(&self, subject: &str) -> Result<EventId, Refusal> {
        self.parse_about("event", subject)
    }

    fn below(&self, what: &str) -> String {
        format!("{}.{what}", self.prefix)
    }

    fn about(&self, what: &str, id: &EventId) -> String {
        let (namespace, name) = (encode_token(id.namespace()), encode_token(id.name()));
        format!("{}.{what}.{namespace}.{name}", self.prefix)
    }

    fn parse_about(&self, what: &str, subject: &str) -> Result<EventId, Refusal> {
        let sides = self
            .strip(subject, what)
            .and_then(|rest| rest.split_once('.'));
        let Some((namespace, name)) = sides.filter(|(_, name)| !name.contains('.')) else {
            return Err(Refusal::new(ErrorCode::BAD_ID, "subject names no event"));
        };
        EventId::parse(&format!(
            "{}/{}",
            decode_token(namespace)?,
            decode_token(name)?
        ))
    }

    /// What follows `prefix.what.` in `subject`.
    fn strip<'s>(&self, subject: &'s str, what: &str) -> Option<&'s str> {
        let rest = subject.strip_prefix(&*self.prefix)?.strip_prefix('.')?;
        rest.strip_prefix(what)?.strip_prefix('.')
    }
}

#[cfg(test)]
mod tests;
