//! What can be verified: a Parquet tree, a Parquet file, JSON lines.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use weir_files::{Dir, Kind, open_to_read};

use super::account::Account;
use super::report::{Named, Place, RemovedReport, SinkReport, Unreadable, Verdict};
use super::{Options, check, json, log, parquet, removed};
use crate::spool::log::is_log;

/// Bytes read at once from a stream of lines.
const READ_BYTES: usize = 1 << 18;
/// First bytes of a Parquet file.
const PARQUET_MAGIC: &[u8] = b"PAR1";
/// Name of standard input in the report.
const STDIN: &str = "standard input";

/// One sink's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// JSON lines on standard input.
    Stdin,
    /// A directory with Parquet files, a Parquet file, or a file of JSON lines.
    Path(PathBuf),
}

impl From<OsString> for Input {
    fn from(argument: OsString) -> Input {
        if argument == "-" { Input::Stdin } else { Input::Path(argument.into()) }
    }
}

impl Input {
    /// Reads all of it and judges it.
    pub(super) fn read(&self, options: &Options) -> SinkReport {
        let mut reader = Reader::new(options);
        let name = match self {
            Input::Stdin => {
                reader.lines(io::stdin().lock(), STDIN);
                STDIN.to_owned()
            }
            Input::Path(path) if is_log(path) => {
                reader.log(path);
                path.display().to_string()
            }
            Input::Path(path) if path.is_dir() => {
                reader.tree(path);
                path.display().to_string()
            }
            Input::Path(path) => {
                reader.file(path);
                path.display().to_string()
            }
        };
        reader.judge(name)
    }
}

/// Reads one sink's output.
struct Reader {
    account: Account,
    files: u64,
    ignored: Named<String>,
    unreadable: Named<Unreadable>,
    torn: Option<Place>,
    removed: Option<RemovedReport>,
}

/// A file that the Parquet sink keeps beside its data.
fn is_own(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name == removed::FILE || name.starts_with('.') && name.ends_with(".generation.json")
}

impl Reader {
    fn new(options: &Options) -> Reader {
        Reader {
            account: Account::new(options.named_max),
            files: 0,
            ignored: Named::new(options.named_max),
            unreadable: Named::new(options.named_max),
            torn: None,
            removed: None,
        }
    }

    /// A spool or a capture.
    fn log(&mut self, dir: &Path) {
        self.files += 1;
        if let Err(error) = log::read(dir, &mut self.account) {
            self.refuse(&dir.display().to_string(), format!("{error:#}"));
        }
    }

    fn refuse(&mut self, file: &str, reason: impl ToString) {
        self.unreadable.push(1, || Unreadable { file: file.to_owned(), row: None, reason: reason.to_string() });
    }

    fn lines(&mut self, input: impl BufRead, name: &str) {
        self.files += 1;
        match json::read(input, name, &mut self.account, &mut self.unreadable) {
            Ok(torn) => self.torn = torn,
            Err(error) => self.refuse(name, error),
        }
    }

    fn parquet(&mut self, file: io::Result<File>, path: &Path, name: &str) {
        self.files += 1;
        if let Err(error) = parquet::read(file, path, name, &mut self.account) {
            self.refuse(name, error);
        }
    }

    /// A single file: by its extension, else by its first bytes.
    fn file(&mut self, path: &Path) {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let file = match open_to_read(path) {
            Ok(file) => file,
            Err(error) => return self.refuse(&name, error),
        };
        let mut input = BufReader::with_capacity(READ_BYTES, file);
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        match (extension, input.fill_buf()) {
            ("parquet", _) => self.parquet(Ok(input.into_inner()), path, &name),
            ("json" | "jsonl", _) => self.lines(input, &name),
            (_, Err(error)) => self.refuse(&name, error),
            (_, Ok(start)) if start.starts_with(PARQUET_MAGIC) => self.parquet(open_to_read(path), path, &name),
            (_, Ok(start)) if start.trim_ascii_start().starts_with(b"{") => self.lines(input, &name),
            _ => self.refuse(&name, "neither Parquet nor JSON lines"),
        }
    }

    fn tree(&mut self, top: &Path) {
        let dir = match Dir::open_to_read(top) {
            Ok(dir) => dir,
            Err(error) => return self.refuse(&top.display().to_string(), error),
        };
        let mut files = Vec::new();
        self.list(&dir, Path::new(""), &mut files);
        files.sort_unstable();
        for path in files {
            self.parquet(dir.open(&path), &top.join(&path), &path.display().to_string());
        }
        match removed::read(&dir, &mut self.account, &mut self.unreadable) {
            Ok(removed) => self.removed = removed,
            Err(error) => self.refuse(removed::FILE, error),
        }
    }

    /// Collects the Parquet files below a directory that has this name below the top; links are not followed.
    fn list(&mut self, dir: &Dir, below: &Path, files: &mut Vec<PathBuf>) {
        let entries = match dir.list() {
            Ok(entries) => entries,
            Err(error) => return self.refuse(&below.display().to_string(), error),
        };
        for entry in entries {
            let path = below.join(&entry.name);
            match entry.kind {
                Kind::Dir => match dir.subdir(&entry.name) {
                    Ok(dir) => self.list(&dir, &path, files),
                    Err(error) => self.refuse(&path.display().to_string(), error),
                },
                _ if path.extension().is_some_and(|e| e == "parquet") => files.push(path),
                _ if below.as_os_str().is_empty() && is_own(&path) => {}
                _ => self.ignored.push(1, || path.display().to_string()),
            }
        }
    }

    fn judge(mut self, input: String) -> SinkReport {
        let (runs, classes) = self.account.into_parts();
        let mut runs: Vec<_> = runs.into_iter().map(|run| check::judge(run, &classes)).collect();
        runs.sort_by(|a, b| (&a.host, &a.boot_id, a.epoch).cmp(&(&b.host, &b.boot_id, b.epoch)));
        if runs.is_empty() && self.unreadable.total == 0 {
            let reason = "no weir rows found".to_owned();
            self.unreadable.push(1, || Unreadable { file: input.clone(), row: None, reason });
        }
        // A killed collector cuts its last line; behind an end that cannot be the reason.
        let ended = runs.iter().all(|run| run.cpus.iter().all(|cpu| cpu.ended));
        if let Some(torn) = self.torn.take_if(|_| ended) {
            let reason = "cut in the middle".to_owned();
            self.unreadable.push(1, || Unreadable { file: torn.file, row: Some(torn.row), reason });
        }
        let gravest = runs.iter().map(|run| run.verdict).max().unwrap_or(Verdict::Unreadable);
        SinkReport {
            verdict: if self.unreadable.total > 0 { Verdict::Unreadable } else { gravest },
            files: self.files,
            rows: runs.iter().flat_map(|run| run.rows.values()).sum(),
            ignored: self.ignored,
            unreadable: self.unreadable,
            torn: self.torn,
            removed: self.removed,
            runs,
            input,
        }
    }
}
