//! Where a file stands and what it is called.

use std::path::PathBuf;

use chrono::{DateTime, Datelike, Timelike};

use crate::Identity;
use crate::file_names::{BOOT_DIGITS, HOST_BYTES_MAX, safe};

/// Ending of finished files.
pub(super) const FINISHED: &str = ".parquet";
/// Ending of files in the making: nothing that a reader's glob for `*.parquet` takes.
pub(super) const UNFINISHED: &str = ".unfinished";
/// µs in an hour.
const HOUR_US: i64 = 3_600_000_000;

/// The hour of a wall-clock time in µs, counted from 1970.
pub(super) fn hour_of(time_us: i64) -> i64 {
    time_us.div_euclid(HOUR_US)
}

/// `class=<class>`.
pub(super) fn class_dir(class: &str) -> PathBuf {
    format!("class={class}").into()
}

/// `class=<class>/date=YYYY-MM-DD/hour=H`, UTC. The hour has no leading zero: with one, DuckDB takes it for a text below 10 and for
/// a number from 10 on, by the files that are there.
pub(super) fn partition(class: &str, time_us: i64) -> PathBuf {
    let time = DateTime::from_timestamp_micros(time_us).unwrap_or_default();
    let date = format!("date={:04}-{:02}-{:02}", time.year(), time.month(), time.day());
    class_dir(class).join(date).join(format!("hour={}", time.hour()))
}

/// `<host>-<boot id>-<epoch>-<first ktime_ns>-<n>`, without an ending.
pub(super) fn stem(identity: &Identity, first_ktime_ns: i64, n: u64) -> String {
    let host = safe(&identity.host, HOST_BYTES_MAX);
    let boot = safe(&identity.boot_id, BOOT_DIGITS);
    format!("{host}-{boot}-{}-{first_ktime_ns}-{n}", identity.epoch)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn stem_of(host: &str) -> String {
        stem(&Identity { host: host.into(), boot_id: "0123456789abcdef".into(), epoch: 5 }, 77, 3)
    }

    #[test]
    fn a_name_has_host_boot_epoch_time_and_number() {
        assert_eq!(stem_of("web-1.example"), "web-1.example-01234567-5-77-3");
    }

    #[test]
    fn no_host_leads_out_of_the_directory() {
        for host in ["..", "../../etc/passwd", "/", ".hidden", "", "a/b\n\0c", &"x".repeat(4_000)] {
            let name = stem_of(host) + FINISHED;
            assert!(!name.contains('/') && !name.starts_with('.') && !name.contains('\0'), "{name}");
            assert!(name.len() <= 255, "{name}");
        }
    }

    #[test]
    fn partitions_are_the_hour_in_utc() {
        assert_eq!(partition("file", 1_772_600_767_000_000), Path::new("class=file/date=2026-03-04/hour=5"));
        assert_eq!(partition("loss", -1), Path::new("class=loss/date=1969-12-31/hour=23"));
        assert_eq!(hour_of(-1), -1);
        assert_eq!(hour_of(3_599_999_999), 0);
    }
}
