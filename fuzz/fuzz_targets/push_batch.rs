//! Batches of pushes.
#![no_main]

use tengen_bus::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::push_batch(bytes));
