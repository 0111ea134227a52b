//! `weir_collector::fuzz::notes`; `./x fuzz notes` runs it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weir_collector::fuzz::notes(input));
