//! Frames of servers in JSON.
#![no_main]

use tengen_protocol::{Codec, fuzzing};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::server_frame(Codec::Json, bytes));
