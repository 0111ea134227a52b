//! Writes rows as the sinks do: Parquet trees and JSON lines.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array, types::Int32Type,
};
use parquet::arrow::ArrowWriter;
use serde_json::{Map, Value, json};
use weir_collector::verify::{Input, Options, Report, verify};
use weir_schema::{CLASSES, ClassId, arrow::schema};

use super::script::{BOOT_ID, HOST, Loss, OFFSET_NS, Row};

fn name(class: ClassId) -> &'static str {
    CLASSES[class.index()].name
}

/// Path of a file in the tree.
pub fn file_name(row: &Row) -> String {
    let (class, epoch, ktime, n) = (name(row.class), row.epoch, row.ktime_ns, row.generation);
    format!("class={class}/date=2026-09-21/hour=14/{HOST}-{}-{epoch}-{ktime}-{n}.parquet", &BOOT_ID[..8])
}

/// Writes one file per class, generation and epoch; returns their paths in the order of publication.
pub fn write_tree(top: &Path, rows: &[Row]) -> Vec<PathBuf> {
    let mut files: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        let same = |file: &Vec<&Row>| {
            (file[0].epoch, file[0].generation, file[0].class) == (row.epoch, row.generation, row.class)
        };
        match files.iter_mut().find(|file| same(file)) {
            Some(file) => file.push(row),
            None => files.push(vec![row]),
        }
    }
    files.sort_by_key(|file| (file[0].epoch, file[0].generation, file[0].class == ClassId::Loss));
    files.iter().map(|file| write_file(&top.join(file_name(file[0])), file)).collect()
}

/// Rows of one class as a batch with the class's schema.
pub fn batch(rows: &[&Row]) -> RecordBatch {
    let schema = schema(rows[0].class);
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|field| column(field.name(), rows).unwrap_or_else(|| new_null_array(field.data_type(), rows.len())))
        .collect();
    RecordBatch::try_new(schema, columns).expect("columns of the schema")
}

fn write_file(path: &Path, rows: &[&Row]) -> PathBuf {
    fs::create_dir_all(path.parent().expect("a file in a folder")).expect("create the folder");
    let batch = batch(rows);
    let mut writer = ArrowWriter::try_new(File::create(path).expect("create"), batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("write");
    writer.close().expect("close");
    path.to_owned()
}

fn column(name: &str, rows: &[&Row]) -> Option<ArrayRef> {
    let loss = |of: fn(&Loss) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(|r| r.loss.as_ref().and_then(of)).collect::<Int64Array>())
    };
    let text = |of: &dyn Fn(&Row) -> Option<String>| -> ArrayRef {
        let texts: Vec<Option<String>> = rows.iter().map(|r| of(r)).collect();
        let texts: DictionaryArray<Int32Type> = texts.iter().map(Option::as_deref).collect();
        Arc::new(texts)
    };
    Some(match name {
        "time" => {
            let times: Vec<i64> = rows.iter().map(|r| (r.ktime_ns + OFFSET_NS) / 1_000).collect();
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
        }
        "ktime_ns" => Arc::new(rows.iter().map(|r| r.ktime_ns).collect::<Int64Array>()),
        "epoch" => Arc::new(rows.iter().map(|r| r.epoch).collect::<Int64Array>()),
        "seq" => Arc::new(rows.iter().map(|r| r.seq).collect::<Int64Array>()),
        "cpu" => Arc::new(rows.iter().map(|r| r.cpu).collect::<Int32Array>()),
        "host" => text(&|_| Some(HOST.to_owned())),
        "boot_id" => text(&|_| Some(BOOT_ID.to_owned())),
        "action" => text(&|r| Some(r.action.to_owned())),
        "by_action" => text(&|r| r.loss.as_ref()?.by_action.clone()),
        "reason" => text(&|r| Some(r.loss.as_ref()?.reason.to_owned())),
        "text_escaped" => Arc::new(BooleanArray::from(vec![false; rows.len()])),
        "gap_cpu" => Arc::new(rows.iter().map(|r| r.loss.as_ref().map(|l| l.gap_cpu)).collect::<Int32Array>()),
        "first_seq" => loss(|l| Some(l.first_seq)),
        "last_seq" => loss(|l| l.last_seq),
        "last_ktime_ns" => loss(|l| l.last_ktime_ns),
        "count" => loss(|l| Some(l.count)),
        _ => return None,
    })
}

/// The rows of a Parquet file as another tool would read them: text plain.
pub fn read_plain(path: &Path) -> Vec<RecordBatch> {
    use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
    let plain = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let file = File::open(path).expect("open");
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, plain).expect("a reader");
    let batches: Vec<RecordBatch> = reader.build().expect("batches").map(|b| b.expect("a batch")).collect();
    assert!(batches[0].column_by_name("host").is_some_and(|c| c.as_any().is::<StringArray>()));
    batches
}

/// Writes rows as another tool would: no Arrow schema in the footer.
pub fn write_plain(path: &Path, batches: &[RecordBatch]) {
    let file = File::create(path).expect("create");
    let mut writer = ArrowWriter::try_new(file, batches[0].schema(), None).expect("a writer");
    batches.iter().for_each(|batch| writer.write(batch).expect("write"));
    writer.close().expect("close");
}

/// The rows as JSON lines.
pub fn json_lines(rows: &[Row]) -> String {
    rows.iter().map(|row| json_line(row) + "\n").collect()
}

fn json_line(row: &Row) -> String {
    let time = chrono::DateTime::from_timestamp_nanos(row.ktime_ns + OFFSET_NS);
    let mut line = json!({
        "class": name(row.class),
        "time": time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        "ktime_ns": row.ktime_ns, "host": HOST, "boot_id": BOOT_ID, "epoch": row.epoch,
        "cpu": row.cpu, "seq": row.seq, "action": row.action, "process_key": "9007199254740993", "comm": "a \"b\"\\n",
    });
    if let Some(loss) = &row.loss {
        let columns = json!({
            "gap_cpu": loss.gap_cpu, "first_seq": loss.first_seq, "last_seq": loss.last_seq, "count": loss.count,
            "last_ktime_ns": loss.last_ktime_ns, "by_action": loss.by_action, "reason": loss.reason,
        });
        let columns = columns.as_object().expect("an object").clone();
        let set: Map<String, Value> = columns.into_iter().filter(|(_, v)| !v.is_null()).collect();
        line.as_object_mut().expect("an object").extend(set);
    }
    line.to_string()
}

/// Verifies one path.
pub fn verify_path(path: &Path) -> Report {
    verify(&[Input::Path(path.to_owned())], &Options::default()).expect("one input")
}

/// Writes rows as a Parquet tree and verifies it.
pub fn as_parquet(rows: &[Row]) -> Report {
    let top = tempfile::tempdir().expect("a directory");
    write_tree(top.path(), rows);
    verify_path(top.path())
}

/// Writes text to a file of lines and verifies it.
pub fn lines_report(text: &[u8]) -> Report {
    let top = tempfile::tempdir().expect("a directory");
    let path = top.path().join("rows.jsonl");
    fs::write(&path, text).expect("write");
    verify_path(&path)
}

/// Verifies rows in both formats: every check is made twice.
pub fn in_both_formats(rows: &[Row], check: impl Fn(&Report)) {
    check(&as_parquet(rows));
    check(&lines_report(json_lines(rows).as_bytes()));
}
