//! `weir_collector::fuzz::record`; `./x fuzz record` runs it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weir_collector::fuzz::record(input));
