//! What nodes tell each other when a session goes from one to another.
#![no_main]

use tengen_protocol::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::takeover(bytes));
