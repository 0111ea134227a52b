//! What the Parquet sink can be told, with its defaults.

use std::path::PathBuf;
use std::time::Duration;

const MIB: u64 = 1024 * 1024;

/// Settings of [`super::ParquetSink`]; every limit holds per class file unless it says otherwise.
#[derive(Debug, Clone)]
pub struct ParquetOptions {
    /// See [`crate::Sink::name`].
    pub name: String,
    /// Directory of all files; made if absent.
    pub dir: PathBuf,
    /// Rows at which the open files are flushed.
    pub rows_max: u64,
    /// Bytes at which the open files are flushed.
    pub bytes_max: u64,
    /// Age at which the open files are flushed.
    pub age_max: Duration,
    /// zstd level.
    pub compression: i32,
    /// Rows in one row group.
    pub row_group_rows: usize,
    /// Encoded bytes in one row group.
    pub row_group_bytes: usize,
    /// User and group that files and directories are given to.
    pub owner: Option<(u32, u32)>,
    /// Bytes of all Parquet files in the directory; beyond it the oldest are removed.
    pub dir_bytes_max: Option<u64>,
    /// Age at which a file is removed.
    pub dir_age_max: Option<Duration>,
    /// Bytes that stay free in the file system: the oldest files are removed for it.
    pub free_bytes_min: Option<u64>,
}

impl Default for ParquetOptions {
    fn default() -> ParquetOptions {
        ParquetOptions {
            name: "parquet".to_owned(),
            dir: PathBuf::from("weir-data"),
            rows_max: 10_000_000,
            bytes_max: 128 * MIB,
            age_max: Duration::from_secs(300),
            compression: 1,
            row_group_rows: 128 * 1024,
            row_group_bytes: 64 * MIB as usize,
            owner: None,
            dir_bytes_max: None,
            dir_age_max: None,
            free_bytes_min: None,
        }
    }
}
