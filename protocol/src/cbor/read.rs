//! Builds a value from CBOR.

use bytes::Bytes;
use uuid::Uuid;

use super::{
    ARRAY, BREAK, BYTES, Head, MAP, NEGATIVE, TAG, TAG_TIME, TAG_UUID, TEXT, UNSIGNED, at_end,
    chunks, float, head,
};
use crate::flaw::Flaw;
use crate::limits::Limits;
use crate::value::{Time, Value};

/// The one value in `bytes`.
pub(super) fn value(bytes: &Bytes) -> Result<Value, Flaw> {
    let mut reader = Reader { bytes, at: 0 };
    let value = reader.value(0)?;
    at_end(bytes, reader.at)?;
    Ok(value)
}

struct Reader<'b> {
    bytes: &'b Bytes,
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, Flaw> {
        let start = self.at;
        let head = head(self.bytes, start)?;
        if matches!(head.major, ARRAY | MAP | TAG) && depth >= Limits::DEEPEST {
            return Err(Flaw::too_deep(start));
        }
        if matches!(head.major, BYTES | TEXT) {
            return self.string(head.major);
        }
        self.at = head.end;
        let argument = head.argument.unwrap_or_default();
        match head.major {
            UNSIGNED => Ok(Value::Int(i128::from(argument))),
            NEGATIVE => Ok(Value::Int(-1 - i128::from(argument))),
            ARRAY => {
                let mut items = Vec::with_capacity(self.room(head.argument));
                while self.more(head.argument, items.len()) {
                    items.push(self.value(depth + 1)?);
                }
                Ok(Value::Array(items))
            }
            MAP => {
                let mut pairs = Vec::with_capacity(self.room(head.argument));
                while self.more(head.argument, pairs.len()) {
                    pairs.push((self.value(depth + 1)?, self.value(depth + 1)?));
                }
                Ok(Value::Map(pairs))
            }
            TAG => Ok(tagged(argument, self.value(depth + 1)?)),
            _ => simple(&head, start),
        }
    }

    /// How much to reserve: never more than bytes are left, whatever the head claims.
    fn room(&self, count: Option<u64>) -> usize {
        let left = self.bytes.len() - self.at;
        count.map_or(0, |count| usize::try_from(count).unwrap_or(left).min(left))
    }

    /// Whether another item follows; steps over the break when none does.
    fn more(&mut self, count: Option<u64>, have: usize) -> bool {
        match count {
            Some(count) => (have as u64) < count,
            None if self.bytes.get(self.at) == Some(&BREAK) => {
                self.at += 1;
                false
            }
            None => true,
        }
    }

    fn string(&mut self, major: u8) -> Result<Value, Flaw> {
        let head = head(self.bytes, self.at)?;
        let mut pieces = chunks(self.bytes, self.at)?;
        let content = if head.argument.is_some() {
            let piece = pieces.next().ok_or(Flaw::truncated(self.at))??;
            self.at = piece.end;
            self.bytes.slice(piece)
        } else {
            let mut whole = Vec::new();
            self.at = head.end;
            for piece in pieces {
                let piece = piece?;
                whole.extend_from_slice(&self.bytes[piece.clone()]);
                self.at = piece.end;
            }
            self.at += 1;
            whole.into()
        };
        if major == BYTES {
            return Ok(Value::Bytes(content));
        }
        let text = String::from_utf8(content.into());
        text.map(Value::Text)
            .map_err(|_| Flaw::malformed("text is not utf-8", self.at))
    }
}

/// A tag that is not what it says (a tag 37 around a text, say) stays a tag.
pub(crate) fn tagged(tag: u64, value: Value) -> Value {
    match (tag, value) {
        (TAG_TIME, Value::Text(text)) => match Time::parse(&text) {
            Some(time) => Value::Time(time),
            None => Value::Tag(tag, Box::new(Value::Text(text))),
        },
        (TAG_UUID, Value::Bytes(bytes)) => match Uuid::from_slice(&bytes) {
            Ok(uuid) => Value::Uuid(uuid),
            Err(_) => Value::Tag(tag, Box::new(Value::Bytes(bytes))),
        },
        (tag, value) => Value::Tag(tag, Box::new(value)),
    }
}

fn simple(head: &Head, at: usize) -> Result<Value, Flaw> {
    match head.info {
        20 => Ok(Value::Bool(false)),
        21 => Ok(Value::Bool(true)),
        // 23 is "undefined": absent and null are one thing here.
        22 | 23 => Ok(Value::Null),
        _ => float(head)
            .map(Value::Float)
            .ok_or(Flaw::malformed("unknown simple value", at)),
    }
}
