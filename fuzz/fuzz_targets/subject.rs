//! Subjects, tokens and headers of the bus.
#![no_main]

use tengen_protocol::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::subject(bytes));
