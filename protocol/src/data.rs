//! One encoded application value, carried without being understood.

use bytes::Bytes;

use crate::codec::Codec;
use crate::codes::{ErrorCode, Refusal};
use crate::limits::Limits;
use crate::value::Value;
use crate::{cbor, json};

#[cfg(feature = "typed")]
mod typed;

/// An application value: exactly one well-formed encoded value, opaque until asked.
///
/// Cloning shares the bytes. Equality is that of codec and bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Data {
    codec: Codec,
    bytes: Bytes,
}

impl Data {
    /// The value null.
    pub fn null(codec: Codec) -> Data {
        let bytes: &'static [u8] = match codec {
            Codec::Cbor => &[0xf6],
            Codec::Json => b"null",
        };
        Data {
            codec,
            bytes: Bytes::from_static(bytes),
        }
    }

    /// Takes `bytes` if they are one value within `limits`, without building it.
    ///
    /// Costs one pass and no allocation, unless the value nests deeper than 32 levels.
    ///
    /// # Errors
    /// [`ErrorCode::UNDECODABLE`] when not well-formed or followed by more bytes,
    /// [`ErrorCode::TOO_LARGE`], [`ErrorCode::TOO_DEEP`].
    pub fn checked(codec: Codec, bytes: Bytes, limits: &Limits) -> Result<Data, Refusal> {
        if bytes.len() > limits.max_bytes {
            return Err(Refusal::new(
                ErrorCode::TOO_LARGE,
                "value is larger than allowed",
            ));
        }
        match codec {
            Codec::Cbor => cbor::check(&bytes, limits)?,
            Codec::Json => json::check(&bytes, limits)?,
        }
        Ok(Data { codec, bytes })
    }

    /// Takes bytes that a check of this crate has just walked over.
    pub(crate) fn trusted(codec: Codec, bytes: Bytes) -> Data {
        Data { codec, bytes }
    }

    /// How the bytes are to be read.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The encoded value.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same value in another codec. Free when it is the one it has.
    ///
    /// # Errors
    /// [`ErrorCode::TOO_DEEP`] when the value nests deeper than [`Limits::DEEPEST`].
    pub fn transcode(&self, to: Codec) -> Result<Data, Refusal> {
        if to == self.codec {
            return Ok(self.clone());
        }
        Data::from_value(to, &self.value()?)
    }

    /// The value taken apart.
    ///
    /// # Errors
    /// [`ErrorCode::TOO_DEEP`] when it nests deeper than [`Limits::DEEPEST`].
    pub fn value(&self) -> Result<Value, Refusal> {
        match self.codec {
            Codec::Cbor => cbor::read(&self.bytes),
            Codec::Json => json::read(&self.bytes),
        }
    }

    /// Encodes `value`.
    ///
    /// # Errors
    /// [`ErrorCode::TOO_DEEP`] when it nests deeper than [`Limits::DEEPEST`].
    pub fn from_value(codec: Codec, value: &Value) -> Result<Data, Refusal> {
        let mut bytes = Vec::new();
        match codec {
            Codec::Cbor => cbor::write(value, &mut bytes)?,
            Codec::Json => json::write(value, &mut bytes)?,
        }
        Ok(Data {
            codec,
            bytes: bytes.into(),
        })
    }
}

#[cfg(test)]
mod tests;
