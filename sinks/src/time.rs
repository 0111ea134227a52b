//! Calendar time from microseconds since 1970, UTC.

use chrono::{DateTime, Datelike, Timelike};

use crate::digits::last_digits;

/// Microseconds of one second.
const US_PER_S: i64 = 1_000_000;

/// Bytes of `YYYY-MM-DDTHH:MM:SS.ffffffZ` for the years 0 to 9999.
const TEXT_BYTES: usize = 27;
/// Where the time of day starts in it.
const DAY_BYTES: usize = 11;

/// Writes times as RFC 3339 with six digits and `Z`, and keeps the second: most rows share it with the one before.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    second: i64,
    text: [u8; TEXT_BYTES],
}

impl Default for Clock {
    fn default() -> Clock {
        let mut clock = Clock { second: i64::MIN, text: *b"0000-00-00T00:00:00.000000Z" };
        clock.set_second(0);
        clock
    }
}

impl Clock {
    fn set_second(&mut self, second: i64) {
        self.second = second;
        // A clock outside of the years that RFC 3339 can write shows as 1970 or as the nearest of them.
        let time = DateTime::from_timestamp(second, 0).unwrap_or_default();
        self.text[..4].copy_from_slice(&last_digits::<4>(time.year().clamp(0, 9_999) as u32));
        let pairs = [(5, time.month()), (8, time.day()), (11, time.hour()), (14, time.minute()), (17, time.second())];
        for (at, value) in pairs {
            self.text[at..at + 2].copy_from_slice(&last_digits::<2>(value));
        }
    }

    /// `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
    #[inline]
    pub fn date_time(&mut self, time_us: i64) -> &[u8; TEXT_BYTES] {
        let second = time_us.div_euclid(US_PER_S);
        if second != self.second {
            self.set_second(second);
        }
        self.text[20..26].copy_from_slice(&last_digits::<6>(time_us.rem_euclid(US_PER_S) as u32));
        &self.text
    }

    /// `HH:MM:SS.ffffff`.
    pub fn time_of_day(&mut self, time_us: i64) -> &[u8] {
        &self.date_time(time_us)[DAY_BYTES..TEXT_BYTES - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(time_us: i64) -> String {
        String::from_utf8_lossy(Clock::default().date_time(time_us)).into_owned()
    }

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(text(951_827_696_123_456), "2000-02-29T12:34:56.123456Z");
        assert_eq!(text(4_107_542_399_999_999), "2100-02-28T23:59:59.999999Z");
        assert_eq!(text(i64::MAX).len(), TEXT_BYTES);
        assert_eq!(text(i64::MIN).len(), TEXT_BYTES);
    }
}
