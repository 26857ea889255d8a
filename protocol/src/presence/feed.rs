//! What is said on the feed of users that came and went, asked for as its base, and named to its teller: JSON for services, CBOR between nodes.

mod members;

use bytes::Bytes;

use self::members::{MISSING, Members, Object, check_version, number, uids, value};
use super::same::Have;
use super::{BadMessage, Epoch, VERSION};
use crate::codec::Codec;
use crate::data::Data;
use crate::ids::{NodeId, Uid};
use crate::limits::Limits;
use crate::value::Value;

/// About the most bytes of one change; a teller that has more to tell says it in several.
pub(super) const CHANGE_BYTES: usize = 64 << 10;

/// About the most bytes of a page of the base.
pub(super) const PAGE_BYTES: usize = 256 << 10;

/// The most users on a page of the base.
pub(super) const PAGE_UIDS: usize = 5_000;

/// The most users that a node names to the teller at once.
pub(super) const NAMED_UIDS: usize = 1_000;

/// Kind of [`Differs`] among the arrays that nodes send each other.
const DIFFERS: u64 = 1;

/// What is read at all: four times what is written, so that a later version may write more.
const LIMITS: Limits = Limits {
    max_bytes: 4 * PAGE_BYTES,
    max_depth: 8,
    max_elements: 1 << 16,
};

type Read<T> = Result<T, BadMessage>;

/// Whose numbers: a node, in one of its lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    /// The teller.
    pub teller: NodeId,
    /// Its epoch.
    pub epoch: Epoch,
}

/// A message on `<prefix>.presence.changes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Who says it.
    pub stream: Stream,
    /// Its number: of a change and a reload the next one; of a mark the last that was used.
    pub n: u64,
    /// Up to which number, this stream's or an earlier one's, the application's handlers have run.
    pub handled: u64,
    /// What is said.
    pub said: Said,
}

/// What a message of the feed says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// These users came, those went.
    Change {
        /// There, by any transport, on any node.
        opens: Vec<Uid>,
        /// Gone, the grace included.
        closes: Vec<Uid>,
    },
    /// This is where the feed stands: whoever has not heard that number has missed something.
    Mark,
    /// A new teller: load the base again.
    Reload,
}

/// A request to `<prefix>.presence.told`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToldRequest {
    /// The page behind this user; without one the first.
    pub after: Option<Uid>,
    /// What the asker has already: then it may be told that this is right, instead of a page.
    pub have: Option<Have>,
}

/// A page of what has been told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldPage {
    /// Who answers.
    pub stream: Stream,
    /// The last number of the feed when the page was made; it is in it.
    pub n: u64,
    /// Instead of users: what the asker says it has is right, up to `next`, or all of it.
    pub same: bool,
    /// Who is there, in order.
    pub uids: Vec<Uid>,
    /// There is more behind this user.
    pub next: Option<Uid>,
}

/// A request to `<prefix>.node.<id>.differs`: what these users are has not reached the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// Whose.
    pub uids: Vec<Uid>,
}

impl Feed {
    /// The message's bytes, JSON.
    pub fn encode(&self) -> Bytes {
        let mut out = Object::begin(&self.stream, self.n);
        out.number("handled", self.handled);
        match &self.said {
            Said::Change { opens, closes } => {
                out.uids("opens", opens);
                out.uids("closes", closes);
            }
            Said::Mark => {}
            Said::Reload => out.raw("reload", b"true"),
        }
        out.end()
    }

    /// Reads a message. Members that are not known are of a later time, and ignored.
    ///
    /// # Errors
    /// [`BadMessage`]; nothing is guessed.
    pub fn decode(bytes: &Bytes) -> Read<Feed> {
        let mut members = Members::read(bytes)?;
        let (stream, n) = (members.stream()?, members.number("n")?);
        let handled = members.optional_number("handled")?.unwrap_or(n);
        let lists = (members.take("opens"), members.take("closes"));
        let said = match (members.take("reload"), lists) {
            (Some(Value::Bool(true)), _) => Said::Reload,
            (_, (None, None)) => Said::Mark,
            (_, (opens, closes)) => Said::Change {
                opens: opens.map_or(Ok(Vec::new()), uids)?,
                closes: closes.map_or(Ok(Vec::new()), uids)?,
            },
        };
        Ok(Feed {
            stream,
            n,
            handled,
            said,
        })
    }
}

impl ToldRequest {
    /// The request's bytes, JSON; empty for the first page.
    pub fn encode(&self) -> Bytes {
        let ToldRequest { after, have } = self;
        if (after, have) == (&None, &None) {
            return Bytes::new();
        }
        let mut out = Object(b"{\"version\":1".to_vec());
        if let Some(after) = after {
            out.text("after", after.as_str());
        }
        if let Some(have) = have {
            out.have(have);
        }
        out.end()
    }

    /// Reads a request. An empty body asks for the first page.
    ///
    /// # Errors
    /// [`BadMessage`], for a cursor that is no uid too.
    pub fn decode(bytes: &Bytes) -> Read<ToldRequest> {
        if bytes.is_empty() {
            return Ok(ToldRequest::default());
        }
        let mut members = Members::read(bytes)?;
        let after = members.optional_uid("after")?;
        let have = match members.take("have") {
            None | Some(Value::Null) => None,
            Some(Value::Map(members)) => Some(Members(members).have(after.as_ref())?),
            Some(_) => return Err(BadMessage::Malformed("what the asker has is no object")),
        };
        Ok(ToldRequest { after, have })
    }
}

impl ToldPage {
    /// The page's bytes, JSON.
    pub fn encode(&self) -> Bytes {
        let mut out = Object::begin(&self.stream, self.n);
        if self.same {
            out.raw("same", b"true");
        }
        out.uids("uids", &self.uids);
        if let Some(next) = &self.next {
            out.text("next", next.as_str());
        }
        out.end()
    }

    /// Reads a page. Its users are in order, none is twice.
    ///
    /// # Errors
    /// [`BadMessage`]; nothing is guessed.
    pub fn decode(bytes: &Bytes) -> Read<ToldPage> {
        let mut members = Members::read(bytes)?;
        let page = ToldPage {
            stream: members.stream()?,
            n: members.number("n")?,
            same: matches!(members.take("same"), Some(Value::Bool(true))),
            uids: members.take("uids").map_or(Err(MISSING), uids)?,
            next: members.optional_uid("next")?,
        };
        if page.same && !page.uids.is_empty() {
            return Err(BadMessage::Malformed("users that are the same"));
        }
        let ordered = page.uids.is_sorted_by(|one, other| one < other);
        if ordered
            && page
                .next
                .as_ref()
                .is_none_or(|next| page.uids.last() <= Some(next))
        {
            Ok(page)
        } else {
            Err(BadMessage::Malformed("a page that is not in order"))
        }
    }
}

impl Differs {
    /// The message's bytes, CBOR: `[version, kind, [uid…]]`.
    pub fn encode(&self) -> Bytes {
        let uids = self.uids.iter().map(|uid| uid.as_str().into());
        let fields = vec![
            Value::Int(VERSION.into()),
            Value::Int(DIFFERS.into()),
            Value::Array(uids.collect()),
        ];
        let message = Data::from_value(Codec::Cbor, &Value::Array(fields));
        message.expect("two levels").bytes().clone()
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`BadMessage`]; also when it names more than 1,000 users.
    pub fn decode(bytes: &Bytes) -> Read<Differs> {
        let Value::Array(fields) = value(Codec::Cbor, bytes)? else {
            return Err(BadMessage::Malformed("not an array"));
        };
        let mut fields = fields.into_iter();
        check_version(fields.next().as_ref())?;
        match fields.next().as_ref().map(number) {
            Some(Ok(DIFFERS)) => {}
            Some(Ok(other)) => return Err(BadMessage::Kind(other)),
            _ => return Err(MISSING),
        }
        let uids = fields.next().map_or(Err(MISSING), uids)?;
        if uids.len() > NAMED_UIDS {
            return Err(BadMessage::Malformed("names too many users"));
        }
        Ok(Differs { uids })
    }
}
