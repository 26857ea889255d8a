//! Splits an encoded array or map into its parts, in either codec, after walking over all of it once.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::codec::Codec;
use crate::data::Data;
use crate::flaw::{Budget, Flaw};
use crate::{cbor, json};

/// No frame of this version has more elements; further ones are walked over and forgotten.
const KEPT: usize = 6;

/// One encoded array, of which the first elements can be read one by one.
pub(crate) struct Parts<'b> {
    pub(crate) codec: Codec,
    pub(crate) bytes: &'b Bytes,
    /// How many elements there are in all.
    pub(crate) count: usize,
    ranges: SmallVec<[Range<usize>; KEPT]>,
}

impl<'b> Parts<'b> {
    /// Splits `bytes`, which must be one array and nothing else.
    pub(crate) fn array(
        codec: Codec,
        bytes: &'b Bytes,
        budget: &mut Budget,
    ) -> Result<Parts<'b>, Flaw> {
        let mut parts = Parts {
            codec,
            bytes,
            count: 0,
            ranges: SmallVec::new(),
        };
        if codec == Codec::Json {
            json::utf8(bytes)?;
        }
        let start = start(codec, bytes);
        let end = members(codec, bytes, start, Shape::Array, budget, &mut |range| {
            if parts.count < KEPT {
                parts.ranges.push(range);
            }
            parts.count += 1;
        })?;
        match codec {
            Codec::Cbor => cbor::at_end(bytes, end)?,
            Codec::Json => json::at_end(bytes, end)?,
        }
        Ok(parts)
    }

    /// Where element `index` stands.
    pub(crate) fn range(&self, index: usize) -> Option<Range<usize>> {
        self.ranges.get(index).cloned()
    }

    pub(crate) fn part(&self, index: usize) -> Option<Part<'b>> {
        let range = self.range(index)?;
        Some(Part {
            codec: self.codec,
            bytes: self.bytes,
            range,
        })
    }

    /// Element `index` as an application value; null when absent.
    pub(crate) fn data(&self, index: usize) -> Data {
        self.part(index)
            .map_or_else(|| Data::null(self.codec), |part| part.data())
    }
}

/// One well-formed value inside a larger buffer.
#[derive(Clone)]
pub(crate) struct Part<'b> {
    codec: Codec,
    bytes: &'b Bytes,
    range: Range<usize>,
}

impl<'b> Part<'b> {
    fn token(&self) -> &'b [u8] {
        &self.bytes[self.range.clone()]
    }

    pub(crate) fn data(&self) -> Data {
        Data::trusted(self.codec, self.bytes.slice(self.range.clone()))
    }

    pub(crate) fn uint(&self) -> Option<u64> {
        uint(self.codec, self.token())
    }

    pub(crate) fn text(&self) -> Option<Cow<'b, str>> {
        match self.codec {
            Codec::Cbor => cbor_text(self.token()),
            Codec::Json => json::text(self.token()),
        }
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.token() {
            [0xf5] | b"true" => Some(true),
            [0xf4] | b"false" => Some(false),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        // f7 is CBOR's "undefined": absent and null are one thing here.
        matches!(self.token(), [0xf6 | 0xf7] | b"null")
    }

    /// The values of the map under these text keys; of a repeated key the first.
    pub(crate) fn fields<const N: usize>(&self, names: [&str; N]) -> Option<[Option<Part<'b>>; N]> {
        let mut found = [const { None }; N];
        let mut key: Option<Range<usize>> = None;
        // The walk is a second one over what was already found to be within the limits.
        let mut budget = Budget {
            depth: usize::MAX,
            elements: usize::MAX,
        };
        members(
            self.codec,
            self.bytes,
            self.range.start,
            Shape::Map,
            &mut budget,
            &mut |range| {
                let part = |range| Part {
                    codec: self.codec,
                    bytes: self.bytes,
                    range,
                };
                let Some(key) = key.take() else {
                    key = Some(range);
                    return;
                };
                let Some(name) = part(key).text() else { return };
                if let Some(slot) = names.iter().position(|wanted| *wanted == name) {
                    found[slot].get_or_insert(part(range));
                }
            },
        )
        .ok()?;
        Some(found)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Array,
    Map,
}

fn start(codec: Codec, bytes: &[u8]) -> usize {
    match codec {
        Codec::Cbor => 0,
        Codec::Json => json::space(bytes, 0),
    }
}

/// Walks over the array or map at `at`, calls `found` with the place of every element, key and
/// value, and says where it ends.
fn members(
    codec: Codec,
    bytes: &[u8],
    at: usize,
    shape: Shape,
    budget: &mut Budget,
    found: &mut dyn FnMut(Range<usize>),
) -> Result<usize, Flaw> {
    match codec {
        Codec::Cbor => cbor_members(bytes, at, shape, budget, found),
        Codec::Json => json_members(bytes, at, shape, budget, found),
    }
}

fn cbor_members(
    bytes: &[u8],
    at: usize,
    shape: Shape,
    budget: &mut Budget,
    found: &mut dyn FnMut(Range<usize>),
) -> Result<usize, Flaw> {
    let head = cbor::head(bytes, at)?;
    let (major, each) = if shape == Shape::Array {
        (cbor::ARRAY, 1)
    } else {
        (cbor::MAP, 2)
    };
    if head.major != major {
        return Err(wrong(shape, at));
    }
    let mut at = head.end;
    let mut due = head.argument.map(|count| count.saturating_mul(each));
    let mut seen: u64 = 0;
    loop {
        if due == Some(0) {
            return Ok(at);
        }
        if due.is_none() && bytes.get(at) == Some(&cbor::BREAK) {
            if !seen.is_multiple_of(each) {
                return Err(Flaw::malformed("map key without a value", at));
            }
            return Ok(at + 1);
        }
        let end = cbor::skip(bytes, at, budget)?;
        found(at..end);
        at = end;
        seen += 1;
        due = due.map(|due| due - 1);
    }
}

fn json_members(
    bytes: &[u8],
    at: usize,
    shape: Shape,
    budget: &mut Budget,
    found: &mut dyn FnMut(Range<usize>),
) -> Result<usize, Flaw> {
    let (opening, closing) = if shape == Shape::Array {
        (b'[', b']')
    } else {
        (b'{', b'}')
    };
    match bytes.get(at) {
        Some(byte) if *byte == opening => {}
        Some(_) => return Err(wrong(shape, at)),
        None => return Err(Flaw::truncated(at)),
    }
    let mut at = json::space(bytes, at + 1);
    if bytes.get(at) == Some(&closing) {
        return Ok(at + 1);
    }
    loop {
        if shape == Shape::Map {
            // A key that is not a text was refused by the first walk.
            let end = json::skip(bytes, at, budget)?;
            found(at..end);
            at = json::space(bytes, json::space(bytes, end) + 1);
        }
        let end = json::skip(bytes, at, budget)?;
        found(at..end);
        at = json::space(bytes, end);
        match bytes.get(at) {
            Some(b',') => at = json::space(bytes, at + 1),
            Some(byte) if *byte == closing => return Ok(at + 1),
            Some(_) => return Err(Flaw::malformed("neither comma nor end", at)),
            None => return Err(Flaw::truncated(at)),
        }
    }
}

fn wrong(shape: Shape, at: usize) -> Flaw {
    Flaw::malformed(
        if shape == Shape::Array {
            "not an array"
        } else {
            "not a map"
        },
        at,
    )
}

/// The number in this token, if it is a whole one from 0 to 2^64 − 1. A float with a whole value
/// up to 2^53 is one too: some writers of JavaScript numbers know no other large ones.
fn uint(codec: Codec, token: &[u8]) -> Option<u64> {
    let float = match codec {
        Codec::Cbor => {
            let head = cbor::head(token, 0).ok()?;
            match head.major {
                cbor::UNSIGNED => return head.argument,
                cbor::SIMPLE => cbor::float(&head)?,
                _ => return None,
            }
        }
        Codec::Json => {
            let text = std::str::from_utf8(token).ok()?;
            match text.parse() {
                Ok(number) => return Some(number),
                // "inf" and the like begin with a letter, which no JSON number does.
                Err(_) if !token.first()?.is_ascii_digit() => return None,
                Err(_) => text.parse().ok()?,
            }
        }
    };
    let whole = (0.0..=json::LARGEST_PLAIN as f64).contains(&float) && float.fract() == 0.0;
    whole.then_some(float as u64)
}

fn cbor_text(token: &[u8]) -> Option<Cow<'_, str>> {
    let head = cbor::head(token, 0)
        .ok()
        .filter(|head| head.major == cbor::TEXT)?;
    let mut pieces = cbor::chunks(token, 0).ok()?;
    let piece = |range: Range<usize>| std::str::from_utf8(&token[range]).ok();
    if head.argument.is_some() {
        return piece(pieces.next()?.ok()?).map(Cow::Borrowed);
    }
    let mut whole = String::new();
    for range in pieces {
        whole.push_str(piece(range.ok()?)?);
    }
    Some(Cow::Owned(whole))
}

/// The whole numbers with which an array begins, at most two, as far as they can be told: the
/// rest may be missing or broken. What the counting rule looks at.
pub(crate) fn leading(codec: Codec, bytes: &[u8]) -> [Option<u64>; 2] {
    let mut found = [None; 2];
    let mut at = match codec {
        Codec::Cbor => match cbor::head(bytes, 0) {
            Ok(head) if head.major == cbor::ARRAY && head.argument != Some(0) => head.end,
            _ => return found,
        },
        Codec::Json => match json::space(bytes, 0) {
            at if bytes.get(at) == Some(&b'[') => json::space(bytes, at + 1),
            _ => return found,
        },
    };
    for slot in &mut found {
        let mut budget = Budget {
            depth: 0,
            elements: 1,
        };
        let end = match codec {
            Codec::Cbor => cbor::skip(bytes, at, &mut budget),
            Codec::Json => json::skip(bytes, at, &mut budget),
        };
        let Ok(end) = end else { return found };
        let number = uint(codec, &bytes[at..end]);
        if codec == Codec::Json {
            // A number that is cut off looks like a shorter one: only what follows ends it.
            let next = json::space(bytes, end);
            if !matches!(bytes.get(next), Some(b',' | b']')) {
                return found;
            }
            *slot = number;
            at = json::space(bytes, next + 1);
        } else {
            *slot = number;
            at = end;
        }
        if number.is_none() {
            return found;
        }
    }
    found
}
