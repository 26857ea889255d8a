//! One value to bytes and back, for requests beside the socket and for the golden files.

use bytes::Bytes;
use tengen_protocol::{Codec, Data, Limits};
use wasm_bindgen::prelude::*;

use crate::values;

/// The bytes of one value, as they stand on the wire in `codec` (`"cbor"` or `"json"`).
#[wasm_bindgen]
pub fn encode(
    #[wasm_bindgen(unchecked_param_type = "Value")] value: &JsValue,
    #[wasm_bindgen(unchecked_param_type = "Codec")] codec: &str,
) -> Result<Vec<u8>, JsError> {
    let value = values::from_js(value).map_err(|why| JsError::new(&why))?;
    let data = Data::from_value(named(codec)?, &value)
        .map_err(|refusal| JsError::new(&refusal.message))?;
    Ok(data.bytes().to_vec())
}

/// The value of such bytes.
#[wasm_bindgen(unchecked_return_type = "Value")]
pub fn decode(
    bytes: Vec<u8>,
    #[wasm_bindgen(unchecked_param_type = "Codec")] codec: &str,
) -> Result<JsValue, JsError> {
    let limits = Limits {
        max_bytes: usize::MAX,
        ..Limits::default()
    };
    let data = Data::checked(named(codec)?, Bytes::from(bytes), &limits);
    let value = data
        .and_then(|data| data.value())
        .map_err(|refusal| JsError::new(&refusal.message))?;
    Ok(values::to_js(&value))
}

/// The codec a page means by a word.
pub(crate) fn named(codec: &str) -> Result<Codec, JsError> {
    match codec {
        "cbor" => Ok(Codec::Cbor),
        "json" => Ok(Codec::Json),
        _ => Err(JsError::new("the codec is \"cbor\" or \"json\"")),
    }
}
