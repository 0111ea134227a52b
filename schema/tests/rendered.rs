//! Rendered files are committed; this refuses a stale one. `WEIR_UPDATE=1 cargo test -p weir-schema` writes them anew.

use std::fs;
use std::path::Path;

use weir_schema::render;

const README_BEGIN: &str = "<!-- rendered: schema -->";
const README_END: &str = "<!-- /rendered -->";

fn check(path: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("WEIR_UPDATE").is_some() {
        fs::write(&path, expected).expect("write the rendered file");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{} is stale: run `WEIR_UPDATE=1 cargo test -p weir-schema`", path.display());
}

#[test]
fn the_c_header_is_the_definition() {
    check("bpf/include/records.h", &render::c_header());
}

#[test]
fn the_json_schema_is_the_definition() {
    check("docs/event.schema.json", &render::json_schema());
}

#[test]
fn the_tables_of_the_readme_are_the_definition() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(&path).expect("README.md");
    let (head, rest) = readme.split_once(README_BEGIN).expect("the README has the marker of the tables");
    let (_, tail) = rest.split_once(README_END).expect("the README has the closing marker");
    check("README.md", &format!("{head}{README_BEGIN}\n{}{README_END}{tail}", render::markdown()));
}
