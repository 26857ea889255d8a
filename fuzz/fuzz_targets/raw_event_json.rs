//! Pushed events in JSON, checked without being built.
#![no_main]

use tengen_protocol::{Codec, fuzzing};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::raw_event(Codec::Json, bytes));
