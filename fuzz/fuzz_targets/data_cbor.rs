//! Values in CBOR, through JSON and back.
#![no_main]

use tengen_protocol::{Codec, fuzzing};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::data(Codec::Cbor, bytes));
