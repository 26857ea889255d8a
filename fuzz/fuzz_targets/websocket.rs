//! RFC 6455 frames of clients, whole and in pieces.
#![no_main]

// The decoder is private to the node, and the node is a large crate to build for one file.
#[path = "../../node/src/edge"]
mod edge {
    #[allow(dead_code)]
    pub(crate) mod decoder;
}
#[path = "../../node/src/edge/decoder/fuzzing.rs"]
mod fuzzing;

use edge::decoder::{Decoder, Message, Violation};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::any_bytes(bytes));
