//! `weir_collector::fuzz::state`; `./x fuzz state` runs it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weir_collector::fuzz::state(input));
