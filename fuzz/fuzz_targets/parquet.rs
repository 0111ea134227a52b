//! `weir_collector::fuzz::parquet`; `./x fuzz parquet` runs it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weir_collector::fuzz::parquet(input));
