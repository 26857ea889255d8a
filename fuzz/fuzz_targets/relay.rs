//! What nodes tell each other to serve a poll, and how many a push has reached.
#![no_main]

use tengen_protocol::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::relay(bytes));
