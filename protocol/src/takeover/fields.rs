//! Reads and writes the flat CBOR arrays `[version, kind, …]` that nodes send each other.

use bytes::Bytes;

use super::{Identity, VERSION};
use crate::cbor;
use crate::codec::Codec;
use crate::codes::{ErrorCode, Refusal};
use crate::data::Data;
use crate::ids::{ClientId, NodeId, SessionId, Uid};
use crate::limits::Limits;
use crate::target::{Filter, Target};
use crate::value::Value;

/// What one message may be: far more than any node writes, far less than would hurt.
const LIMITS: Limits = Limits {
    max_bytes: 16 << 20,
    max_depth: 8,
    max_elements: 1 << 20,
};

/// A message that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// Of a later version: a node that is newer than this one. Ignore it, and count it.
    #[error("version {0} of the takeover messages is not known")]
    Version(u64),
    /// Another kind of message, perhaps for another part of the node.
    #[error("kind {0} is no takeover message")]
    Kind(u64),
    /// Truncated, or with a field that is not what it should be.
    #[error("the takeover message is malformed: {0}")]
    Malformed(&'static str),
}

pub(super) fn message<const N: usize>(kind: u64, fields: [Value; N]) -> Bytes {
    let head = [number(VERSION), number(kind)];
    array(head.into_iter().chain(fields).collect())
}

pub(super) fn array(fields: Vec<Value>) -> Bytes {
    let mut out = Vec::new();
    // A few levels of values: too deep is the only thing that writing refuses.
    cbor::write(&Value::Array(fields), &mut out).expect("a shallow message");
    out.into()
}

pub(super) fn number(number: u64) -> Value {
    Value::Int(i128::from(number))
}

/// 128 bits have no integer in CBOR.
pub(super) fn wide(number: u128) -> Value {
    Value::Bytes(Bytes::copy_from_slice(&number.to_be_bytes()))
}

pub(super) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub(super) fn uid(uid: Option<&Uid>) -> Value {
    uid.map_or(Value::Null, |uid| text(uid.as_str()))
}

pub(super) fn codec(codec: Codec) -> Value {
    number(match codec {
        Codec::Json => 0,
        Codec::Cbor => 1,
    })
}

pub(super) fn bytes(bytes: &Bytes) -> Value {
    Value::Bytes(bytes.clone())
}

/// `[publisher, seq, index, message]`, `[message]`, `[null, content]`,
/// `[null, content, count]` or `[null, content, null, index]`.
pub(super) fn identity(identity: &Identity) -> Value {
    Value::Array(match *identity {
        Identity::Batched {
            publisher,
            seq,
            index,
            message,
        } => vec![
            wide(publisher),
            number(seq),
            number(u64::from(index)),
            wide(message),
        ],
        Identity::Message(message) => vec![wide(message)],
        Identity::Content(content) => vec![Value::Null, wide(content)],
        Identity::Counted { content, count } => vec![Value::Null, wide(content), number(count)],
        Identity::Equal { content, index } => {
            vec![Value::Null, wide(content), Value::Null, number(index)]
        }
    })
}

/// The uid, null for those without, true for all.
pub(super) fn target(target: &Target) -> Value {
    match target {
        Target::Uid(uid) => text(uid.as_str()),
        Target::Anonymous => Value::Null,
        Target::All => Value::Bool(true),
    }
}

/// `[]`, `[1, client]` or `[2, client]`.
pub(super) fn filter(filter: &Filter) -> Value {
    Value::Array(match filter {
        Filter::None => vec![],
        Filter::Only(client) => vec![number(1), text(client.as_str())],
        Filter::Except(client) => vec![number(2), text(client.as_str())],
    })
}

/// An answer to a request as two fields: its error code or 0, and message or data.
pub(super) fn outcome(outcome: &Result<Data, Refusal>) -> [Value; 3] {
    match outcome {
        Ok(data) => [number(0), codec(data.codec()), bytes(data.bytes())],
        Err(refusal) => [
            number(u64::from(refusal.code.0)),
            Value::Null,
            text(&refusal.message),
        ],
    }
}

/// The fields of an array, taken one after another; further ones are of a later time and ignored.
pub(super) struct Fields(std::vec::IntoIter<Value>);

type Read<T> = Result<T, BadMessage>;

impl Fields {
    /// The fields behind version and kind, and the kind.
    pub(super) fn message(bytes: &Bytes) -> Read<(u64, Fields)> {
        let mut fields = Fields::array(bytes)?;
        match fields.number()? {
            VERSION => Ok((fields.number()?, fields)),
            other => Err(BadMessage::Version(other)),
        }
    }

    pub(super) fn array(bytes: &Bytes) -> Read<Fields> {
        // Checked first, because a value takes fifty times the bytes of its encoding.
        let checked = Data::checked(Codec::Cbor, bytes.clone(), &LIMITS)
            .map_err(|_| BadMessage::Malformed("not cbor, or too much of it"))?;
        match checked.value() {
            Ok(Value::Array(fields)) => Ok(Fields(fields.into_iter())),
            _ => Err(BadMessage::Malformed("not an array")),
        }
    }

    pub(super) fn left(&self) -> usize {
        self.0.len()
    }

    pub(super) fn number(&mut self) -> Read<u64> {
        match self.0.next() {
            Some(Value::Int(number)) => {
                u64::try_from(number).map_err(|_| BadMessage::Malformed("a number is negative"))
            }
            _ => Err(BadMessage::Malformed("a number is missing")),
        }
    }

    pub(super) fn small<T: TryFrom<u64>>(&mut self) -> Read<T> {
        T::try_from(self.number()?).map_err(|_| BadMessage::Malformed("a number is too large"))
    }

    pub(super) fn wide(&mut self) -> Read<u128> {
        let bytes = self.bytes()?;
        let bytes = <[u8; 16]>::try_from(&bytes[..]);
        bytes
            .map(u128::from_be_bytes)
            .map_err(|_| BadMessage::Malformed("a number has not 16 bytes"))
    }

    pub(super) fn text(&mut self) -> Read<String> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(BadMessage::Malformed("a text is missing")),
        }
    }

    pub(super) fn bytes(&mut self) -> Read<Bytes> {
        match self.0.next() {
            Some(Value::Bytes(bytes)) => Ok(bytes),
            _ => Err(BadMessage::Malformed("bytes are missing")),
        }
    }

    pub(super) fn list(&mut self) -> Read<Fields> {
        match self.0.next() {
            Some(Value::Array(fields)) => Ok(Fields(fields.into_iter())),
            _ => Err(BadMessage::Malformed("a list is missing")),
        }
    }

    /// Reads the rest with `item`, one after another.
    pub(super) fn all<T>(&mut self, mut item: impl FnMut(&mut Fields) -> Read<T>) -> Read<Vec<T>> {
        let mut items = Vec::with_capacity(self.left());
        while self.left() > 0 {
            items.push(item(self)?);
        }
        Ok(items)
    }

    pub(super) fn session(&mut self) -> Read<SessionId> {
        SessionId::parse(&self.text()?).map_err(|_| BadMessage::Malformed("session id"))
    }

    /// None also where a node of an earlier version says nothing of it.
    pub(super) fn optional_session(&mut self) -> Read<Option<SessionId>> {
        match self.0.as_slice() {
            [Value::Text(_), ..] => self.session().map(Some),
            [Value::Null, ..] => {
                self.0.next();
                Ok(None)
            }
            [] => Ok(None),
            _ => Err(BadMessage::Malformed("session id")),
        }
    }

    pub(super) fn node(&mut self) -> Read<NodeId> {
        NodeId::parse(&self.text()?).map_err(|_| BadMessage::Malformed("node id"))
    }

    pub(super) fn client(&mut self) -> Read<ClientId> {
        ClientId::parse(&self.text()?).map_err(|_| BadMessage::Malformed("client id"))
    }

    pub(super) fn uid(&mut self) -> Read<Option<Uid>> {
        match self.0.next() {
            Some(Value::Null) => Ok(None),
            Some(Value::Text(uid)) => Uid::parse(&uid)
                .map(Some)
                .map_err(|_| BadMessage::Malformed("uid")),
            _ => Err(BadMessage::Malformed("a uid is missing")),
        }
    }

    pub(super) fn codec(&mut self) -> Read<Codec> {
        match self.number()? {
            0 => Ok(Codec::Json),
            1 => Ok(Codec::Cbor),
            _ => Err(BadMessage::Malformed("codec")),
        }
    }

    pub(super) fn identity(&mut self) -> Read<Identity> {
        let mut fields = self.list()?;
        let unnamed = matches!(fields.0.as_slice(), [Value::Null, ..]);
        match fields.left() {
            1 => Ok(Identity::Message(fields.wide()?)),
            2.. if unnamed => {
                fields.null()?;
                let content = fields.wide()?;
                match fields.0.as_slice() {
                    [] => Ok(Identity::Content(content)),
                    [Value::Null, ..] => {
                        fields.null()?;
                        let index = fields.number()?;
                        Ok(Identity::Equal { content, index })
                    }
                    _ => {
                        let count = fields.number()?;
                        Ok(Identity::Counted { content, count })
                    }
                }
            }
            _ => Ok(Identity::Batched {
                publisher: fields.wide()?,
                seq: fields.number()?,
                index: fields.small()?,
                message: fields.wide()?,
            }),
        }
    }

    pub(super) fn target(&mut self) -> Read<Target> {
        match self.0.next() {
            Some(Value::Null) => Ok(Target::Anonymous),
            Some(Value::Bool(true)) => Ok(Target::All),
            Some(Value::Text(uid)) => Uid::parse(&uid)
                .map(Target::Uid)
                .map_err(|_| BadMessage::Malformed("uid")),
            _ => Err(BadMessage::Malformed("a target is missing")),
        }
    }

    pub(super) fn filter(&mut self) -> Read<Filter> {
        let mut fields = self.list()?;
        if fields.left() == 0 {
            return Ok(Filter::None);
        }
        match fields.number()? {
            1 => Ok(Filter::Only(fields.client()?)),
            2 => Ok(Filter::Except(fields.client()?)),
            _ => Err(BadMessage::Malformed("filter")),
        }
    }

    pub(super) fn outcome(&mut self) -> Read<Result<Data, Refusal>> {
        match self.small()? {
            0 => {
                let codec = self.codec()?;
                let data = Data::checked(codec, self.bytes()?, &Limits::from_server(0));
                data.map(Ok).map_err(|_| BadMessage::Malformed("data"))
            }
            code => {
                self.null()?;
                Ok(Err(Refusal::new(ErrorCode(code), self.text()?)))
            }
        }
    }

    pub(super) fn refusal(&mut self) -> Read<Refusal> {
        Ok(Refusal::new(ErrorCode(self.small()?), self.text()?))
    }

    fn null(&mut self) -> Read<()> {
        match self.0.next() {
            Some(Value::Null) => Ok(()),
            _ => Err(BadMessage::Malformed("null is missing")),
        }
    }
}
