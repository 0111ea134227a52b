//! The sinks of a configuration: one of every section whose destination is set, and one of every `[[sink]]` table.
//!
//! A table is read by the keys of its type's section: a copy of the configuration takes the table's values by the same
//! setters, and its section is the sink's.

mod build;
mod rules;
mod table;

use weir_schema::{CLASSES, ClassId};
use weir_sinks::{ClassSet, Policy};

use super::nearest::hint;
use super::{Config, Kafka, Key, Nats, Parquet, SinkStart, Stdout};

pub(super) use build::make_all;
pub(super) use table::{SinkTables, TYPE};

/// Sinks of one configuration.
pub const SINKS_MAX: usize = 32;

/// Bytes of a sink's name.
pub const NAME_BYTES_MAX: usize = 64;

/// A destination of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkConfig {
    /// Unique among the sinks; letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Classes that it gets.
    pub classes: ClassSet,
    /// What happens when it cannot keep up.
    pub policy: Policy,
    /// Where it begins in a spool that does not know it.
    pub start: SinkStart,
    /// Everything that its type has to know.
    pub settings: SinkSettings,
}

/// The section of a sink's type, as this sink has it.
#[derive(Debug, Clone, PartialEq)]
pub enum SinkSettings {
    /// Messages to Kafka.
    Kafka(Box<Kafka>),
    /// Messages to NATS.
    Nats(Box<Nats>),
    /// Rolling files.
    Parquet(Box<Parquet>),
    /// Rows on standard output.
    Stdout(Box<Stdout>),
}

/// Type of a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkKind {
    /// See [`Kafka`].
    Kafka,
    /// See [`Nats`].
    Nats,
    /// See [`Parquet`].
    Parquet,
    /// See [`Stdout`].
    Stdout,
}

impl SinkKind {
    /// All types.
    pub const ALL: &'static [SinkKind] = &[SinkKind::Parquet, SinkKind::Kafka, SinkKind::Nats, SinkKind::Stdout];

    /// The word behind `type`, the name of the section, and the default of the sink's name.
    pub const fn name(self) -> &'static str {
        match self {
            SinkKind::Kafka => "kafka",
            SinkKind::Nats => "nats",
            SinkKind::Parquet => "parquet",
            SinkKind::Stdout => "stdout",
        }
    }

    /// The type with this name.
    pub fn named(name: &str) -> Option<SinkKind> {
        SinkKind::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// The key without which there is no sink of this type.
    pub(super) fn destination(self) -> Option<(usize, &'static Key)> {
        Config::key(match self {
            SinkKind::Kafka => "kafka.brokers",
            SinkKind::Nats => "nats.servers",
            SinkKind::Parquet => "parquet.dir",
            SinkKind::Stdout => "stdout.format",
        })
    }

    /// The section of this type.
    fn settings(self, config: &Config) -> SinkSettings {
        match self {
            SinkKind::Kafka => SinkSettings::Kafka(Box::new(config.kafka.clone())),
            SinkKind::Nats => SinkSettings::Nats(Box::new(config.nats.clone())),
            SinkKind::Parquet => SinkSettings::Parquet(Box::new(config.parquet.clone())),
            SinkKind::Stdout => SinkSettings::Stdout(Box::new(config.stdout.clone())),
        }
    }
}

impl SinkSettings {
    /// The type.
    pub fn kind(&self) -> SinkKind {
        match self {
            SinkSettings::Kafka(_) => SinkKind::Kafka,
            SinkSettings::Nats(_) => SinkKind::Nats,
            SinkSettings::Parquet(_) => SinkKind::Parquet,
            SinkSettings::Stdout(_) => SinkKind::Stdout,
        }
    }
}

impl SinkConfig {
    /// The type.
    pub fn kind(&self) -> SinkKind {
        self.settings.kind()
    }

    /// A configuration whose sections say what this sink has: its keys read it.
    pub(crate) fn as_config(&self, base: &Config) -> Config {
        let mut config = Config { sinks: Vec::new(), ..base.clone() };
        match &self.settings {
            SinkSettings::Kafka(section) => config.kafka = (**section).clone(),
            SinkSettings::Nats(section) => config.nats = (**section).clone(),
            SinkSettings::Parquet(section) => config.parquet = (**section).clone(),
            SinkSettings::Stdout(section) => config.stdout = (**section).clone(),
        }
        config.sink.name = Some(self.name.clone());
        config.sink.policy = self.policy;
        config.sink.start = self.start;
        if self.classes != ClassSet::all() {
            let chosen = CLASSES.iter().filter(|class| self.classes.contains(class.id));
            config.sink.classes = chosen.map(|class| class.name.to_owned()).collect();
        }
        config
    }
}

/// The classes of a sink; none named are all.
fn classes_named(names: &[String]) -> Result<ClassSet, String> {
    let named = |name: &String| -> Result<ClassId, String> {
        let found = CLASSES.iter().find(|class| class.name == name);
        let known = || CLASSES.iter().map(|class| class.name);
        found.map(|class| class.id).ok_or_else(|| format!("has the unknown class `{name}`{}", hint(name, known())))
    };
    let ids = names.iter().map(named).collect::<Result<Vec<_>, _>>()?;
    Ok(if ids.is_empty() { ClassSet::all() } else { ClassSet::of(ids) })
}

#[cfg(test)]
mod tests;
