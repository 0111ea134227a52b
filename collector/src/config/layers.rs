//! The layers in order: defaults, file, environment, flags. Every value remembers which one it comes from.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use weir_files::{Dir, Refusal, open_to_read, refuse_everybodys};

use super::lines::Lines;
use super::nearest::hint;
use super::problem::{ConfigError, Found, Problem};
use super::raw::Raw;
use super::sinks::{SinkTables, make_all};
use super::table::SINK_SECTION;
use super::{CONFIG_BYTES_MAX, Config, KEYS, validate};
use crate::host::Caller;

/// Names the file, like `--config`.
const FILE_VARIABLE: &str = "WEIR_CONFIG";

/// Variables of the repository's own scripts and tests: no settings, and no mistakes either.
const FOREIGN_VARIABLES: &[&str] = &["WEIR_BIN", "WEIR_UPDATE", "WEIR_IN_VM"];
const FOREIGN_PREFIXES: &[&str] = &["WEIR_TEST_", "WEIR_VM_", "WEIR_BENCH_"];

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// File and line, counted from 1.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// A flag, without dashes.
    Flag(String),
}

impl Origin {
    /// Whether both are of one layer: file, environment or flags.
    fn is_layer_of(&self, other: &Origin) -> bool {
        *self != Origin::Default && std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => f.write_str(name),
            Origin::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// What a configuration is made from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// Its text, if somebody else has read it.
    pub text: Option<String>,
    /// The environment; what does not begin with `WEIR_` is ignored.
    pub environment: Vec<(String, String)>,
    /// Flags in the order of the command line: name without dashes, index into [`KEYS`], value.
    pub flags: Vec<(String, usize, Raw)>,
}

/// A configuration that is complete and valid, and where each value comes from.
#[derive(Debug, Clone)]
pub struct Effective {
    /// The values.
    pub config: Config,
    /// By index into [`KEYS`].
    pub origins: Vec<Origin>,
    /// By index into [`Config::sinks`].
    pub sink_origins: Vec<Origin>,
}

impl Sources {
    /// The environment of this process; names and values that are not UTF-8 are kept readable and so refused.
    pub fn environment_of_process() -> Vec<(String, String)> {
        std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .filter(|(name, _)| name.starts_with("WEIR_"))
            .collect()
    }

    /// The file of settings.
    pub fn path(&self) -> Option<PathBuf> {
        self.file.clone().or_else(|| file_of(&self.environment))
    }

    /// Puts the layers over each other and checks the result.
    ///
    /// # Errors
    /// Every problem of every layer, or else of the whole.
    pub fn load(self) -> Result<Effective, ConfigError> {
        let mut layers = Layers::default_values();
        match (self.path(), self.text) {
            (Some(path), Some(text)) => layers.read_text(path, &text),
            (path, _) => layers.read_file(path),
        }
        layers.read_environment(&self.environment);
        for (name, index, raw) in self.flags {
            layers.set(index, &raw, Origin::Flag(name));
        }
        layers.finish()
    }
}

/// The configuration that a file of this text makes.
///
/// # Errors
/// Every problem of it.
pub(crate) fn of_text(text: &str) -> Result<Effective, ConfigError> {
    let mut layers = Layers::default_values();
    layers.read_text(PathBuf::from("weir.toml"), text);
    layers.finish()
}

fn file_of(environment: &[(String, String)]) -> Option<PathBuf> {
    let value = environment.iter().find(|(name, _)| name == FILE_VARIABLE)?.1.as_str();
    (!value.is_empty()).then(|| PathBuf::from(value))
}

struct Layers {
    config: Config,
    origins: Vec<Origin>,
    tables: SinkTables,
    problems: Found,
}

impl Layers {
    fn default_values() -> Layers {
        Layers {
            config: Config::default(),
            origins: vec![Origin::Default; KEYS.len()],
            tables: SinkTables::default(),
            problems: Found::default(),
        }
    }

    fn set(&mut self, index: usize, raw: &Raw, origin: Origin) {
        let key = &KEYS[index];
        if let Some((twin_index, twin)) = key.twin() {
            let there = &mut self.origins[twin_index];
            if there.is_layer_of(&origin) {
                let text = || format!("`{}` and `{}` are both set: keep one", key.name, twin.name);
                return self.problems.push(|| Problem::new(origin.to_string(), text()));
            }
            *there = Origin::Default;
            key.unset_twin(&mut self.config);
        }
        match (key.set)(&mut self.config, raw) {
            Ok(()) => self.origins[index] = origin,
            Err(expected) => {
                self.problems.push(|| Problem::new(origin.to_string(), key.misfit(key.name, raw, &expected)));
            }
        }
    }

    fn read_file(&mut self, path: Option<PathBuf>) {
        let Some(path) = path else { return };
        let place = path.display().to_string();
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(error) => {
                return self.problems.push(|| Problem::new(place, format!("cannot be read: {error}")));
            }
        };
        self.read_text(path, &text);
    }

    fn read_text(&mut self, path: PathBuf, text: &str) {
        let place = path.display().to_string();
        match DeTable::parse(text) {
            Ok(table) => self.read_table(&FileText { path, lines: Lines::of(text) }, "", table.get_ref()),
            Err(error) => {
                let line = Lines::of(text).at(error.span().map_or(0, |span| span.start));
                self.problems.push(|| Problem::new(format!("{place}:{line}"), error.message().replace('\n', ", ")));
            }
        }
    }

    fn read_table(&mut self, file: &FileText, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            let line = file.lines.at(key.span().start);
            if name == SINK_SECTION {
                match SinkTables::read(&file.path, &file.lines, line, value.get_ref()) {
                    Ok(tables) => self.tables = tables,
                    Err(problem) => self.problems.push(|| problem),
                }
            } else if let Some((index, _)) = Config::key(&name) {
                self.set(index, &Raw::from_toml(value.get_ref()), Origin::File(file.path.clone(), line));
            } else if let (true, DeValue::Table(inner)) = (is_section(&name), value.get_ref()) {
                self.read_table(file, &format!("{name}."), inner);
            } else {
                self.problems.push(|| {
                    let place = Origin::File(file.path.clone(), line).to_string();
                    Problem::new(place, format!("unknown key `{name}`{}", meant(&name, key.get_ref())))
                });
            }
        }
    }

    fn read_environment(&mut self, environment: &[(String, String)]) {
        let variables: Vec<Option<String>> = KEYS.iter().map(super::Key::variable).collect();
        for (name, value) in environment {
            if let Some(index) = variables.iter().position(|known| known.as_ref() == Some(name)) {
                self.set(index, &Raw::Text(value.clone()), Origin::Environment(name.clone()));
            } else if is_mistaken(name) {
                let known = variables.iter().flatten().map(String::as_str).chain([FILE_VARIABLE]);
                let text = || format!("unknown environment variable{}", hint(name, known));
                self.problems.push(|| Problem::new(name, text()));
            }
        }
    }

    fn finish(mut self) -> Result<Effective, ConfigError> {
        if self.tables.is_empty() {
            self.config.complete();
        }
        if self.problems.is_empty() {
            for (name, text) in validate::problems(&self.config) {
                let place = Config::key(name).map_or(&Origin::Default, |(index, _)| &self.origins[index]);
                self.problems.push(|| Problem::new(place.to_string(), format!("`{name}` {text}")));
            }
        }
        let built = make_all(&self.config, &self.origins, &self.tables).unwrap_or_else(|problems| {
            self.problems.extend(problems);
            Vec::new()
        });
        if !self.problems.is_empty() {
            return Err(self.problems.into_error());
        }
        let (sinks, sink_origins) = built.into_iter().unzip();
        self.config.sinks = sinks;
        Ok(Effective { config: self.config, origins: self.origins, sink_origins })
    }
}

struct FileText {
    path: PathBuf,
    lines: Lines,
}

/// What an unknown key was probably meant to be.
fn meant(name: &str, last: &str) -> String {
    // A key of a section that stands outside of it is known by its last part.
    let elsewhere = KEYS.iter().find(|known| !known.only_in_tables() && known.leaf() == last);
    let known = KEYS.iter().filter(|key| !key.only_in_tables()).flat_map(|key| [key.name, key.section()]);
    let known = known.filter(|name| !name.is_empty());
    elsewhere.map_or_else(|| hint(name, known), |key| format!("; did you mean `{}`?", key.name))
}

fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.section() == name)
}

fn is_mistaken(name: &str) -> bool {
    name.starts_with("WEIR_")
        && name != FILE_VARIABLE
        && !FOREIGN_VARIABLES.contains(&name)
        && !FOREIGN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// A thread that gave its rights up (see [`crate::privilege`]) may read the caller's file only as the caller.
fn read_text(path: &Path) -> io::Result<String> {
    let file = match open_to_read(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && Refusal::in_error(&error).is_none() => {
            let (dir, name) = Dir::of_given_file(path, Caller::owner())?;
            dir.open(name)
        }
        opened => opened,
    };
    text_of(path, file?)
}

/// The text of a configuration, unless everybody can write it or it is too long to be one.
///
/// # Errors
/// When it is so, or cannot be read.
pub(crate) fn text_of(path: &Path, file: File) -> io::Result<String> {
    refuse_everybodys(path, &file)?;
    let mut text = String::new();
    file.take(CONFIG_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > CONFIG_BYTES_MAX {
        return Err(io::Error::other(format!("a configuration has at most {CONFIG_BYTES_MAX} bytes")));
    }
    Ok(text)
}
