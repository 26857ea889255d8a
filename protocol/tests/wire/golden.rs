//! Reads the golden files: JSON, so that any language can.

use std::path::Path;

use bytes::Bytes;
use serde_json::Value as Json;
use tengen_protocol::Codec;

/// The golden file of this name.
pub(crate) fn file(name: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("wire")
        .join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The entries of one list in it.
pub(crate) fn list<'j>(file: &'j Json, name: &str) -> &'j [Json] {
    file[name]
        .as_array()
        .unwrap_or_else(|| panic!("no list {name}"))
}

pub(crate) fn text<'j>(entry: &'j Json, key: &str) -> &'j str {
    entry[key]
        .as_str()
        .unwrap_or_else(|| panic!("no text {key} in {entry}"))
}

/// The bytes of this entry in one codec: hexadecimal for CBOR, the text itself for JSON.
pub(crate) fn bytes(entry: &Json, codec: Codec) -> Bytes {
    match codec {
        Codec::Cbor => unhex(text(entry, "cbor")),
        Codec::Json => Bytes::copy_from_slice(text(entry, "json").as_bytes()),
    }
}

/// The codec and the bytes of an entry that exists in one codec only.
pub(crate) fn either(entry: &Json) -> (Codec, Bytes) {
    let codec = if entry["cbor"].is_string() {
        Codec::Cbor
    } else {
        Codec::Json
    };
    (codec, bytes(entry, codec))
}

pub(crate) fn unhex(hex: &str) -> Bytes {
    let digits: Vec<u8> = hex
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.len() == 2);
        pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    digits
        .chunks(2)
        .map(|pair| byte(pair).unwrap_or_else(|| panic!("not hex: {hex}")))
        .collect()
}

/// What the golden file should say, for the message of a failed comparison.
pub(crate) fn show(codec: Codec, bytes: &[u8]) -> String {
    match codec {
        Codec::Cbor => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Codec::Json => String::from_utf8_lossy(bytes).into_owned(),
    }
}
