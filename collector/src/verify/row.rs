//! The few columns of a row that verify reads, whatever the format.

use thiserror::Error;
use weir_schema::loss::CPU_SINK;

/// Highest number of a CPU: the kernel's own limit (`NR_CPUS`, x86).
pub const CPU_MAX: i32 = 8191;

/// Columns of every class.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// CPU, or a negative one of the collector or the sink.
    pub cpu: i32,
    /// Number on this CPU.
    pub seq: i64,
    /// CLOCK_BOOTTIME in ns.
    pub ktime_ns: i64,
}

/// Columns of class `loss`.
#[derive(Debug, Clone, Copy)]
pub struct Loss<'a> {
    /// `gap`, `checkpoint` or `end`.
    pub action: &'a str,
    /// CPU whose numbers are meant.
    pub gap_cpu: Option<i32>,
    /// First missing number, or the first that is not accounted for yet.
    pub first_seq: Option<i64>,
    /// Last missing number.
    pub last_seq: Option<i64>,
    /// Kernel time of the last record, ns.
    pub last_ktime_ns: Option<i64>,
    /// How many numbers.
    pub count: Option<i64>,
    /// `open=120,unlink=3`
    pub by_action: Option<&'a str>,
    /// Why.
    pub reason: Option<&'a str>,
}

/// A row that no version of weir writes: the file is not what it says.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RowError {
    /// A column that a row of this kind needs has no value.
    #[error("column `{0}` has no value")]
    Null(&'static str),
    /// A number that counts something is negative.
    #[error("column `{0}` is negative: {1}")]
    Negative(&'static str, i64),
    /// A CPU that cannot be.
    #[error("column `{0}` is no CPU: {1}")]
    Cpu(&'static str, i32),
    /// A gap whose last number is below its first.
    #[error("gap ends before it starts: {0}..{1}")]
    Backwards(u64, u64),
    /// A row of class `loss` with another action.
    #[error("unknown action of class loss: `{0}`")]
    Action(String),
    /// `by_action` is not a list of `name=number`.
    #[error("column `by_action` is no list of name=number: `{0}`")]
    ByAction(String),
    /// Too many different identities in one input.
    #[error("more than {0} runs (host, boot_id, epoch) in one input")]
    Runs(usize),
    /// Too many different classes in one input.
    #[error("more than {0} classes in one input")]
    Classes(usize),
    /// Too many different reasons of gaps, or actions of one.
    #[error("more than {1} different names in column `{0}`")]
    Names(&'static str, usize),
    /// A name that is longer than one can be.
    #[error("column `{0}` is longer than {1} bytes")]
    TooLong(&'static str, usize),
}

/// A number that is never negative.
pub fn number(column: &'static str, value: i64) -> Result<u64, RowError> {
    u64::try_from(value).map_err(|_| RowError::Negative(column, value))
}

/// A number that is never negative nor null.
pub fn required(column: &'static str, value: Option<i64>) -> Result<u64, RowError> {
    number(column, value.ok_or(RowError::Null(column))?)
}

/// Position of a CPU in a list that starts with the sink's (-2) and the collector's (-1).
pub fn cpu_index(column: &'static str, cpu: i32) -> Result<usize, RowError> {
    match usize::try_from(i64::from(cpu) - i64::from(CPU_SINK)) {
        Ok(index) if cpu <= CPU_MAX => Ok(index),
        _ => Err(RowError::Cpu(column, cpu)),
    }
}

/// Names and numbers of `by_action`.
pub fn by_action(text: &str) -> impl Iterator<Item = Result<(&str, u64), RowError>> {
    text.split(',').filter(|part| !part.is_empty()).map(move |part| {
        part.rsplit_once('=')
            .and_then(|(name, count)| Some((name, count.parse().ok()?)))
            .ok_or_else(|| RowError::ByAction(shown(text)))
    })
}

/// Characters of a text that a message shows.
const SHOWN_MAX: usize = 200;

/// The beginning of a text that is not what it should be.
pub fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_start_with_the_sink_and_end_at_the_kernels_limit() {
        assert_eq!(cpu_index("cpu", -2), Ok(0));
        assert_eq!(cpu_index("cpu", 3), Ok(5));
        assert_eq!(cpu_index("cpu", -3), Err(RowError::Cpu("cpu", -3)));
        assert_eq!(cpu_index("cpu", CPU_MAX + 1), Err(RowError::Cpu("cpu", CPU_MAX + 1)));
        assert_eq!(cpu_index("cpu", i32::MIN), Err(RowError::Cpu("cpu", i32::MIN)));
    }

    #[test]
    fn counts_by_action_are_read_and_nonsense_is_refused() {
        let read: Result<Vec<_>, _> = by_action("open=120,file.close=3").collect();
        assert_eq!(read, Ok(vec![("open", 120), ("file.close", 3)]));
        assert!(by_action("open").next().is_some_and(|r| r.is_err()));
        assert_eq!(by_action("").count(), 0);
    }
}
