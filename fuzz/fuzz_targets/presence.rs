//! What nodes tell each other about who is online.
#![no_main]

use tengen_protocol::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::presence(bytes));
