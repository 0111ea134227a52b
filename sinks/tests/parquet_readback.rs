//! What was written is read back, row by row: by arrow-rs, by the real pyarrow and by the real DuckDB.
#![allow(clippy::unwrap_used, reason = "what fails here ends the test or measurement")]

#[path = "parquet_common/mod.rs"]
mod common;
mod python;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, DictionaryArray, Int32Array, Int64Array, ListArray, StringArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field};
use common::{Random, TIME_US, open, options, parquet_files, texts, times};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use python::python;
use weir_schema::arrow::NEVER_NULL;
use weir_schema::{CLASSES, ClassId};
use weir_sinks::{Batch, ParquetOptions, Progress, Sink};

/// How values of one column look.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Constant,
    Few,
    Many,
    Growing,
    Huge,
}

/// Texts that are hard on something: empty, long, not ASCII, alike up to the end, with control characters.
fn awkward(random: &mut Random, shape: Shape) -> String {
    match shape {
        Shape::Constant => "always".to_owned(),
        Shape::Few => ["", "a", "ä€😀", "line\nbreak\t\"quoted\"\\", "\u{10ffff}", "with\0nul"]
            [random.below(6) as usize]
            .to_owned(),
        Shape::Many => format!("{}{}", "€".repeat(random.below(60) as usize), random.below(5_000)),
        Shape::Growing => format!("/proc/{}/status", random.next()),
        Shape::Huge if random.below(20) == 0 => "x".repeat(150_000) + &random.below(50).to_string(),
        Shape::Huge => "y".repeat(random.below(5_000) as usize) + &random.below(50).to_string(),
    }
}

fn number(random: &mut Random, shape: Shape, row: i64) -> i64 {
    match shape {
        Shape::Constant => i64::MIN,
        Shape::Few => [0, -1, i64::MAX, i64::MIN, 4_242][random.below(5) as usize],
        Shape::Many => random.below(3_000) as i64 * 1_000_003,
        Shape::Growing => row * 1_000 + random.below(900) as i64,
        Shape::Huge => random.next() as i64,
    }
}

/// Which rows are null: none, all, some, or long runs.
fn nulls(random: &mut Random, rows: usize) -> Option<NullBuffer> {
    match random.below(5) {
        0 | 1 => None,
        2 => Some(NullBuffer::new_null(rows)),
        3 => Some((0..rows).map(|_| random.below(3) > 0).collect()),
        _ => Some((0..rows).map(|row| row / 100 % 2 == 0).collect()),
    }
}

/// A dictionary as no tidy writer makes it: unused values, a value twice, sometimes a null among the values.
fn dictionary(random: &mut Random, shape: Shape, rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
    let distinct = 1 + random.below(match shape {
        Shape::Huge => 60,
        _ => 1 + rows as u64,
    });
    let nullable = nulls.is_some();
    let values: StringArray = (0..distinct)
        .map(|_| (!nullable || random.below(9) > 0).then(|| awkward(random, shape)))
        .chain([(!nullable).then(|| "never used".to_owned())])
        .collect();
    let keys = Int32Array::new((0..rows).map(|_| random.below(distinct) as i32).collect::<Vec<_>>().into(), nulls);
    Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(values)))
}

fn list(random: &mut Random, field: &Arc<Field>, rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
    let lengths: Vec<usize> = (0..rows).map(|_| random.below(4) as usize).collect();
    let values: StringArray = (0..lengths.iter().sum()).map(|_| Some(awkward(random, Shape::Few))).collect();
    Arc::new(ListArray::new(Arc::clone(field), OffsetBuffer::from_lengths(lengths), Arc::new(values), nulls))
}

/// Any rows of a class, in every column.
fn any_rows(random: &mut Random, shapes: &[Shape], id: ClassId, first: i64, rows: usize) -> Batch {
    let mut columns: HashMap<&'static str, ArrayRef> = HashMap::new();
    let schema = weir_schema::arrow::schema(id);
    let names = common::class(id).all_columns().map(|column| column.name);
    for ((name, field), shape) in names.zip(schema.fields()).zip(shapes) {
        let nulls = if NEVER_NULL.contains(&name) { None } else { nulls(random, rows) };
        let numbers = || -> Vec<i64> { Vec::with_capacity(rows) };
        let array: ArrayRef = match field.data_type() {
            DataType::Timestamp(..) => times((0..rows as i64).map(|row| TIME_US + first + row)),
            DataType::Int32 => {
                let values: Vec<i32> = (0..rows).map(|row| number(random, *shape, first + row as i64) as i32).collect();
                Arc::new(Int32Array::new(values.into(), nulls))
            }
            DataType::Int64 => {
                let mut values = numbers();
                values.extend((0..rows).map(|row| number(random, *shape, first + row as i64)));
                Arc::new(Int64Array::new(values.into(), nulls))
            }
            DataType::Boolean => {
                let values = (0..rows).map(|_| !matches!(shape, Shape::Constant) && random.below(2) > 0).collect();
                Arc::new(BooleanArray::new(values, nulls))
            }
            DataType::List(field) => list(random, field, rows, nulls),
            _ => dictionary(random, *shape, rows, nulls),
        };
        columns.insert(name, array);
    }
    common::batch(id, rows, columns)
}

/// The values of a column as text, whatever its encoding.
fn values(array: &ArrayRef) -> Vec<Option<String>> {
    let nulls = array.logical_nulls();
    let text = |row: usize| match array.data_type() {
        DataType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::List(_) => {
            format!("{:?}", array.as_list::<i32>().value(row).as_string::<i32>().iter().collect::<Vec<_>>())
        }
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        _ => {
            let array = array.as_dictionary::<Int32Type>();
            array.values().as_string::<i32>().value(array.keys().value(row) as usize).to_owned()
        }
    };
    (0..array.len()).map(|row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)).then(|| text(row))).collect()
}

/// Writes batches through the sink; returns the one file that comes of it.
fn write(options: ParquetOptions, batches: &[Batch]) -> PathBuf {
    let dir = options.dir.clone();
    let mut sink = open(options);
    for batch in batches {
        sink.write(batch).unwrap();
    }
    sink.flush(&Progress::default()).unwrap();
    let names = parquet_files(&dir);
    assert_eq!(names.len(), 1);
    dir.join(&names[0])
}

fn assert_equal_in_arrow(path: &Path, batches: &[Batch]) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let read: Vec<_> = reader.map(|batch| batch.unwrap()).collect();
    for (i, field) in batches[0].rows.schema().fields().iter().enumerate() {
        let expected: Vec<_> = batches.iter().flat_map(|batch| values(batch.rows.column(i))).collect();
        let found: Vec<_> = read.iter().flat_map(|batch| values(batch.column(i))).collect();
        let differs = expected.iter().zip(&found).position(|(a, b)| a != b);
        assert!(expected == found, "column {} differs from row {differs:?}", field.name());
    }
}

fn assert_equal_in_python(path: &Path, root: &Path, batches: &[Batch]) {
    let expected = tempfile::NamedTempFile::new().unwrap();
    let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
    let mut writer =
        ArrowWriter::try_new(expected.reopen().unwrap(), batches[0].rows.schema(), Some(properties)).unwrap();
    for batch in batches {
        writer.write(&batch.rows).unwrap();
    }
    writer.close().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet_common/compare.py");
    let output = Command::new(python()).arg(script).arg(path).arg(expected.path()).arg(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        3 => Just(Shape::Constant), 5 => Just(Shape::Few), 5 => Just(Shape::Many), 3 => Just(Shape::Growing),
        1 => Just(Shape::Huge)
    ]
}

/// What one case writes.
#[derive(Debug, Clone)]
struct Case {
    seed: u64,
    class: usize,
    /// By column; more than any class has.
    shapes: Vec<Shape>,
    /// Rows of each batch.
    batches: Vec<usize>,
    row_group_rows: usize,
}

fn case() -> impl Strategy<Value = Case> {
    let class = 0..CLASSES.len();
    let batches = prop::collection::vec(prop_oneof![4 => 0..300usize, 1 => 1_000..2_000usize], 1..6);
    let row_group_rows = prop_oneof![Just(1usize), Just(64), Just(1_000), Just(128 * 1024)];
    (any::<u64>(), class, prop::collection::vec(shape(), 64), batches, row_group_rows)
        .prop_filter("some rows", |(_, _, _, batches, _)| batches.iter().sum::<usize>() > 0)
        // A row group per row is slow with many rows.
        .prop_filter("few row groups", |(_, _, _, batches, rows)| batches.iter().sum::<usize>() / rows < 100)
        .prop_map(|(seed, class, shapes, batches, row_group_rows)| Case {
            seed,
            class,
            shapes,
            batches,
            row_group_rows,
        })
}

fn rows_of(case: &Case) -> Vec<Batch> {
    let mut random = Random(case.seed);
    let mut first = 0;
    let class = CLASSES[case.class].id;
    let mut batches = Vec::new();
    for rows in &case.batches {
        batches.push(any_rows(&mut random, &case.shapes, class, first, *rows));
        first += *rows as i64;
    }
    batches
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_rows_of_any_class_come_back(case in case()) {
        let dir = tempfile::tempdir().unwrap();
        let batches = rows_of(&case);
        let path = write(ParquetOptions { row_group_rows: case.row_group_rows, ..options(dir.path()) }, &batches);
        assert_equal_in_arrow(&path, &batches);
    }
}

proptest! {
    // Each case starts an interpreter.
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_rows_of_any_class_come_back_in_pyarrow_and_duckdb(case in case()) {
        let dir = tempfile::tempdir().unwrap();
        let batches = rows_of(&case);
        let path = write(ParquetOptions { row_group_rows: case.row_group_rows, ..options(dir.path()) }, &batches);
        assert_equal_in_python(&path, dir.path(), &batches);
    }
}

/// Batches of file rows with another column `name`, made from the number of the batch.
fn with_column(name: &str, batches: usize, rows: usize, column: impl Fn(usize) -> ArrayRef) -> Vec<Batch> {
    let batch = |i: usize| {
        let mut batch = common::plain_rows(ClassId::File, (i * rows) as i64, rows);
        let mut columns = batch.rows.columns().to_vec();
        columns[batch.rows.schema().index_of(name).unwrap()] = column(i);
        batch.rows = arrow_array::RecordBatch::try_new(batch.rows.schema(), columns).unwrap();
        batch
    };
    (0..batches).map(batch).collect()
}

/// Batches of file rows with these texts as `path`.
fn with_paths(batches: usize, rows: usize, path: impl Fn(usize, usize) -> Option<String>) -> Vec<Batch> {
    with_column("path", batches, rows, |i| texts((0..rows).map(|row| path(i, row))))
}

/// Batches of file rows with these numbers as `ino`.
fn with_inos(batches: usize, rows: usize, ino: impl Fn(usize) -> Option<i64>) -> Vec<Batch> {
    with_column("ino", batches, rows, |i| Arc::new((0..rows).map(|row| ino(i * rows + row)).collect::<Int64Array>()))
}

fn assert_equal_everywhere(batches: &[Batch]) {
    let dir = tempfile::tempdir().unwrap();
    let path = write(options(dir.path()), batches);
    assert_equal_in_arrow(&path, batches);
    assert_equal_in_python(&path, dir.path(), batches);
}

#[test]
fn real_file_rows_over_several_row_groups_come_back_everywhere() {
    let mut random = Random(11);
    let batches: Vec<Batch> = (0..5).map(|i| common::file_rows(&mut random, i * 9_000, 9_000)).collect();
    let dir = tempfile::tempdir().unwrap();
    let path = write(ParquetOptions { row_group_rows: 20_000, ..options(dir.path()) }, &batches);
    assert_equal_in_arrow(&path, &batches);
    assert_equal_in_python(&path, dir.path(), &batches);
}

#[test]
fn a_dictionary_that_outgrows_its_page_goes_on_with_plain_pages() {
    let text = |i: usize, row: usize| format!("/{}/{}", "deep/".repeat(40), (i * 4_000 + row) % 30_000);
    assert_equal_everywhere(&with_paths(10, 4_000, |i, row| (row % 7 != 0).then(|| text(i, row))));
}

#[test]
fn numbers_that_stop_repeating_go_on_as_packed_differences() {
    let mixed =
        |row: usize| if row < 30_000 { row as i64 % 50 } else { (row as i64).wrapping_mul(0x5851_f42d_4c95_7f2d) };
    assert_equal_everywhere(&with_inos(9, 10_000, |row| (row % 3 != 1).then(|| mixed(row))));
}

#[test]
fn a_full_row_group_of_repeated_numbers_is_one_page_with_a_sorted_dictionary() {
    use parquet::column::page::Page;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let batches = with_inos(14, 10_000, |row| Some((row as i64 * 7_919) % 3_001 * 4_096 - 5_000_000));
    let dir = tempfile::tempdir().unwrap();
    let path = write(options(dir.path()), &batches);
    assert_equal_in_arrow(&path, &batches);
    let column = batches[0].rows.schema().index_of("ino").unwrap();
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    assert_eq!(reader.metadata().row_group(0).num_rows(), 131_072);
    let pages: Vec<Page> =
        reader.get_row_group(0).unwrap().get_column_page_reader(column).unwrap().map(|page| page.unwrap()).collect();
    let [Page::DictionaryPage { buf, .. }, Page::DataPage { num_values: 131_072, .. }] = pages.as_slice() else {
        panic!("{} pages", pages.len());
    };
    let values: Vec<i64> = buf.chunks_exact(8).map(|v| i64::from_le_bytes(v.try_into().unwrap())).collect();
    assert!(values.len() == 3_001 && values.is_sorted());
}

#[test]
fn numbers_that_a_program_chose_to_collide_come_back() {
    // Multiples that all fall into the first of 65,536 slots of a table with Fibonacci hashing.
    let collides = |v: &i64| (*v as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48 == 0;
    let chosen: Vec<i64> = (0..10_000_000).filter(collides).take(100).collect();
    assert_eq!(chosen.len(), 100);
    assert_equal_everywhere(&with_inos(3, 20_000, |row| Some(chosen[row * 7 % 100])));
}

#[test]
fn texts_larger_than_a_page_come_back() {
    assert_equal_everywhere(&with_paths(2, 9, |i, row| match row {
        3 => None,
        4 => Some(String::new()),
        _ => Some(format!("{row}-").repeat(400_000 + i)),
    }));
}

#[test]
fn one_huge_batch_becomes_several_row_groups_and_pages() {
    let batches = [common::file_rows(&mut Random(5), 0, 150_000)];
    let dir = tempfile::tempdir().unwrap();
    let path = write(options(dir.path()), &batches);
    assert_equal_in_arrow(&path, &batches);
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let groups: Vec<i64> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [131_072, 18_928]);
}

#[test]
fn look_up_keys_have_bloom_filters_and_nothing_else_has() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(options(dir.path()), &[common::file_rows(&mut Random(5), 0, 5_000)]);
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let group = reader.metadata().row_group(0);
    let has = |column: &&parquet::file::metadata::ColumnChunkMetaData| column.bloom_filter_offset().is_some();
    let names: Vec<String> = group.columns().iter().filter(has).map(|c| c.column_path().string()).collect();
    assert_eq!(names, ["process_key"], "container_id is all null here");
}

#[test]
fn numbers_that_only_grow_are_packed_differences_without_a_dictionary() {
    use parquet::basic::Encoding;
    let dir = tempfile::tempdir().unwrap();
    let path = write(options(dir.path()), &[common::file_rows(&mut Random(5), 0, 50_000)]);
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    for column in reader.metadata().row_group(0).columns() {
        let growing = ["time", "ktime_ns", "seq"].contains(&column.column_path().string().as_str());
        if growing {
            assert!(column.encodings_mask().is_set(Encoding::DELTA_BINARY_PACKED));
            assert_eq!(column.dictionary_page_offset(), None);
        }
        assert!(column.statistics().is_some(), "{}", column.column_path());
    }
}
