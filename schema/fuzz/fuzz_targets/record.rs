//! Any bytes give a record or an error: `cargo +nightly fuzz run record` in `schema/`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_schema::record::Record;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = Record::parse(bytes) {
        let tails: usize = (0..record.class.tails.len()).map(|i| record.tail(i).len()).sum();
        assert_eq!(record.fixed.len(), record.class.layout().fixed);
        assert!(record.fixed.len() + tails <= bytes.len());
    }
});
