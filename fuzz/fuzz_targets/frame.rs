//! `weir_collector::fuzz::frame`; `./x fuzz frame` runs it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weir_collector::fuzz::frame(input));
