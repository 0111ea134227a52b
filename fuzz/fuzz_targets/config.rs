//! `weir_collector::fuzz::config`; `./x fuzz config` runs it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weir_collector::fuzz::config(input));
