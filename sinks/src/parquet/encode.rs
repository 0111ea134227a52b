//! Arrow batches into Parquet row groups, dictionary keys passed through.
//!
//! The general writer of the `parquet` crate hashes the text of every row again although the batch already knows which
//! rows share a text. Here a column takes over the keys of a batch by a table from the batch's dictionary to the row
//! group's (a text is hashed once per batch), and whole numbers go through a small table of their own. Only lists are
//! left to the general writer. The pages follow the format's document (`Encodings.md`, data pages of version 1).
//!
//! A column chunk starts with a dictionary and leaves it when it does not pay: text for plain pages, numbers for
//! `DELTA_BINARY_PACKED`. Statistics are per column chunk; there is no page index: row groups are small and sorted by
//! time, so the chunk's minimum and maximum prune as well.

mod boolean;
mod chunk;
mod delta;
mod hybrid;
mod int;
mod int_table;
mod keys;
mod row_group;
mod text;
mod text_table;

pub(super) use chunk::Codec;
pub(super) use row_group::{Layout, RowGroup};

/// Rows that are taken at once, and rows of a data page of values.
const PAGE_ROWS: usize = 16 * 1024;

/// Rows beyond which a data page of keys or bits is finished. A row group of the default size is one page: zstd finds
/// what repeats only inside of a page, and a dictionary can be sorted as long as no page uses its keys.
const KEYED_PAGE_ROWS: usize = 128 * 1024;

/// Bytes of text in one plain data page.
const PAGE_BYTES: usize = 1024 * 1024;
