//! Properties over random runs; the seed is printed, and `PROPTEST_RNG_SEED` sets it.

use std::hash::{BuildHasher, RandomState};

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use weir_collector::verify::Problems;
use weir_schema::ClassId;
use weir_schema::loss::CPU_SINK;

use super::files::{as_parquet, json_lines, lines_report, verify_path, write_tree};
use super::script::{Fate, Row, play};

#[allow(clippy::print_stderr, reason = "a seed that fails has to be known")]
fn runner(cases: u32) -> TestRunner {
    let given = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0));
    eprintln!("PROPTEST_RNG_SEED={seed}");
    TestRunner::new(ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Row(ClassId::File)),
        2 => Just(Fate::Row(ClassId::Process)),
        1 => Just(Fate::Row(ClassId::Syscall)),
        1 => Just(Fate::Lost),
        1 => Just(Fate::NotSelected),
        1 => Just(Fate::LaneFull),
    ]
}

prop_compose! {
    fn a_run()(
        attempts in prop::collection::vec((0..4i32, fate()), 1..120),
        flush_every in 1..60usize,
        ended: bool,
    ) -> (Vec<Row>, bool) {
        (play(&attempts, flush_every, ended), ended)
    }
}

/// Whether the problems name a number as missing, or a span around it that does not balance.
fn names(problems: &Problems, row: &Row) -> bool {
    let seq = row.seq as u64;
    let missing = problems.missing.named.iter();
    let unbalanced = problems.unbalanced.named.iter().map(|u| &u.at);
    missing.chain(unbalanced).any(|m| m.cpu == row.cpu && (m.numbers.first..=m.numbers.last).contains(&seq))
}

#[test]
fn a_random_run_is_complete_and_any_single_row_removed_from_it_is_found() {
    let strategy = (a_run(), any::<prop::sample::Index>());
    let result = runner(256).run(&strategy, |((mut rows, ended), index)| {
        let report = lines_report(json_lines(&rows).as_bytes());
        prop_assert_eq!(report.exit_code(), if ended { 0 } else { 3 }, "{}", report);
        let i = index.index(rows.len());
        let last = i + 1 == rows.len();
        let removed = rows.remove(i);
        let report = lines_report(json_lines(&rows).as_bytes());
        if last {
            // The very last row takes its own witness with it: what is left is a shorter run with an open end.
            prop_assert_eq!(report.exit_code(), 3, "{}", report);
        } else {
            prop_assert_eq!(report.exit_code(), 1, "{}", report);
            prop_assert!(names(&report.sinks[0].runs[0].problems, &removed), "{:?}\n{}", removed, report);
        }
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn parquet_and_json_lines_of_the_same_rows_get_the_same_answer() {
    let strategy = (a_run(), any::<prop::sample::Index>());
    let result = runner(24).run(&strategy, |((mut rows, _), index)| {
        rows.remove(index.index(rows.len()));
        let (parquet, lines) = (as_parquet(&rows), lines_report(json_lines(&rows).as_bytes()));
        prop_assert_eq!(parquet.exit_code(), lines.exit_code());
        prop_assert_eq!(&parquet.sinks[0].runs[0].cpus, &lines.sinks[0].runs[0].cpus);
        prop_assert_eq!(
            &parquet.sinks[0].runs[0].problems.missing.named,
            &lines.sinks[0].runs[0].problems.missing.named
        );
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn any_doubled_row_and_any_changed_count_is_found() {
    let strategy = (a_run(), any::<prop::sample::Index>());
    let result = runner(128).run(&strategy, |((rows, _), index)| {
        let i = index.index(rows.len());
        let mut doubled = rows.clone();
        doubled.insert(i, rows[i].clone());
        let report = lines_report(json_lines(&doubled).as_bytes());
        prop_assert_eq!(report.exit_code(), 1);
        prop_assert_eq!(report.sinks[0].runs[0].problems.duplicates.named[0].cpu, rows[i].cpu);

        let gaps: Vec<usize> = (0..rows.len()).filter(|i| rows[*i].action == "gap").collect();
        if !gaps.is_empty() {
            let mut changed = rows.clone();
            let loss = changed[gaps[index.index(gaps.len())]].loss.as_mut();
            loss.expect("a gap").count += 1;
            prop_assert_eq!(lines_report(json_lines(&changed).as_bytes()).exit_code(), 1);
        }
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn lines_cut_at_any_byte_are_complete_up_to_an_open_end() {
    let strategy = (a_run(), any::<prop::sample::Index>());
    let result = runner(128).run(&strategy, |((rows, ended), index)| {
        let text = json_lines(&rows);
        let first = text.find('\n').unwrap_or_default() + 1;
        let cut = first + index.index(text.len() - first);
        let report = lines_report(&text.as_bytes()[..cut]);
        let whole = ended && cut + 1 == text.len();
        prop_assert_eq!(report.exit_code(), if whole { 0 } else { 3 }, "cut at {}\n{}", cut, report);
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn a_directory_killed_between_any_two_publications_is_complete_up_to_an_open_end() {
    let strategy = (a_run(), any::<prop::sample::Index>());
    let result = runner(24).run(&strategy, |((rows, ended), index)| {
        let top = tempfile::tempdir().expect("a directory");
        let files = write_tree(top.path(), &rows);
        let kept = index.index(files.len()) + 1;
        for file in &files[kept..] {
            std::fs::remove_file(file).expect("remove");
        }
        let report = verify_path(top.path());
        let whole = ended && kept == files.len();
        prop_assert_eq!(report.exit_code(), if whole { 0 } else { 3 }, "{}", report);
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn damaged_bytes_of_a_file_never_pass_for_more_or_other_rows() {
    let rows = play(&super::script::attempts(), 200, true);
    let top = tempfile::tempdir().expect("a directory");
    let files = write_tree(top.path(), &rows);
    let whole = verify_path(top.path()).sinks[0].rows;
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8);
    let result = runner(200).run(&(any::<prop::sample::Index>(), damage), |(file, damage)| {
        let file = &files[file.index(files.len())];
        let bytes = std::fs::read(file).expect("read");
        let mut damaged = bytes.clone();
        for (at, value) in &damage {
            damaged[at.index(bytes.len())] = *value;
        }
        std::fs::write(file, &damaged).expect("write");
        let report = verify_path(top.path());
        std::fs::write(file, &bytes).expect("write back");
        let sink = &report.sinks[0];
        if report.exit_code() == 0 {
            prop_assert_eq!(sink.rows, whole);
        }
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn the_sinks_own_numbers_are_judged_up_to_its_last_mark() {
    let attempts: Vec<_> = (0..10).map(|_| (0, Fate::Row(ClassId::File))).collect();
    let mut rows = play(&attempts, 5, false);
    let first = rows.iter().position(|r| r.cpu == CPU_SINK).expect("a checkpoint");
    rows.remove(first);
    let report = lines_report(json_lines(&rows).as_bytes());
    assert_eq!(report.exit_code(), 1);
    assert_eq!(report.sinks[0].runs[0].problems.missing.named[0].cpu, CPU_SINK);
}
