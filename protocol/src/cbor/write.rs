//! Writes a value as CBOR: definite lengths, shortest heads, shortest float that is exact.

use super::{ARRAY, BYTES, MAP, NEGATIVE, SIMPLE, TAG, TAG_TIME, TAG_UUID, TEXT, UNSIGNED, half};
use crate::flaw::Flaw;
use crate::limits::Limits;
use crate::value::Value;

/// Appends a head with the shortest argument.
pub(crate) fn head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    let (info, width) = match argument {
        0..=23 => return out.push(major | bytes[7]),
        24..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    out.push(major | info);
    out.extend_from_slice(&bytes[8 - width..]);
}

/// Appends `value`, which stands inside `depth` others.
pub(super) fn value(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), Flaw> {
    if matches!(value, Value::Array(_) | Value::Map(_) | Value::Tag(..)) && depth >= Limits::DEEPEST
    {
        return Err(Flaw::too_deep(out.len()));
    }
    match value {
        Value::Null => out.push(SIMPLE << 5 | 22),
        Value::Bool(truth) => out.push(SIMPLE << 5 | (20 + u8::from(*truth))),
        Value::Int(number) => int(*number, out),
        Value::Float(number) => float(*number, out),
        Value::Text(content) => text(content, out),
        Value::Bytes(content) => bytes(content, out),
        Value::Array(items) => {
            head(ARRAY, items.len() as u64, out);
            for item in items {
                self::value(item, depth + 1, out)?;
            }
        }
        Value::Map(pairs) => {
            head(MAP, pairs.len() as u64, out);
            for (key, content) in pairs {
                self::value(key, depth + 1, out)?;
                self::value(content, depth + 1, out)?;
            }
        }
        Value::Uuid(uuid) => {
            head(TAG, TAG_UUID, out);
            bytes(uuid.as_bytes(), out);
        }
        Value::Time(time) => {
            head(TAG, TAG_TIME, out);
            text(time.as_str(), out);
        }
        Value::Tag(tag, content) => {
            head(TAG, *tag, out);
            self::value(content, depth + 1, out)?;
        }
    }
    Ok(())
}

fn text(content: &str, out: &mut Vec<u8>) {
    head(TEXT, content.len() as u64, out);
    out.extend_from_slice(content.as_bytes());
}

fn bytes(content: &[u8], out: &mut Vec<u8>) {
    head(BYTES, content.len() as u64, out);
    out.extend_from_slice(content);
}

fn int(number: i128, out: &mut Vec<u8>) {
    let clamped = number.clamp(*Value::INTEGERS.start(), *Value::INTEGERS.end());
    // Within the range both arguments fit 64 bits.
    if clamped < 0 {
        head(NEGATIVE, (-1 - clamped) as u64, out);
    } else {
        head(UNSIGNED, clamped as u64, out);
    }
}

fn float(number: f64, out: &mut Vec<u8>) {
    if number.is_nan() {
        // One NaN for all: its payload means nothing to anybody here.
        return out.extend_from_slice(&[SIMPLE << 5 | 25, 0x7e, 0x00]);
    }
    let single = number as f32;
    if f64::from(single).to_bits() != number.to_bits() {
        out.push(SIMPLE << 5 | 27);
        return out.extend_from_slice(&number.to_bits().to_be_bytes());
    }
    match half::to_half(single) {
        Some(half) => {
            out.push(SIMPLE << 5 | 25);
            out.extend_from_slice(&half.to_be_bytes());
        }
        None => {
            out.push(SIMPLE << 5 | 26);
            out.extend_from_slice(&single.to_bits().to_be_bytes());
        }
    }
}
