//! The command's arguments and both of its outputs.

use clap::Parser;
use weir_collector::verify::Args;

use super::files::json_lines;
use super::script::complete;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn output(flags: &[&str]) -> (u8, String) {
    let top = tempfile::tempdir().expect("a directory");
    let path = top.path().join("rows.jsonl");
    let mut rows = complete();
    rows.retain(|r| r.cpu != 2 || r.seq % 2 == 0);
    std::fs::write(&path, json_lines(&rows)).expect("write");
    let line = ["verify", path.to_str().expect("a plain path")].into_iter().chain(flags.iter().copied());
    let args = Command::try_parse_from(line).expect("valid arguments").args;
    let report = args.verify().expect("one input");
    (report.exit_code(), args.text(&report).expect("a report has a text"))
}

#[test]
fn json_has_the_verdict_the_totals_and_the_named_problems() {
    let (code, text) = output(&["--json", "--named", "3"]);
    let json: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
    assert_eq!((code, &json["exit_code"], &json["verdict"]), (1, &1.into(), &"faulty".into()));
    let missing = &json["sinks"][0]["runs"][0]["problems"]["missing"];
    assert_eq!((&missing["total"], missing["named"].as_array().map(Vec::len)), (&20.into(), Some(3)));
    let first = &missing["named"][0];
    assert_eq!((&first["cpu"], &first["first"], &first["last"]), (&2.into(), &1.into(), &1.into()));
}

#[test]
fn text_names_the_first_problems_and_the_total() {
    let (_, text) = output(&["--named", "2"]);
    assert_eq!(text.matches("MISSING").count(), 3, "{text}");
    assert!(text.contains("MISSING        20 numbers in all"), "{text}");
}

#[test]
fn at_least_one_path_is_required() {
    assert!(Command::try_parse_from(["verify"]).is_err());
}
