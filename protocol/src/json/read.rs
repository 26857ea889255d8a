//! Builds a value from JSON.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use uuid::Uuid;

use super::skip::unit;
use super::{at_end, skip, space};
use crate::flaw::{Budget, Flaw};
use crate::limits::Limits;
use crate::value::{Time, Value};

/// Padding is written, and not insisted on.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The one value in `bytes`.
pub(super) fn value(bytes: &[u8]) -> Result<Value, Flaw> {
    let mut reader = Reader {
        bytes,
        at: space(bytes, 0),
    };
    let value = reader.value(0)?;
    at_end(bytes, reader.at)?;
    Ok(value)
}

/// The text in `token`, which is a well-formed JSON text with its quotes.
pub(crate) fn text(token: &[u8]) -> Option<Cow<'_, str>> {
    let content = token.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if !content.contains(&b'\\') {
        return std::str::from_utf8(content).ok().map(Cow::Borrowed);
    }
    unescape(content).map(Cow::Owned)
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    fn value(&mut self, depth: usize) -> Result<Value, Flaw> {
        let start = self.at;
        match self.bytes.get(start) {
            Some(b'[' | b'{') if depth >= Limits::DEEPEST => Err(Flaw::too_deep(start)),
            Some(b'[') => self.array(depth),
            Some(b'{') => self.object(depth),
            Some(b'"') => self.text().map(Value::Text),
            Some(b't') => self.token().map(|_| Value::Bool(true)),
            Some(b'f') => self.token().map(|_| Value::Bool(false)),
            Some(b'n') => self.token().map(|_| Value::Null),
            _ => number(self.token()?).ok_or(Flaw::malformed("not a number", start)),
        }
    }

    /// The value without parts that begins here; the walker says where it ends.
    fn token(&mut self) -> Result<&'b [u8], Flaw> {
        let start = self.at;
        self.at = skip(
            self.bytes,
            start,
            &mut Budget {
                depth: 0,
                elements: 1,
            },
        )?;
        Ok(&self.bytes[start..self.at])
    }

    fn text(&mut self) -> Result<String, Flaw> {
        let start = self.at;
        let text = text(self.token()?).ok_or(Flaw::malformed("not a text", start))?;
        Ok(text.into_owned())
    }

    fn array(&mut self, depth: usize) -> Result<Value, Flaw> {
        let mut items = Vec::new();
        while self.more(b']')? {
            items.push(self.value(depth + 1)?);
        }
        Ok(Value::Array(items))
    }

    fn object(&mut self, depth: usize) -> Result<Value, Flaw> {
        let mut pairs = Vec::new();
        while self.more(b'}')? {
            let key = self.text()?;
            self.expect(b':')?;
            pairs.push((Value::Text(key), self.value(depth + 1)?));
        }
        Ok(special(pairs))
    }

    /// Steps over an opening bracket or a comma, or over the end: whether an element follows.
    fn more(&mut self, closing: u8) -> Result<bool, Flaw> {
        self.at = space(self.bytes, self.at);
        let (here, after) = (
            self.bytes.get(self.at),
            space(self.bytes, (self.at + 1).min(self.bytes.len())),
        );
        match here {
            Some(b'[' | b'{') if self.bytes.get(after) == Some(&closing) => {
                self.at = after + 1;
                Ok(false)
            }
            Some(b'[' | b'{' | b',') => {
                self.at = after;
                Ok(true)
            }
            Some(byte) if *byte == closing => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(Flaw::malformed("neither comma nor end", self.at)),
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Flaw> {
        self.at = space(self.bytes, self.at);
        if self.bytes.get(self.at) != Some(&byte) {
            return Err(Flaw::malformed("no colon after a key", self.at));
        }
        self.at = space(self.bytes, self.at + 1);
        Ok(())
    }
}

/// What an object stands for. One that only looks like a convention (`{"$uuid": 7}`) is a map:
/// nothing that is well-formed is lost or refused.
fn special(mut pairs: Vec<(Value, Value)>) -> Value {
    let [(Value::Text(key), content)] = pairs.as_mut_slice() else {
        return Value::Map(pairs);
    };
    let found = match (key.as_str(), &mut *content) {
        ("$bytes", Value::Text(text)) => BASE64
            .decode(text.as_bytes())
            .ok()
            .map(|b| Value::Bytes(b.into())),
        ("$uuid", Value::Text(text)) => Uuid::try_parse(text).ok().map(Value::Uuid),
        ("$time", Value::Text(text)) => Time::parse(text).map(Value::Time),
        ("$int", Value::Text(text)) => integer(text).map(Value::Int),
        ("$f64", Value::Text(text)) => match text.as_str() {
            "NaN" => Some(Value::Float(f64::NAN)),
            "inf" => Some(Value::Float(f64::INFINITY)),
            "-inf" => Some(Value::Float(f64::NEG_INFINITY)),
            _ => None,
        },
        ("$map", Value::Array(entries)) => map(entries),
        ("$tag", Value::Array(parts)) => tag(parts),
        _ => None,
    };
    found.unwrap_or(Value::Map(pairs))
}

/// The map of `[[key, value]…]`. Takes the entries only when all of them are pairs.
fn map(entries: &mut Vec<Value>) -> Option<Value> {
    if !entries
        .iter()
        .all(|entry| matches!(entry, Value::Array(pair) if pair.len() == 2))
    {
        return None;
    }
    let pairs = std::mem::take(entries)
        .into_iter()
        .filter_map(|entry| match entry {
            Value::Array(mut pair) => pair.pop().and_then(|value| Some((pair.pop()?, value))),
            _ => None,
        });
    Some(Value::Map(pairs.collect()))
}

/// The tagged value of `[tag, value]`.
fn tag(parts: &mut Vec<Value>) -> Option<Value> {
    let [Value::Int(number), _] = parts.as_slice() else {
        return None;
    };
    let number = u64::try_from(*number).ok()?;
    let value = parts.pop()?;
    Some(crate::cbor::tagged(number, value))
}

fn integer(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (1..=20).contains(&digits.len());
    text.parse()
        .ok()
        .filter(|number| plain && Value::INTEGERS.contains(number))
}

fn number(token: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(token).ok()?;
    // A whole number without a sign of being a float is an integer, exactly. Minus zero is none.
    if text != "-0"
        && let Some(number) = integer(text)
    {
        return Some(Value::Int(number));
    }
    // Too large for any float reads as infinity, as JavaScript does it.
    text.parse().ok().map(Value::Float)
}

fn unescape(content: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(content.len());
    let mut at = 0;
    while let Some(byte) = content.get(at) {
        if *byte != b'\\' {
            out.push(*byte);
            at += 1;
            continue;
        }
        let plain = match content.get(at + 1)? {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let high = unit(content, at).ok()?;
                let pair = [high, unit(content, at + 6).unwrap_or_default()];
                let units = if (0xd800..0xdc00).contains(&high) {
                    &pair[..]
                } else {
                    &pair[..1]
                };
                let character = char::decode_utf16(units.iter().copied()).next()?.ok()?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                at += 6 * units.len();
                continue;
            }
            other => *other,
        };
        out.push(plain);
        at += 2;
    }
    String::from_utf8(out).ok()
}
