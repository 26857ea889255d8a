//! The state of a session, as its taker installs it.
#![no_main]

use tengen_protocol::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::snapshot(bytes));
