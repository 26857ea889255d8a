//! Values with a Rust type, through serde.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Data;
use crate::codec::Codec;
use crate::codes::Refusal;

impl Data {
    /// The value as a `T`.
    ///
    /// # Errors
    /// [`crate::ErrorCode::UNDECODABLE`] when it is none.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        unimplemented!()
    }

    /// Encodes a `T`.
    ///
    /// # Errors
    /// [`crate::ErrorCode::UNDECODABLE`] when its `Serialize` fails.
    pub fn from<T: Serialize + ?Sized>(_codec: Codec, _value: &T) -> Result<Data, Refusal> {
        unimplemented!()
    }
}
