//! From the ring to closed batches and to fsynced Parquet: process CPU time per row, and bytes per row.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use weir_bpf::Selection;
use weir_schema::record::action_number;
use weir_schema::syscalls;
use weir_sinks::parquet::{ParquetOptions, ParquetSink};
use weir_sinks::{Discard, Sink};

use crate::figures::Figures;
use crate::load::bytes_below;
use crate::play::{Played, identity, play, to_sink};
use crate::record::{BUILD, Recording, record};

/// Real rows that are recorded; the tape plays them over and over.
pub const RECORDED: usize = 200_000;
/// Records of one class.
pub fn of_class(class: u16) -> impl Fn(&[u8]) -> bool {
    move |record| action_number(record) >> 8 == class
}

/// Every action of class `file`.
pub fn files() -> Selection {
    let actions = weir_schema::class_by_name("file").map(|c| c.actions.iter().map(|a| a.id)).into_iter().flatten();
    Selection { actions: actions.collect(), ..Selection::default() }
}

/// Every system call.
pub fn calls() -> Selection {
    let names: BTreeSet<&'static str> = syscalls::table(syscalls::native()).iter().map(|s| s.name).collect();
    Selection { actions: BTreeSet::from([0x0601]), calls: names, ..Selection::default() }
}

fn parquet(dir: &Path) -> Result<Box<dyn Sink>> {
    let options = ParquetOptions { dir: dir.to_owned(), ..ParquetOptions::default() };
    Ok(Box::new(ParquetSink::open(options, identity(), "bench").map_err(|e| anyhow::anyhow!("{e}"))?))
}

/// CPU time per row.
pub fn measure(figures: &mut Figures, rows: u64) -> Result<()> {
    let file = record(files(), BUILD, RECORDED, of_class(2))?;
    let call = record(calls(), BUILD, RECORDED, of_class(6))?;
    let note = |p: &Played, r: &Recording| format!("{} rows from {} real records", p.rows, r.records.len());
    let p = play(&call, 6, rows, to_sink(Box::new(Discard))?)?;
    figures.at_most("ring to closed batches, syscall row", p.ns_per_row, 80.0, "ns", note(&p, &call));
    let p = play(&file, 2, rows, to_sink(Box::new(Discard))?)?;
    figures.at_most("ring to closed batches, file row", p.ns_per_row, 150.0, "ns", note(&p, &file));
    let dir = tempfile::tempdir()?;
    let p = play(&file, 2, rows, to_sink(parquet(dir.path())?)?)?;
    figures.at_most("ring to fsynced Parquet, file row", p.ns_per_row, 400.0, "ns", note(&p, &file));
    let dir = tempfile::tempdir()?;
    let p = play(&call, 6, rows, to_sink(parquet(dir.path())?)?)?;
    figures.say("ring to fsynced Parquet, syscall row", p.ns_per_row, "ns", note(&p, &call));
    Ok(())
}

/// Bytes per row of a real build, once through: real times and numbers are not repeated.
pub fn size(figures: &mut Figures) -> Result<()> {
    for (name, class_args, limit) in
        [("syscall", &["--syscall", "all", "--class", "syscall"][..], 6.0), ("file", &["--class", "file"], 25.0)]
    {
        let dir = tempfile::tempdir()?;
        let data = dir.path().join("data");
        let repeat = format!("for n in 1 2 3 4 5 6 7 8; do ( {BUILD} ); done");
        let path = data.to_string_lossy().into_owned();
        let mut args = vec!["run", "--status", "never", "--parquet", &path];
        args.extend(class_args);
        args.extend(["--", "sh", "-c", &repeat]);
        let report = crate::weir::run(&args)?;
        let rows = report.rows_of(name);
        let bytes = bytes_below(&data.join(format!("class={name}")))?;
        let note = format!("{rows} rows of a C build, {bytes} bytes");
        figures.at_most(&format!("bytes per {name} row of a build"), bytes as f64 / rows as f64, limit, "B", note);
    }
    Ok(())
}
