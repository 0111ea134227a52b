//! `weir_collector::fuzz::lines`; `./x fuzz lines` runs it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weir_collector::fuzz::lines(input));
