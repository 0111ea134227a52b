//! From sections and tables to sinks, with every problem at its line.

use std::collections::HashSet;

use super::table::{Entry, SinkTables, TYPE, Table};
use super::{SINKS_MAX, SinkConfig, SinkKind, classes_named, rules};
use crate::config::layers::Origin;
use crate::config::nearest::hint;
use crate::config::problem::Problem;
use crate::config::table::SINK_SECTION;
use crate::config::{Config, KEYS, Key, validate};

/// A sink and where it comes from.
pub(in crate::config) type Built = (SinkConfig, Origin);

/// A sink that has no name yet.
struct Draft<'a> {
    kind: SinkKind,
    origin: Origin,
    table: Option<&'a Table>,
    /// The configuration with the values of this sink in the sections.
    config: Config,
}

/// What all sinks are made from.
struct Source<'a> {
    config: &'a Config,
    /// By index into [`KEYS`].
    origins: &'a [Origin],
    tables: &'a SinkTables,
}

/// Every sink of the configuration.
///
/// # Errors
/// Everything that is wrong with any of them.
pub(in crate::config) fn make_all(
    config: &Config,
    origins: &[Origin],
    tables: &SinkTables,
) -> Result<Vec<Built>, Vec<Problem>> {
    let source = Source { config, origins, tables };
    let mut problems = Vec::new();
    if let Some(table) = tables.tables.get(SINKS_MAX) {
        // Each would have a configuration of its own.
        let place = tables.origin(table.line).to_string();
        return Err(vec![Problem::new(place, format!("more than {SINKS_MAX} sinks"))]);
    }
    let mut drafts: Vec<Draft<'_>> = SinkKind::ALL.iter().filter_map(|kind| source.of_section(*kind)).collect();
    for table in &tables.tables {
        drafts.extend(source.of_table(table, &mut problems));
    }
    let names = names(&drafts);
    let mut built = Vec::new();
    for (draft, name) in drafts.iter().zip(names) {
        match draft.finish(&source, name) {
            Ok(sink) => built.push((sink, draft.origin.clone())),
            Err(found) => problems.extend(found),
        }
    }
    problems.extend(rules::between(&built));
    if built.len() > SINKS_MAX {
        problems.push(Problem::new(built[SINKS_MAX].1.to_string(), format!("more than {SINKS_MAX} sinks")));
    }
    if problems.is_empty() { Ok(built) } else { Err(problems) }
}

impl<'a> Source<'a> {
    /// A section makes a sink when its destination is set: by flag or variable in any case, by the file only if no table
    /// of the type is there; else it only holds what its tables have in common.
    fn of_section(&self, kind: SinkKind) -> Option<Draft<'a>> {
        let (index, key) = kind.destination()?;
        let is_set = (key.get)(self.config).is_some();
        let origin = &self.origins[index];
        let is_common = matches!(origin, Origin::File(..)) && self.has_table(kind);
        let draft = || Draft { kind, origin: origin.clone(), table: None, config: self.config.clone() };
        (is_set && !is_common).then(draft)
    }

    fn has_table(&self, kind: SinkKind) -> bool {
        let types = self.tables.tables.iter().filter_map(|table| table.entry(TYPE)?.value.text());
        types.into_iter().any(|word| word == kind.name())
    }

    fn of_table(&self, table: &'a Table, problems: &mut Vec<Problem>) -> Option<Draft<'a>> {
        let kind = match kind_of(table) {
            Ok(kind) => kind,
            Err((line, text)) => {
                problems.push(Problem::new(self.tables.origin(line).to_string(), text));
                return None;
            }
        };
        let mut config = self.config.clone();
        let count = problems.len();
        for entry in table.entries.iter().filter(|entry| entry.key != TYPE) {
            let result = set(&mut config, kind, table, entry);
            problems.extend(result.err().map(|text| Problem::new(self.tables.origin(entry.line).to_string(), text)));
        }
        let origin = self.tables.origin(table.line);
        (problems.len() == count).then_some(Draft { kind, origin, table: Some(table), config })
    }
}

fn kind_of(table: &Table) -> Result<SinkKind, (usize, String)> {
    let known: Vec<&str> = SinkKind::ALL.iter().map(|kind| kind.name()).collect();
    let Some(entry) = table.entry(TYPE) else {
        return Err((table.line, format!("a sink needs its `type`: one of {}", known.join(", "))));
    };
    let word = entry.value.shown();
    SinkKind::named(&word)
        .ok_or_else(|| (entry.line, format!("unknown type of sink `{word}`{}", hint(&word, known.iter().copied()))))
}

/// The keys that a table of this type can have.
fn keys_of(kind: SinkKind) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.only_in_tables() || key.section() == kind.name())
}

fn set(config: &mut Config, kind: SinkKind, table: &Table, entry: &Entry) -> Result<(), String> {
    let Some(key) = keys_of(kind).find(|key| key.leaf() == entry.key) else {
        let hint = hint(&entry.key, keys_of(kind).map(Key::leaf).chain([TYPE]));
        return Err(format!("unknown key `{}` of a sink of type {}{hint}", entry.key, kind.name()));
    };
    if let Some((_, twin)) = key.twin() {
        if table.entry(twin.leaf()).is_some() {
            return Err(format!("`{}` and `{}` are both there: keep one", key.leaf(), twin.leaf()));
        }
        key.unset_twin(config);
    }
    (key.set)(config, &entry.value).map_err(|expected| key.misfit(key.leaf(), &entry.value, &expected))
}

/// Names that are given, and for the others their type with a number that is free.
fn names(drafts: &[Draft<'_>]) -> Vec<String> {
    let mut taken: HashSet<String> = drafts.iter().filter_map(|draft| draft.config.sink.name.clone()).collect();
    let mut name_of = |draft: &Draft<'_>| {
        draft.config.sink.name.clone().unwrap_or_else(|| {
            let numbered = (2..).map(|n| format!("{}-{n}", draft.kind.name()));
            let mut names = std::iter::once(draft.kind.name().to_owned()).chain(numbered);
            let name = names.find(|name| !taken.contains(name)).unwrap_or_default();
            taken.insert(name.clone());
            name
        })
    };
    drafts.iter().map(&mut name_of).collect()
}

impl Draft<'_> {
    /// Where a key of this sink was set: in its table, or else in the layers below.
    fn place(&self, source: &Source<'_>, name: &str) -> String {
        let key = Config::key(name);
        let line = self.table.and_then(|table| Some(table.entry(key?.1.leaf())?.line));
        let below = key.map(|(index, _)| &source.origins[index]).filter(|origin| **origin != Origin::Default);
        line.map(|line| source.tables.origin(line)).as_ref().or(below).unwrap_or(&self.origin).to_string()
    }

    fn finish(&self, source: &Source<'_>, name: String) -> Result<SinkConfig, Vec<Problem>> {
        let config = self.kind_completed();
        let mut found = rules::alone(self.kind, &name, &config);
        if self.table.is_some() {
            // What is wrong in the section itself is said once, there.
            let section = self.kind.name();
            let in_section = |(key, _): &(&str, String)| key.split_once('.').is_some_and(|(s, _)| s == section);
            let below = validate::problems(source.config);
            found.extend(validate::problems(&config).into_iter().filter(in_section).filter(|p| !below.contains(p)));
        }
        let classes = classes_named(&config.sink.classes);
        found.extend(classes.as_ref().err().map(|text| ("sink.classes", text.clone())));
        match classes {
            Ok(classes) if found.is_empty() => Ok(SinkConfig {
                name,
                classes,
                policy: config.sink.policy,
                start: config.sink.start,
                settings: self.kind.settings(&config),
            }),
            _ => Err(found.into_iter().map(|(key, text)| self.problem(source, &name, key, &text)).collect()),
        }
    }

    fn problem(&self, source: &Source<'_>, sink: &str, key: &str, text: &str) -> Problem {
        let shown = match (self.table, key.strip_prefix(SINK_SECTION).and_then(|rest| rest.strip_prefix('.'))) {
            (_, Some(leaf)) => leaf,
            (Some(_), None) => key.split_once('.').map_or(key, |(_, leaf)| leaf),
            (None, None) => key,
        };
        Problem::new(self.place(source, key), format!("sink `{sink}`: `{shown}` {text}"))
    }

    /// A Parquet table without a directory has the default one.
    fn kind_completed(&self) -> Config {
        let mut config = self.config.clone();
        if self.kind == SinkKind::Parquet && config.parquet.dir.is_none() {
            config.parquet.dir = Some(crate::config::DATA_DIR.into());
        }
        config
    }
}
