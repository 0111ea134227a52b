//! One column of one row group: finished pages, and what the footer says about them.

use arrow_buffer::NullBuffer;
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, ZstdLevel};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::hybrid::Levels;

/// What all columns of a sink share: the compressor, and buffers that would be made anew for every page or batch.
pub(in crate::parquet) struct Codec {
    zstd: zstd::bulk::Compressor<'static>,
    level: ZstdLevel,
    page: Vec<u8>,
    compressed: Vec<u8>,
    /// Keys of the rows of one batch.
    pub(super) keys: Vec<u32>,
    /// Values of the rows of one batch that have some.
    pub(super) values: Vec<i64>,
}

impl Codec {
    /// A zstd compressor of this level.
    ///
    /// # Errors
    /// The level is not one of zstd's.
    pub(in crate::parquet) fn new(level: i32) -> Result<Codec> {
        let zstd = zstd::bulk::Compressor::new(level).map_err(ParquetError::from)?;
        Ok(Codec {
            zstd,
            level: ZstdLevel::try_new(level)?,
            page: Vec::new(),
            compressed: Vec::new(),
            keys: Vec::new(),
            values: Vec::new(),
        })
    }

    /// As the footer names it.
    pub(in crate::parquet) fn compression(&self) -> Compression {
        Compression::ZSTD(self.level)
    }

    fn compress(&mut self) -> Result<Bytes> {
        self.compressed.clear();
        self.compressed.reserve(zstd::zstd_safe::compress_bound(self.page.len()));
        self.zstd.compress_to_buffer(&self.page, &mut self.compressed)?;
        Ok(Bytes::copy_from_slice(&self.compressed))
    }
}

/// Distinct values as the dictionary page holds them.
pub(super) struct DictionaryPage<'a> {
    /// Plain encoding.
    pub(super) bytes: &'a [u8],
    /// Number of values.
    pub(super) count: usize,
}

/// A column chunk ready for its row group.
pub(super) struct Finished {
    /// All pages, the dictionary first.
    pub(super) bytes: Bytes,
    /// What the footer says.
    pub(super) close: ColumnCloseResult,
}

/// The finished pages of a column and the levels of the open one.
pub(super) struct Chunk {
    column: ColumnDescPtr,
    /// Data pages with their headers.
    pages: Vec<u8>,
    encodings: Vec<PageEncodingStats>,
    rows: u64,
    nulls: u64,
    uncompressed: u64,
    open: Levels,
}

impl Chunk {
    /// An empty chunk.
    pub(super) fn new(column: ColumnDescPtr) -> Chunk {
        Chunk {
            column,
            pages: Vec::new(),
            encodings: Vec::new(),
            rows: 0,
            nulls: 0,
            uncompressed: 0,
            open: Levels::default(),
        }
    }

    /// Adds rows to the open page.
    pub(super) fn append(&mut self, rows: usize, nulls: Option<&NullBuffer>) {
        self.open.append(rows, nulls);
    }

    /// Rows in the open page.
    pub(super) fn open_rows(&self) -> usize {
        self.open.rows()
    }

    /// Whether no data page was finished.
    pub(super) fn is_first_page(&self) -> bool {
        self.encodings.is_empty()
    }

    /// Bytes of the finished pages and of the open levels.
    pub(super) fn bytes(&self) -> usize {
        self.pages.len() + self.open.bytes()
    }

    /// Finishes the open page: its levels, then what `body` appends.
    pub(super) fn write_page(
        &mut self,
        codec: &mut Codec,
        encoding: Encoding,
        body: impl FnOnce(&mut Vec<u8>),
    ) -> Result<()> {
        let rows = self.open.rows();
        if self.open.nulls() > 0 && self.column.max_def_level() == 0 {
            return Err(ParquetError::General(format!("null in column {}, which has none", self.column.name())));
        }
        self.rows += rows as u64;
        self.nulls += self.open.nulls() as u64;
        codec.page.clear();
        match self.column.max_def_level() {
            0 => self.open = Levels::default(),
            _ => self.open.put(&mut codec.page),
        }
        body(&mut codec.page);
        let page = Page::DataPage {
            buf: codec.compress()?,
            num_values: rows as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        self.count_page(PageType::DATA_PAGE, encoding);
        let pages = std::mem::take(&mut self.pages);
        self.pages = self.put_page(pages, CompressedPage::new(page, codec.page.len()))?;
        Ok(())
    }

    fn put_page(&mut self, pages: Vec<u8>, page: CompressedPage) -> Result<Vec<u8>> {
        let mut sink = TrackedWrite::new(pages);
        let spec = SerializedPageWriter::new(&mut sink).write_page(page)?;
        self.uncompressed += spec.uncompressed_size as u64;
        sink.into_inner()
    }

    fn count_page(&mut self, page_type: PageType, encoding: Encoding) {
        match self.encodings.iter_mut().find(|e| e.page_type == page_type && e.encoding == encoding) {
            Some(known) => known.count += 1,
            None => self.encodings.push(PageEncodingStats { page_type, encoding, count: 1 }),
        }
    }

    /// Number of rows without a value in the finished pages.
    pub(super) fn nulls(&self) -> u64 {
        self.nulls
    }

    /// Puts the dictionary in front and describes the whole; the last page must be finished.
    pub(super) fn finish(
        mut self,
        codec: &mut Codec,
        dictionary: Option<DictionaryPage<'_>>,
        statistics: Statistics,
        bloom_filter: Option<Sbbf>,
    ) -> Result<Finished> {
        let data = std::mem::take(&mut self.pages);
        let data_encodings: Vec<Encoding> = self.encodings.iter().map(|e| e.encoding).collect();
        let mut bytes = Vec::new();
        if let Some(dictionary) = &dictionary {
            codec.page.clear();
            codec.page.extend_from_slice(dictionary.bytes);
            let page = Page::DictionaryPage {
                buf: codec.compress()?,
                num_values: dictionary.count as u32,
                encoding: Encoding::PLAIN,
                is_sorted: false,
            };
            self.count_page(PageType::DICTIONARY_PAGE, Encoding::PLAIN);
            bytes = self.put_page(bytes, CompressedPage::new(page, dictionary.bytes.len()))?;
        }
        let dictionary_length = bytes.len();
        bytes.extend_from_slice(&data);
        let mut encodings = data_encodings;
        encodings.push(Encoding::RLE);
        if dictionary.is_some() {
            encodings.push(Encoding::PLAIN);
        }
        let metadata = ColumnChunkMetaData::builder(self.column)
            .set_compression(codec.compression())
            .set_encodings(encodings)
            .set_page_encoding_stats(self.encodings)
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_num_values(self.rows as i64)
            .set_data_page_offset(0)
            .set_statistics(statistics)
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: self.rows,
            metadata,
            bloom_filter,
            column_index: None,
            offset_index: None,
        };
        Ok(Finished { bytes: bytes.into(), close: close.update_dictionary_location(dictionary_length)? })
    }
}
