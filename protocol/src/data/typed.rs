//! Values with a Rust type, through serde.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Data;
use crate::codec::Codec;
use crate::codes::{ErrorCode, Refusal};
use crate::limits::Limits;
use crate::typed::de;

impl Data {
    /// The value as a `T`.
    ///
    /// A whole number is accepted where `T` wants a float: in JavaScript `1.0` is written `1`.
    /// Tags around what `T` wants are skipped, so a `$uuid` reads as `uuid::Uuid` and a `$time`
    /// as a `String`. A sequence of numbers may come as bytes.
    ///
    /// # Errors
    /// [`ErrorCode::UNDECODABLE`] when it is none, [`ErrorCode::TOO_DEEP`] as [`Data::value`].
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        de::from_value(self.value()?)
    }

    /// Encodes a `T`.
    ///
    /// A `Vec<u8>` is an array of numbers unless it goes through `serde_bytes`, and a
    /// `uuid::Uuid` is bytes unless it goes through [`crate::typed::uuid`].
    ///
    /// # Errors
    /// [`ErrorCode::UNDECODABLE`] when its `Serialize` fails, [`ErrorCode::TOO_DEEP`] when it
    /// nests deeper than [`Limits::DEEPEST`].
    pub fn from<T: Serialize + ?Sized>(codec: Codec, value: &T) -> Result<Data, Refusal> {
        let mut bytes = Vec::new();
        let failed =
            |error| Refusal::new(ErrorCode::UNDECODABLE, format!("not encodable: {error}"));
        ciborium::into_writer(value, &mut bytes).map_err(failed)?;
        let own = Limits {
            max_bytes: usize::MAX,
            max_depth: Limits::DEEPEST,
            max_elements: usize::MAX,
        };
        Data::checked(Codec::Cbor, bytes.into(), &own)?.transcode(codec)
    }
}
