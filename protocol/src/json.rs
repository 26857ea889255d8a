//! JSON (RFC 8259): the way into checking, reading and writing values, and the `$` conventions for what JSON lacks.

use crate::codec::Codec;
use crate::codes::Refusal;
use crate::flaw::{Budget, Flaw};
use crate::limits::Limits;
use crate::value::Value;

mod read;
mod skip;
mod write;

pub(crate) use read::text;
pub(crate) use skip::{skip, space};
pub(crate) use write::text as write_text;

/// Integers up to this one, and down to its negative, are plain JSON numbers: every reader of
/// JSON has them exactly, JavaScript's included.
pub(crate) const LARGEST_PLAIN: i128 = 1 << 53;

/// Whether `bytes` are one value within `limits`.
pub(crate) fn check(bytes: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let whole = utf8(bytes).and_then(|()| {
        let end = skip(bytes, space(bytes, 0), &mut Budget::new(limits))?;
        at_end(bytes, end)
    });
    whole.map_err(|flaw| flaw.refusal(Codec::Json))
}

/// JSON is checked for UTF-8 as a whole, once; everything else may then look at single bytes.
pub(crate) fn utf8(bytes: &[u8]) -> Result<(), Flaw> {
    match simdutf8::compat::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(Flaw::malformed("not utf-8", error.valid_up_to())),
    }
}

/// Builds the one value in `bytes`.
pub(crate) fn read(bytes: &[u8]) -> Result<Value, Refusal> {
    read::value(bytes).map_err(|flaw| flaw.refusal(Codec::Json))
}

/// Appends `value`.
pub(crate) fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), Refusal> {
    write::value(value, 0, out).map_err(|flaw| flaw.refusal(Codec::Json))
}

/// Nothing but space may follow.
pub(crate) fn at_end(bytes: &[u8], end: usize) -> Result<(), Flaw> {
    match space(bytes, end) {
        end if end == bytes.len() => Ok(()),
        end => Err(Flaw::malformed("more text after the value", end)),
    }
}
