//! Messages on the push subjects: subject, headers and body.
#![no_main]

use tengen_bus::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::push_message(bytes));
