//! The settings as text: the effective configuration as TOML, and the reference in `docs/configuration.md`.

use std::fmt::Write;

use super::{Config, Effective, KEYS, Key};

/// Columns of the comments in the TOML.
const COMMENT_WIDTH: usize = 100;

/// The effective configuration: a file that gives the same one again, with the origin of every value.
pub fn effective_toml(effective: &Effective) -> String {
    let mut text = String::from("# The effective configuration; behind each value stands where it comes from.\n");
    let mut section = "";
    for (key, origin) in KEYS.iter().zip(&effective.origins) {
        if key.section() != section {
            section = key.section();
            let _ = write!(text, "\n[{section}]");
        }
        text.push('\n');
        for line in wrap(key.text(), COMMENT_WIDTH) {
            let _ = writeln!(text, "# {line}");
        }
        // An origin is text from outside (a file's name): it must not end the comment.
        let origin = crate::terminal::escape(&origin.to_string()).into_owned();
        let _ = match (key.get)(&effective.config) {
            Some(value) => writeln!(text, "{} = {value}  # {origin}", key.leaf()),
            None => writeln!(text, "# {} is not set  # {origin}", key.leaf()),
        };
    }
    text
}

/// Breaks at spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().filter(|line| line.is_empty() || line.len() + 1 + word.len() <= width);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The reference of all settings, as Markdown.
pub fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    let mut heading = "";
    for key in KEYS {
        if key.heading != heading {
            heading = key.heading;
            let _ = write!(text, "\n## {heading}\n\n");
            text.push_str("| key | flag | variable | default | meaning |\n|---|---|---|---|---|\n");
        }
        let flags: Vec<String> = key.all_flags().iter().map(|(name, _)| format!("`--{name}`")).collect();
        let default = (key.get)(&Config::default()).map_or("not set".to_owned(), |value| format!("`{value}`"));
        let _ = writeln!(
            text,
            "| `{}` | {} | `{}` | {default} | {}{} |",
            key.name,
            flags.join(", "),
            key.variable(),
            key.text().replace('|', "\\|"),
            choices(key),
        );
    }
    text
}

fn choices(key: &Key) -> String {
    if key.choices.is_empty() { String::new() } else { format!(" One of: `{}`.", key.choices.join("`, `")) }
}

const INTRODUCTION: &str = "# Configuration

Every setting of `weir run` can stand in a TOML file (`--config FILE` or `WEIR_CONFIG`), in the environment and among the
flags; each weighs more than the one before it. Lists take commas or repetition, and replace the list of a layer below.
The empty text unsets what can be unset. Sizes: `64KiB`, `8MiB`, `1GiB`, or bytes. Durations: `500ms`, `10s`, `5m`, `1h`,
`7d`. Unknown keys are errors. `weir config` prints what is in force and where each value comes from.

Sections are TOML tables: `parquet.dir` is `dir` under `[parquet]`.
";
