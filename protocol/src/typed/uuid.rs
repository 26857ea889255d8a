//! A UUID that stays one on the wire: `#[serde(with = "tengen_protocol::typed::uuid")]`.

use ciborium::tag::Required;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

const TAG: u64 = 37;

/// Writes CBOR tag 37, in JSON `{"$uuid": …}`. Through serde alone a UUID is plain bytes.
///
/// # Errors
/// Those of `serializer`.
pub fn serialize<S: Serializer>(uuid: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    struct Bytes([u8; 16]);
    impl Serialize for Bytes {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }
    Required::<Bytes, TAG>(Bytes(uuid.into_bytes())).serialize(serializer)
}

/// Reads a UUID, plain bytes, or its text.
///
/// # Errors
/// Those of `deserializer`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
    Uuid::deserialize(deserializer)
}
