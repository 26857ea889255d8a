//! An instant that stays one on the wire: `#[serde(with = "tengen_protocol::typed::time")]`.

use ciborium::tag::Required;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::value::Time;

const TAG: u64 = 0;

/// Writes CBOR tag 0, in JSON `{"$time": …}`.
///
/// # Errors
/// Those of `serializer`.
pub fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    Required::<&str, TAG>(time.as_str()).serialize(serializer)
}

/// Reads an instant, or its text.
///
/// # Errors
/// Those of `deserializer`, and when the text is not RFC 3339.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    let text = String::deserialize(deserializer)?;
    Time::parse(&text).ok_or_else(|| serde::de::Error::custom("not an instant of RFC 3339"))
}
