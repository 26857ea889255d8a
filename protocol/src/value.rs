//! An application value taken apart, for code that has no type for it.

use bytes::Bytes;
use uuid::Uuid;

/// A value, built in memory. Both codecs can carry every one of these.
///
/// Equality is sameness on the wire: `1` is not `1.0`, `0.0` is not `-0.0`, NaN is NaN, and the
/// order of a map's entries counts.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer from −2^64 to 2^64 − 1, what CBOR can carry. Others are clamped when written.
    Int(i128),
    /// A number that is not an integer by type; `1.0` stays one.
    Float(f64),
    /// Unicode text.
    Text(String),
    /// Bytes, without meaning to us.
    Bytes(Bytes),
    /// Values in order.
    Array(Vec<Value>),
    /// Pairs in order, with keys of any kind.
    Map(Vec<(Value, Value)>),
    /// CBOR tag 37.
    Uuid(Uuid),
    /// CBOR tag 0.
    Time(Time),
    /// Any other CBOR tag, carried along without understanding it.
    Tag(u64, Box<Value>),
}

impl Value {
    /// The least and the greatest integer a value can be.
    pub const INTEGERS: std::ops::RangeInclusive<i128> = -(1 << 64)..=(1 << 64) - 1;
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => {
                a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
            }
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::Array(a), Value::Array(b)) => a == b,
            (Value::Map(a), Value::Map(b)) => a == b,
            (Value::Uuid(a), Value::Uuid(b)) => a == b,
            (Value::Time(a), Value::Time(b)) => a == b,
            (Value::Tag(n, a), Value::Tag(m, b)) => n == m && a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

/// An instant as RFC 3339 text, kept exactly as it was written: no precision and no offset is
/// lost between two applications.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Time(String);

impl Time {
    /// The instant, if the text is a `date-time` of RFC 3339 (section 5.6).
    pub fn parse(text: &str) -> Option<Time> {
        is_rfc3339(text.as_bytes()).then(|| Time(text.to_owned()))
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_rfc3339(text: &[u8]) -> bool {
    // 2026-11-21T03:21:42[.fraction](Z|±hh:mm)
    let Some((front, mut rest)) = text.split_at_checked(19) else {
        return false;
    };
    let punctuation = front[4] == b'-'
        && front[7] == b'-'
        && matches!(front[10], b'T' | b't')
        && front[13] == b':'
        && front[16] == b':';
    let number = |from: usize, to: usize| digits(&front[from..to]);
    let (Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)) = (
        number(0, 4),
        number(5, 7),
        number(8, 10),
        number(11, 13),
        number(14, 16),
        number(17, 19),
    ) else {
        return false;
    };
    if !punctuation
        || !(1..=days_in(year, month)).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    match rest {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            digits(&[*h1, *h2]).is_some_and(|h| h <= 23)
                && digits(&[*m1, *m2]).is_some_and(|m| m <= 59)
        }
        _ => false,
    }
}

fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |n, b| {
        b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0'))
    })
}

/// 0 for a month that does not exist.
fn days_in(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
