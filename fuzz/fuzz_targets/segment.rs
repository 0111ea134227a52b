//! `weir_collector::fuzz::segment`; `./x fuzz segment` runs it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weir_collector::fuzz::segment(input));
