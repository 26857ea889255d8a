//! The numbered event of a load test: making it, and reading its number back without decoding.

use anyhow::{Result, ensure};
use bytes::Bytes;
use tengen_protocol::{Codec, Data, EventId, RawEvent, Value};

/// The event every load test pushes: `["load/item", [number, padding]]`.
pub(crate) const ID: &str = "load/item";

/// What stands before the number in a server frame of each codec.
const CBOR_HEAD: &[u8] = b"\x83\x01\x69load/item\x82";
const JSON_HEAD: &[u8] = b"[1,\"load/item\",[";

/// Builds the event with `number`, `bytes` long as it travels on the bus.
///
/// # Errors
/// `bytes` is too small for the event without padding.
pub(crate) fn event(codec: Codec, number: u64, bytes: usize) -> Result<Bytes> {
    // Growing the padding grows its length prefix too, so the size is approached from below.
    let mut padding = bytes.saturating_sub(build(codec, number, 0)?.len());
    loop {
        let event = build(codec, number, padding)?;
        if event.len() <= bytes {
            return Ok(event);
        }
        ensure!(padding > 0, "an item needs at least {} bytes", event.len());
        padding -= (event.len() - bytes).min(padding);
    }
}

fn build(codec: Codec, number: u64, padding: usize) -> Result<Bytes> {
    let id = EventId::parse(ID)?;
    let padding = match codec {
        Codec::Cbor => Value::Bytes(Bytes::from(vec![0x2e; padding])),
        Codec::Json => Value::Text(".".repeat(padding)),
    };
    let data = Data::from_value(
        codec,
        &Value::Array(vec![Value::Int(number.into()), padding]),
    )?;
    Ok(RawEvent::new(codec, &id, &data)?.body().clone())
}

/// The number of an item in the body of a server frame; `None` for every other frame.
///
/// Looks at the head and the length only: decoding would cost more than the node spends.
pub(crate) fn number(codec: Codec, body: &[u8]) -> Option<u64> {
    match codec {
        Codec::Cbor => {
            let rest = body.strip_prefix(CBOR_HEAD)?;
            let (number, rest) = cbor_head(rest, 0)?;
            let major = rest.first()? >> 5;
            let (padding, rest) = cbor_head(rest, major)?;
            (matches!(major, 2 | 3) && rest.len() as u64 == padding).then_some(number)
        }
        Codec::Json => {
            let rest = body.strip_prefix(JSON_HEAD)?.strip_suffix(b"]]")?;
            let comma = rest.iter().position(|byte| *byte == b',')?;
            std::str::from_utf8(&rest[..comma]).ok()?.parse().ok()
        }
    }
}

/// The number of an item whose event was decoded already.
pub(crate) fn number_of(data: &Data) -> Option<u64> {
    match data.value() {
        Ok(Value::Array(parts)) => match parts.first() {
            Some(Value::Int(number)) => u64::try_from(*number).ok(),
            _ => None,
        },
        _ => None,
    }
}

/// Reads the head of a CBOR item of one major type: its argument, and what follows.
fn cbor_head(bytes: &[u8], major: u8) -> Option<(u64, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if first >> 5 != major {
        return None;
    }
    let size = match first & 0x1f {
        small @ 0..=23 => return Some((small.into(), rest)),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => return None,
    };
    let (argument, rest) = rest.split_at_checked(size)?;
    Some((
        argument
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)),
        rest,
    ))
}

#[cfg(test)]
mod tests;
