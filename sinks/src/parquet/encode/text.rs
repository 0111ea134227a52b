//! Columns of text: the keys of a batch's dictionary are translated, and the text itself is looked at once per batch.

use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, StringArray, cast::AsArray};
use arrow_buffer::NullBuffer;
use parquet::basic::Encoding;
use parquet::bloom_filter::Sbbf;
use parquet::data_type::ByteArray;
use parquet::errors::Result;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescPtr;

use super::chunk::{Chunk, Codec, DictionaryPage, Finished};
use super::keys::Keys;
use super::row_group::{BLOOM_FALSE_POSITIVES, mismatch};
use super::text_table::{TextTable, put_text};
use super::{KEYED_PAGE_ROWS, PAGE_BYTES, PAGE_ROWS};

/// Bytes of a text that stand in the statistics.
const STATISTICS_BYTES: usize = 64;
/// A key of the batch that was not met yet.
const UNSEEN: u32 = u32::MAX;

/// One column of text.
pub(super) struct TextColumn {
    chunk: Chunk,
    bloom: bool,
    table: TextTable,
    keys: Keys,
    /// Texts of the open page in plain encoding, once the dictionary is full.
    plain: Option<Vec<u8>>,
    /// Least and greatest text of the plain pages.
    range: Option<(Vec<u8>, Vec<u8>)>,
    /// Key in the row group by key of the batch.
    translated: Vec<u32>,
}

/// A dictionary array taken apart.
struct Rows<'a> {
    keys: &'a [i32],
    values: &'a StringArray,
    nulls: Option<NullBuffer>,
}

impl Rows<'_> {
    fn text(&self, row: usize) -> &[u8] {
        self.values.value(self.keys[row] as usize).as_bytes()
    }

    fn nulls_of(&self, from: usize, to: usize) -> Option<NullBuffer> {
        self.nulls.as_ref().map(|nulls| nulls.slice(from, to - from))
    }

    fn is_valid(&self, row: usize) -> bool {
        self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
    }
}

impl TextColumn {
    /// An empty column; `bloom` asks for a filter.
    pub(super) fn new(column: ColumnDescPtr, bloom: bool) -> TextColumn {
        TextColumn {
            chunk: Chunk::new(column),
            bloom,
            table: TextTable::new(),
            keys: Keys::default(),
            plain: None,
            range: None,
            translated: Vec::new(),
        }
    }

    /// Heap bytes in use.
    pub(super) fn bytes(&self) -> usize {
        let plain = self.plain.as_ref().map_or(0, Vec::capacity);
        self.chunk.bytes()
            + self.table.bytes()
            + self.keys.bytes()
            + plain
            + self.translated.capacity() * size_of::<u32>()
    }

    /// Adds the rows of an array, at most [`PAGE_ROWS`].
    pub(super) fn append(&mut self, array: &ArrayRef, codec: &mut Codec) -> Result<()> {
        let dictionary = array.as_dictionary_opt::<Int32Type>().ok_or_else(|| mismatch(array))?;
        let values = dictionary.values().as_string_opt::<i32>().ok_or_else(|| mismatch(array))?;
        // A null among the values makes its rows null; without one the keys' own bitmap is enough.
        let nulls = if values.null_count() > 0 { array.logical_nulls() } else { array.nulls().cloned() };
        let rows = Rows { keys: dictionary.keys().values(), values, nulls };
        if rows.nulls.as_ref().is_some_and(|nulls| nulls.null_count() == array.len()) {
            self.chunk.append(array.len(), rows.nulls.as_ref());
            return Ok(());
        }
        self.translated.clear();
        self.translated.resize(values.len(), UNSEEN);
        let done = if self.plain.is_none() { self.append_keys(&rows, &mut codec.keys) } else { 0 };
        self.chunk.append(done, rows.nulls_of(0, done).as_ref());
        if done < array.len() {
            return self.append_plain(&rows, done, codec);
        }
        if self.chunk.open_rows() > KEYED_PAGE_ROWS && !self.keys.is_uniform() {
            self.write_page(codec)?;
        }
        Ok(())
    }

    /// Returns how many leading rows were taken: all, or those before the text for which the dictionary has no room.
    fn append_keys(&mut self, rows: &Rows<'_>, keys: &mut Vec<u32>) -> usize {
        let all = rows.keys.len();
        keys.clear();
        let done = match &rows.nulls {
            None => match rows.keys {
                [first, ..] if rows.keys.iter().all(|k| k == first) => {
                    let Some(key) = self.table.key(rows.text(0)) else { return 0 };
                    self.keys.push_run(key, all, self.table.len());
                    return all;
                }
                _ => self.translate(rows, rows.keys.iter().copied().enumerate(), keys),
            },
            Some(nulls) => self.translate(rows, nulls.valid_indices().map(|row| (row, rows.keys[row])), keys),
        };
        self.keys.extend(keys, self.table.len());
        done
    }

    /// `wanted` are rows that have a value, with their keys in the batch.
    fn translate(&mut self, rows: &Rows<'_>, wanted: impl Iterator<Item = (usize, i32)>, keys: &mut Vec<u32>) -> usize {
        keys.reserve(rows.keys.len());
        for (row, key) in wanted {
            let translated = &mut self.translated[key as usize];
            if *translated == UNSEEN {
                match self.table.key(rows.text(row)) {
                    Some(key) => *translated = key,
                    None => return row,
                }
            }
            keys.push(*translated);
        }
        rows.keys.len()
    }

    /// Adds the rows from `from` to plain pages, of which huge texts may need several.
    fn append_plain(&mut self, rows: &Rows<'_>, from: usize, codec: &mut Codec) -> Result<()> {
        if self.plain.is_none() {
            if self.chunk.open_rows() > 0 {
                self.write_page(codec)?;
            }
            self.plain = Some(Vec::new());
            self.translated.fill(UNSEEN);
        }
        let all = rows.keys.len();
        let mut start = from;
        for row in (from..all).filter(|row| rows.is_valid(*row)) {
            let seen = &mut self.translated[rows.keys[row] as usize];
            if *seen == UNSEEN {
                *seen = 0;
                widen(&mut self.range, rows.text(row));
            }
            let plain = self.plain.get_or_insert_default();
            put_text(plain, rows.text(row));
            if plain.len() >= PAGE_BYTES {
                self.chunk.append(row + 1 - start, rows.nulls_of(start, row + 1).as_ref());
                start = row + 1;
                self.write_page(codec)?;
            }
        }
        self.chunk.append(all - start, rows.nulls_of(start, all).as_ref());
        if self.chunk.open_rows() >= PAGE_ROWS {
            self.write_page(codec)?;
        }
        Ok(())
    }

    fn write_page(&mut self, codec: &mut Codec) -> Result<()> {
        if let Some(plain) = &mut self.plain {
            self.chunk.write_page(codec, Encoding::PLAIN, |page| page.extend_from_slice(plain))?;
            plain.clear();
            return Ok(());
        }
        let (keys, distinct) = (&mut self.keys, self.table.len());
        if distinct == 0 {
            return self.chunk.write_page(codec, Encoding::PLAIN, |_| ());
        }
        self.chunk.write_page(codec, Encoding::RLE_DICTIONARY, |page| keys.put(page, distinct))
    }

    /// The whole column chunk.
    pub(super) fn finish(mut self, codec: &mut Codec) -> Result<Finished> {
        if self.chunk.open_rows() > 0 {
            self.write_page(codec)?;
        }
        let mut range = self.range.take();
        for text in self.table.texts() {
            widen(&mut range, text);
        }
        let statistics = statistics(range, self.chunk.nulls());
        let complete = self.bloom && self.plain.is_none() && self.table.len() > 0;
        let bloom = complete.then(|| bloom_filter(&self.table)).transpose()?;
        let page = DictionaryPage { bytes: self.table.page(), count: self.table.len() };
        self.chunk.finish(codec, (page.count > 0).then_some(page), statistics, bloom)
    }
}

fn bloom_filter(table: &TextTable) -> Result<Sbbf> {
    let mut filter = Sbbf::new_with_ndv_fpp(table.len() as u64, BLOOM_FALSE_POSITIVES)?;
    for text in table.texts() {
        filter.insert(text);
    }
    Ok(filter)
}

fn widen(range: &mut Option<(Vec<u8>, Vec<u8>)>, text: &[u8]) {
    match range {
        None => *range = Some((text.to_vec(), text.to_vec())),
        Some((low, _)) if text < low.as_slice() => *low = text.to_vec(),
        Some((_, high)) if text > high.as_slice() => *high = text.to_vec(),
        Some(_) => {}
    }
}

fn statistics(range: Option<(Vec<u8>, Vec<u8>)>, nulls: u64) -> Statistics {
    let (low, high) = range.unzip();
    let exact = |text: &Option<Vec<u8>>| text.as_ref().is_none_or(|text| text.len() <= STATISTICS_BYTES);
    let (low_is_exact, high_is_exact) = (exact(&low), exact(&high));
    let low = low.map(|text| ByteArray::from(prefix(&text).to_vec()));
    let high = high.and_then(|text| if high_is_exact { Some(text) } else { above(&text) }).map(ByteArray::from);
    ValueStatistics::new(low, high, None, Some(nulls), false)
        .with_min_is_exact(low_is_exact)
        .with_max_is_exact(high_is_exact)
        .into()
}

/// At most [`STATISTICS_BYTES`] of a text, whole characters: never above the text.
fn prefix(text: &[u8]) -> &[u8] {
    let mut end = STATISTICS_BYTES.min(text.len());
    while end > 0 && text.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    &text[..end]
}

/// A short text above every text with the same beginning; `None` where there is none.
fn above(text: &[u8]) -> Option<Vec<u8>> {
    let mut chars: Vec<char> = std::str::from_utf8(prefix(text)).ok()?.chars().collect();
    while let Some(last) = chars.pop() {
        // The next character that takes as many bytes, so that the limit holds.
        let next = (u32::from(last) + 1..=u32::from(last) + 0x801).find_map(char::from_u32);
        if let Some(next) = next.filter(|next| next.len_utf8() == last.len_utf8()) {
            chars.push(next);
            return Some(String::from_iter(chars).into_bytes());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortened_statistics_enclose_the_text_and_stay_text() {
        for text in ["a".repeat(100), "ä".repeat(50), "x".to_owned() + &"€".repeat(40), "\u{d7ff}".repeat(30)] {
            let (low, high) = (prefix(text.as_bytes()).to_vec(), above(text.as_bytes()).unwrap());
            assert!(low.as_slice() <= text.as_bytes() && text.as_bytes() < high.as_slice(), "{text}");
            assert!(low.len() <= STATISTICS_BYTES && high.len() <= STATISTICS_BYTES, "{text}");
            assert!(std::str::from_utf8(&low).is_ok() && std::str::from_utf8(&high).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_greatest_character_has_nothing_above_it() {
        assert_eq!(above("\u{10ffff}".repeat(20).as_bytes()), None);
        assert_eq!(above(("a".to_owned() + &"\u{10ffff}".repeat(20)).as_bytes()), Some(b"b".to_vec()));
    }
}
