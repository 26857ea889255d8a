//! CBOR (RFC 8949): heads, and the way into checking, reading and writing values.

use bytes::Bytes;

use crate::codec::Codec;
use crate::codes::Refusal;
use crate::flaw::{Budget, Flaw};
use crate::limits::Limits;
use crate::value::Value;

mod half;
mod read;
mod skip;
mod write;

pub(crate) use read::tagged;
pub(crate) use skip::{chunks, skip};
pub(crate) use write::head as write_head;

pub(crate) const UNSIGNED: u8 = 0;
pub(crate) const NEGATIVE: u8 = 1;
pub(crate) const BYTES: u8 = 2;
pub(crate) const TEXT: u8 = 3;
pub(crate) const ARRAY: u8 = 4;
pub(crate) const MAP: u8 = 5;
pub(crate) const TAG: u8 = 6;
pub(crate) const SIMPLE: u8 = 7;

/// Ends a string, array or map of indefinite length.
pub(crate) const BREAK: u8 = 0xff;

const TAG_TIME: u64 = 0;
const TAG_UUID: u64 = 37;

/// The beginning of a data item (RFC 8949 section 3).
pub(crate) struct Head {
    pub(crate) major: u8,
    /// The low five bits: for major type 7 they tell a float from a simple value.
    pub(crate) info: u8,
    /// The argument; none for an indefinite length.
    pub(crate) argument: Option<u64>,
    /// Where the head ends.
    pub(crate) end: usize,
}

impl Head {
    /// A length in this head that must lie within `bytes`.
    pub(crate) fn content(&self, bytes: &[u8], length: u64) -> Result<usize, Flaw> {
        usize::try_from(length)
            .ok()
            .and_then(|length| self.end.checked_add(length))
            .filter(|end| *end <= bytes.len())
            .ok_or(Flaw::truncated(bytes.len()))
    }
}

/// Reads the head at `at`.
pub(crate) fn head(bytes: &[u8], at: usize) -> Result<Head, Flaw> {
    let initial = *bytes.get(at).ok_or(Flaw::truncated(at))?;
    let (major, info) = (initial >> 5, initial & 0x1f);
    let short = |argument| {
        Ok(Head {
            major,
            info,
            argument,
            end: at + 1,
        })
    };
    let (argument, end) = match info {
        0..=23 => return short(Some(u64::from(info))),
        24 => argument::<1>(bytes, at)?,
        25 => argument::<2>(bytes, at)?,
        26 => argument::<4>(bytes, at)?,
        27 => argument::<8>(bytes, at)?,
        31 if matches!(major, BYTES | TEXT | ARRAY | MAP) => return short(None),
        31 if major == SIMPLE => return Err(Flaw::malformed("break outside of anything", at)),
        _ => return Err(Flaw::malformed("reserved length", at)),
    };
    Ok(Head {
        major,
        info,
        argument: Some(argument),
        end,
    })
}

/// The big-endian number of `WIDTH` bytes after the initial byte at `at`, and where it ends.
fn argument<const WIDTH: usize>(bytes: &[u8], at: usize) -> Result<(u64, usize), Flaw> {
    let argument = bytes
        .get(at + 1..)
        .and_then(|rest| rest.first_chunk::<WIDTH>());
    let argument = argument.ok_or(Flaw::truncated(bytes.len()))?;
    let number = argument
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte));
    Ok((number, at + 1 + WIDTH))
}

/// Whether `bytes` are one value within `limits`.
pub(crate) fn check(bytes: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let whole = skip(bytes, 0, &mut Budget::new(limits)).and_then(|end| at_end(bytes, end));
    whole.map_err(|flaw| flaw.refusal(Codec::Cbor))
}

/// Builds the one value in `bytes`.
pub(crate) fn read(bytes: &Bytes) -> Result<Value, Refusal> {
    read::value(bytes).map_err(|flaw| flaw.refusal(Codec::Cbor))
}

/// Appends `value`.
pub(crate) fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), Refusal> {
    write::value(value, 0, out).map_err(|flaw| flaw.refusal(Codec::Cbor))
}

/// The number in the head of a float; none in that of another simple value.
pub(crate) fn float(head: &Head) -> Option<f64> {
    // The arguments of floats are as wide as the float, so the casts lose nothing.
    let bits = head.argument?;
    match head.info {
        25 => Some(half::from_half(bits as u16)),
        26 => Some(f64::from(f32::from_bits(bits as u32))),
        27 => Some(f64::from_bits(bits)),
        _ => None,
    }
}

/// Nothing may follow.
pub(crate) fn at_end(bytes: &[u8], end: usize) -> Result<(), Flaw> {
    if end == bytes.len() {
        Ok(())
    } else {
        Err(Flaw::malformed("more bytes after the value", end))
    }
}
