//! The program itself, under a limit of its memory: what it takes for a file that is as usual, twice the hostile file and 64 MiB.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use super::made::{HEADER_BYTES, capture, capture_with_long_text, change_last, frames, parquet_with_long_texts};

/// Memory beside twice the file.
const SPARE_BYTES: u64 = 64 << 20;
/// Longest life of a program that stands still.
const LIFE_MAX: Duration = Duration::from_secs(120);

/// Runs weir with so much address space, and one arena of its allocator so that this is what it uses.
fn limited(bytes: u64, arguments: &[&str], path: &Path) -> Output {
    // Rows that are printed are of no interest, and can be very many bytes.
    let to = if arguments.contains(&"--stdout") { "> /dev/null" } else { "" };
    let script = format!("ulimit -v {}; exec timeout {} \"$0\" \"$@\" {to}", bytes >> 10, LIFE_MAX.as_secs());
    let mut command = Command::new("bash");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_weir")]).args(arguments).arg(path);
    command.env("MALLOC_ARENA_MAX", "1").env_remove("WEIR_CONFIG");
    command.output().expect("bash runs")
}

/// Address space that these arguments need for a capture of two small cuts.
fn usual(arguments: &[&str]) -> u64 {
    let dir = tempfile::tempdir().expect("a directory");
    capture(dir.path(), 2, 4);
    let works = |bytes: &u64| limited(*bytes, arguments, dir.path()).status.code() == Some(0);
    let steps: Vec<u64> = (1..64).map(|step| step * (16 << 20)).collect();
    let at = steps.partition_point(|bytes| !works(bytes));
    *steps.get(at).expect("a gigabyte is enough for two cuts")
}

/// That weir says something about this directory, within the bound.
fn expect_answer(dir: &Path, file_bytes: u64, codes: &[i32], arguments: &[&str]) -> String {
    let limit = usual(arguments) + 2 * file_bytes + SPARE_BYTES;
    let began = Instant::now();
    let output = limited(limit, arguments, dir);
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let code = output.status.code();
    assert!(
        code.is_some_and(|code| codes.contains(&code)),
        "{arguments:?}: {:?} {:?}\n{text}",
        output.status,
        began.elapsed()
    );
    assert!(!text.contains("panicked"), "{text}");
    text
}

const VERIFY: &[&str] = &["verify"];
const INFO: &[&str] = &["spool", "info"];
const CHECK: &[&str] = &["spool", "check"];

#[test]
fn a_frame_that_claims_three_gibibytes_takes_no_memory() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = capture(dir.path(), 30, 20);
    let mut bytes = fs::read(&path).expect("a segment");
    let last = *frames(&bytes).last().expect("a frame");
    bytes[last + 16..last + 20].copy_from_slice(&(3u32 << 30).to_le_bytes());
    fs::write(&path, &bytes).expect("room");
    for arguments in [VERIFY, INFO, CHECK] {
        expect_answer(dir.path(), bytes.len() as u64, &[0, 1, 3], arguments);
    }
}

#[test]
fn a_frame_with_a_right_checksum_that_does_not_decode_is_an_error() {
    let in_batch = |frame: &[u8]| {
        let meta = u32::from_le_bytes(frame[HEADER_BYTES..HEADER_BYTES + 4].try_into().expect("four bytes"));
        (HEADER_BYTES + 4 + meta as usize).next_multiple_of(8)
    };
    type Change = fn(&mut [u8], usize);
    let changes: [(&str, Change); 5] = [
        ("metadata that ends behind the frame", |frame, _| frame[HEADER_BYTES..HEADER_BYTES + 4].fill(0xff)),
        ("metadata that is no JSON", |frame, _| frame[HEADER_BYTES + 4] = b'x'),
        ("a batch whose length wraps", |frame, at| frame[at + 8..at + 16].fill(0xff)),
        ("a schema that nobody wrote", |frame, at| frame[at..at + 4].fill(0x7f)),
        ("a message that is longer than the frame", |frame, at| frame[at + 20..at + 24].fill(0x7f)),
    ];
    for (what, change) in changes {
        let dir = tempfile::tempdir().expect("a directory");
        let path = capture(dir.path(), 4, 20);
        change_last(&path, |frame| {
            let at = in_batch(frame);
            change(frame, at);
        });
        let bytes = fs::metadata(&path).expect("a segment").len();
        let text = expect_answer(dir.path(), bytes, &[2], VERIFY);
        assert!(text.contains("NOT READABLE"), "{what}: {text}");
    }
}

#[test]
fn a_text_that_stands_once_and_is_in_all_rows_takes_memory_once() {
    let dir = tempfile::tempdir().expect("a directory");
    // 100 MB of lines of a table, and six times as many of JSON.
    let path = capture_with_long_text(dir.path(), 250, 400_000);
    let bytes = fs::metadata(&path).expect("a segment").len();
    for format in ["json", "table"] {
        expect_answer(dir.path(), bytes, &[0], &["replay", "--stdout", format]);
    }
    let dir = tempfile::tempdir().expect("a directory");
    parquet_with_long_texts(&dir.path().join("x.parquet"), 16_384, 120_000);
    let bytes = fs::metadata(dir.path().join("x.parquet")).expect("a file").len();
    let text = expect_answer(dir.path(), bytes, &[2], VERIFY);
    assert!(text.contains("is longer than"), "{text}");
}

#[test]
fn numbers_of_cuts_are_not_counted_through() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = capture(dir.path(), 4, 20);
    change_last(&path, |frame| frame[8..16].copy_from_slice(&(1u64 << 61).to_le_bytes()));
    let bytes = fs::metadata(&path).expect("a segment").len();
    expect_answer(dir.path(), bytes, &[2], VERIFY);
    expect_answer(dir.path(), bytes, &[0, 1], INFO);
    let text = expect_answer(dir.path(), bytes, &[0], &["spool", "repair"]);
    assert!(text.contains("2305843009213693951"), "{text}");
    expect_answer(dir.path(), bytes, &[0], CHECK);
    expect_answer(dir.path(), bytes, &[0], INFO);
}

/// So many bytes of headers of frames, each of which claims all that is behind it.
fn false_headers(bytes: usize) -> Vec<u8> {
    let mut all = Vec::with_capacity(bytes);
    while all.len() + HEADER_BYTES <= bytes {
        let left = (bytes - all.len() - HEADER_BYTES) as u32;
        all.extend_from_slice(b"FRAM\x02\0\0\0");
        all.extend_from_slice(&(all.len() as u64).to_le_bytes());
        all.extend_from_slice(&left.to_le_bytes());
        all.extend_from_slice(&[0xab; 4]);
    }
    all
}

#[test]
fn false_headers_of_frames_are_read_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = capture(dir.path(), 3, 20);
    let mut bytes = fs::read(&path).expect("a segment");
    let first = frames(&bytes)[1];
    let behind = bytes.split_off(first);
    bytes.extend_from_slice(&false_headers(16 << 20));
    bytes.extend_from_slice(&behind);
    fs::write(&path, &bytes).expect("room");
    // With a read of all that each header claims this were 90 TB.
    let text = expect_answer(dir.path(), bytes.len() as u64, &[1], CHECK);
    assert!(text.contains("damaged"), "{text}");
    let text = expect_answer(dir.path(), bytes.len() as u64, &[0], &["spool", "repair"]);
    assert!(text.contains("3 whole cuts stay"), "{text}");
}

#[test]
fn any_name_of_a_class_or_number_in_a_line_takes_a_bounded_part() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("rows.jsonl");
    let line = |class: &str, epoch: u64, cpu: i32, seq: u64| {
        format!(
            "{{\"class\":\"{class}\",\"host\":\"\",\"boot_id\":\"\",\"epoch\":{epoch},\"cpu\":{cpu},\"seq\":{seq},\
             \"ktime_ns\":0,\"action\":\"\"}}\n"
        )
    };
    type Line<'a> = Box<dyn Fn(u64) -> String + 'a>;
    let inputs: [(&str, u64, Line<'_>); 3] = [
        ("classes", 300_000, Box::new(|n| line(&format!("class{n}"), 0, 0, n))),
        ("runs with the highest CPU", 65_000, Box::new(|n| line("file", n, 8_191, 0))),
        ("numbers far from each other", 300_000, Box::new(|n| line("file", 0, 0, n << 33))),
    ];
    for (what, lines, made) in inputs {
        fs::write(&path, (0..lines).map(made).collect::<String>()).expect("room");
        let bytes = fs::metadata(&path).expect("lines").len();
        let text = expect_answer(&path, bytes, &[1, 2, 3], VERIFY);
        assert!(!text.is_empty(), "{what}");
    }
}
