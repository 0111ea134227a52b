//! The settings as text: the effective configuration as TOML, and the reference in `docs/configuration.md`.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::kinds::quote;
use super::sinks::TYPE;
use super::table::SINK_SECTION;
use super::{Config, Effective, KEYS, Key, Origin, SinkConfig};

/// Columns of the comments in the TOML.
const COMMENT_WIDTH: usize = 100;

/// The effective configuration: a file that gives the same one again, but for secrets, with the origin of every value.
pub fn effective_toml(effective: &Effective) -> String {
    let mut text = String::from("# The effective configuration; behind each value stands where it comes from.\n");
    let mut section = "";
    for (key, origin) in KEYS.iter().zip(&effective.origins).filter(|(key, _)| !key.only_in_tables()) {
        if key.section() != section {
            section = key.section();
            let _ = write!(text, "\n[{section}]");
        }
        text.push('\n');
        for line in wrap(key.text(), COMMENT_WIDTH) {
            let _ = writeln!(text, "# {line}");
        }
        let origin = shown(origin);
        let _ = match (key.get)(&effective.config) {
            // As a comment: the file would set it to what stands in its place.
            Some(value) if key.secret => writeln!(text, "# {} = {value}  # {origin}", key.leaf()),
            Some(value) => writeln!(text, "{} = {value}  # {origin}", key.leaf()),
            None => writeln!(text, "# {} is not set  # {origin}", key.leaf()),
        };
    }
    for (sink, origin) in effective.config.sinks.iter().zip(&effective.sink_origins) {
        sink_toml(&mut text, &effective.config, sink, origin);
    }
    text
}

/// The same as JSON, without origins; secrets are there as `***`.
pub fn effective_json(config: &Config) -> Value {
    let mut all = Map::new();
    for key in KEYS.iter().filter(|key| !key.only_in_tables()) {
        all.insert(key.name.to_owned(), json_of(key, config));
    }
    let sinks = config.sinks.iter().map(|sink| {
        let own = sink.as_config(config);
        let section = sink.kind().name();
        let keys = KEYS.iter().filter(|key| key.only_in_tables() || key.section() == section);
        let mut values: Map<String, Value> = keys.map(|key| (key.leaf().to_owned(), json_of(key, &own))).collect();
        values.insert(TYPE.to_owned(), Value::from(section));
        Value::from(values)
    });
    all.insert(SINK_SECTION.to_owned(), sinks.collect());
    Value::from(all)
}

/// What a key writes is one TOML value.
fn json_of(key: &Key, config: &Config) -> Value {
    let value = (key.get)(config).and_then(|text| toml::from_str::<Map<String, Value>>(&format!("v = {text}")).ok());
    value.and_then(|mut table| table.remove("v")).unwrap_or(Value::Null)
}

/// A sink as a table: what all sinks say, and where it differs from its section.
fn sink_toml(text: &mut String, base: &Config, sink: &SinkConfig, origin: &Origin) {
    let own = sink.as_config(base);
    let section = sink.kind().name();
    let _ = writeln!(text, "\n[[{SINK_SECTION}]]  # {}\n{TYPE} = {}", shown(origin), quote(section));
    for key in KEYS.iter().filter(|key| key.only_in_tables() || key.section() == section) {
        let (value, below) = ((key.get)(&own), (key.get)(base));
        let _ = match value {
            Some(value) if key.secret => writeln!(text, "# {} = {value}", key.leaf()),
            Some(value) if key.only_in_tables() || below.as_ref() != Some(&value) => {
                writeln!(text, "{} = {value}", key.leaf())
            }
            // Unset again by the table; a secret below is not in the file, nor is what is none of the two.
            None if below.is_some() && !key.secret => writeln!(text, "{} = \"\"", key.leaf()),
            _ => Ok(()),
        };
    }
}

/// An origin is text from outside (a file's name): it must not end the comment.
fn shown(origin: &Origin) -> String {
    crate::terminal::escape(&origin.to_string()).into_owned()
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
            text.push_str(if key.only_in_tables() { SINKS } else { COLUMNS });
        }
        let default = (key.get)(&Config::default()).map_or("not set".to_owned(), |value| format!("`{value}`"));
        let meaning = format!("{}{}", key.text().replace('|', "\\|"), choices(key));
        let _ = match key.variable() {
            None => writeln!(text, "| `{}` | {default} | {meaning} |", key.leaf()),
            Some(variable) => {
                let flags: Vec<String> = key.all_flags().iter().map(|(name, _)| format!("`--{name}`")).collect();
                let flags = flags.join(", ");
                writeln!(text, "| `{}` | {flags} | `{variable}` | {default} | {meaning} |", key.name)
            }
        };
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

Secrets (passwords, tokens, seeds) have no flag, because a command line is public, and are never printed. Each can stand in
a file of its own, named by the key with `_file`; a line end behind it does not count. Of a secret and its file the one that
is set last counts. Prefer the file: a command that weir starts inherits the environment.
";

const COLUMNS: &str = "| key | flag | variable | default | meaning |\n|---|---|---|---|---|\n";

const SINKS: &str = "Rows go to any number of sinks at once, each at its own pace. A section makes one sink, named like itself, when its
destination is set: `kafka.brokers` (`--kafka`), `nats.servers` (`--nats`), `parquet.dir` (`--parquet`), `stdout.format`
(`--stdout`). More of them, or other choices for one of them, are `[[sink]]` tables in the file:

```toml
[kafka]                                # what the sinks of type kafka have in common
brokers = [\"kafka-1:9092\", \"kafka-2:9092\"]

[[sink]]
name = \"events\"
type = \"kafka\"                         # kafka, nats, parquet or stdout

[[sink]]
name = \"lake\"
type = \"kafka\"
topic = \"lake.{class}\"
format = \"arrow\"
classes = [\"process\", \"network\"]

[[sink]]
type = \"parquet\"
dir = \"/var/lib/weir/data\"
dir_bytes_max = \"20GiB\"
```

A table has the keys below and those of its type's section, without the section's name. What it does not say, it takes from
the section, together with the environment and the flags. If a file has tables of a type, its section of that type makes no
sink of its own; a flag or a variable that sets the destination still does. Give names where there are several of one type:
a spool knows a sink by its name. At most one sink writes to standard output, and no two share a Parquet directory.

| key | default | meaning |
|---|---|---|
| `type` | must be set | `kafka`, `nats`, `parquet` or `stdout`. |
";
