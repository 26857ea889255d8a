//! Writes a value as JSON, without spaces.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::LARGEST_PLAIN;
use crate::flaw::Flaw;
use crate::limits::Limits;
use crate::value::Value;

/// Appends `value`, which stands inside `depth` others.
pub(super) fn value(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), Flaw> {
    if matches!(value, Value::Array(_) | Value::Map(_) | Value::Tag(..)) && depth >= Limits::DEEPEST
    {
        return Err(Flaw::too_deep(out.len()));
    }
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => int(*number, out),
        Value::Float(number) => float(*number, out),
        Value::Text(content) => text(content, out),
        Value::Bytes(content) => special("bytes", &STANDARD.encode(content), out),
        Value::Uuid(uuid) => special("uuid", uuid.hyphenated().encode_lower(&mut [0; 36]), out),
        Value::Time(time) => special("time", time.as_str(), out),
        Value::Array(items) => list(items, out, |item, out| self::value(item, depth + 1, out))?,
        Value::Map(pairs) if is_plain(pairs) => object(pairs, depth, out)?,
        Value::Map(pairs) => {
            out.extend_from_slice(b"{\"$map\":");
            list(pairs, out, |(key, content), out| {
                out.push(b'[');
                self::value(key, depth + 1, out)?;
                out.push(b',');
                self::value(content, depth + 1, out)?;
                out.push(b']');
                Ok(())
            })?;
            out.push(b'}');
        }
        Value::Tag(tag, content) => {
            out.extend_from_slice(b"{\"$tag\":[");
            int(i128::from(*tag), out);
            out.push(b',');
            self::value(content, depth + 1, out)?;
            out.extend_from_slice(b"]}");
        }
    }
    Ok(())
}

/// Whether a map can be an object: text keys alone, and none that a reader could take for one of
/// our conventions.
fn is_plain(pairs: &[(Value, Value)]) -> bool {
    match pairs {
        [(Value::Text(only), _)] => !only.starts_with('$'),
        _ => pairs.iter().all(|(key, _)| matches!(key, Value::Text(_))),
    }
}

fn object(pairs: &[(Value, Value)], depth: usize, out: &mut Vec<u8>) -> Result<(), Flaw> {
    out.push(b'{');
    for (index, (key, content)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        value(key, depth + 1, out)?;
        out.push(b':');
        value(content, depth + 1, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn list<T>(
    items: &[T],
    out: &mut Vec<u8>,
    each: impl Fn(&T, &mut Vec<u8>) -> Result<(), Flaw>,
) -> Result<(), Flaw> {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        each(item, out)?;
    }
    out.push(b']');
    Ok(())
}

fn special(name: &str, content: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"$");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    text(content, out);
    out.push(b'}');
}

fn int(number: i128, out: &mut Vec<u8>) {
    let number = number.clamp(*Value::INTEGERS.start(), *Value::INTEGERS.end());
    if number.abs() <= LARGEST_PLAIN {
        print(out, format_args!("{number}"));
    } else {
        print(out, format_args!("{{\"$int\":\"{number}\"}}"));
    }
}

fn float(number: f64, out: &mut Vec<u8>) {
    match number {
        _ if number.is_nan() => special("f64", "NaN", out),
        f64::INFINITY => special("f64", "inf", out),
        f64::NEG_INFINITY => special("f64", "-inf", out),
        // The debug form is the shortest that reads back the same, and always has a point or an
        // exponent: what was a float stays one.
        _ => print(out, format_args!("{number:?}")),
    }
}

/// Appends `content` with its quotes.
pub(crate) fn text(content: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = content.as_bytes();
    let mut written = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if !matches!(byte, b'"' | b'\\' | 0..0x20) {
            continue;
        }
        out.extend_from_slice(&bytes[written..at]);
        written = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => print(out, format_args!("\\u{byte:04x}")),
        }
    }
    out.extend_from_slice(&bytes[written..]);
    out.push(b'"');
}

fn print(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = out.write_fmt(text);
}
