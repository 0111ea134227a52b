//! The flags of the settings: a loop over the table, so that no setting can lack its flag or its help.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint};

use crate::config::{Config, ConfigError, Effective, Flag, KEYS, Key, Raw, Sources};

const CONFIG: &str = "config";

/// Headings whose flags only stand in `--help`, not in `-h`.
const DETAILED: &[&str] = &["Rings and batches", "Dead letters", "Messages"];

/// Sections of which only these keys stand in `-h`.
const SHORT: &[(&str, &[&str])] =
    &[("parquet", &["dir"]), ("kafka", &["brokers"]), ("nats", &["servers"]), ("spool", &["dir", "mode"])];

/// `--config` and a flag for each setting.
#[derive(Debug, Clone)]
pub struct SettingFlags {
    file: Option<PathBuf>,
    flags: Vec<(String, usize, Raw)>,
}

impl SettingFlags {
    /// The configuration: these flags over the environment, over the file, over the defaults.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(self) -> Result<Effective, ConfigError> {
        self.load_with(None)
    }

    /// The same with the text of the file, if somebody else has read it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load_with(self, text: Option<String>) -> Result<Effective, ConfigError> {
        Sources { text, ..self.sources() }.load()
    }

    /// The file of settings.
    pub fn path(&self) -> Option<PathBuf> {
        self.clone().sources().path()
    }

    fn sources(self) -> Sources {
        let environment = Sources::environment_of_process();
        Sources { file: self.file, text: None, environment, flags: self.flags }
    }

    /// Name, index of the key and value of each flag that was given.
    #[cfg(test)]
    pub(super) fn given(&self) -> &[(String, usize, Raw)] {
        &self.flags
    }
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .value_hint(ValueHint::FilePath)
            .value_parser(clap::value_parser!(PathBuf))
            .help("Settings from this TOML file; the environment (WEIR_*) and flags weigh more")
            .long_help(
                "Settings from this TOML file (WEIR_CONFIG), a regular file that not everybody can write; the environment and \
                 flags weigh more. There is none by default.",
            );
        KEYS.iter().flat_map(args_of).fold(command.arg(file), Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn args_of(key: &'static Key) -> Vec<Arg> {
    key.all_flags().into_iter().map(|(name, value)| arg_of(key, name, value)).collect()
}

fn arg_of(key: &'static Key, name: String, value: Option<&'static str>) -> Arg {
    let short = SHORT.iter().find(|(section, _)| *section == key.section());
    let detailed = DETAILED.contains(&key.heading) || short.is_some_and(|(_, keys)| !keys.contains(&key.leaf()));
    let arg = Arg::new(name.clone()).long(name.clone()).help_heading(key.heading).hide_short_help(detailed);
    let Some(value) = value else { return taking(key, arg) };
    let default = (key.get)(&Config::default());
    let own = key.flags.iter().find_map(|flag| match flag {
        Flag::Means(flag_name, _, help) if *flag_name == name => Some(*help),
        _ => None,
    });
    let variable = key.variable().unwrap_or_default();
    let off = if key.switch && value == "false" { "Off: " } else { "" };
    let others = key.all_flags().into_iter().map(|(other, _)| other).filter(|other| *other != name);
    arg.action(ArgAction::SetTrue)
        .conflicts_with_all(others.collect::<Vec<_>>())
        .help(format!("{off}{}", own.unwrap_or(key.summary())))
        .long_help(format!("{off}{}\n[env: {variable}]", own.unwrap_or(key.text())))
        // What asks for the default is for a file or an environment that says otherwise; the other is the one to read about.
        .hide(own.is_none() && default.as_deref() == Some(value))
}

fn taking(key: &'static Key, arg: Arg) -> Arg {
    let placeholder = key.flags.iter().find_map(|flag| match flag {
        Flag::Takes(_, placeholder) => Some(*placeholder),
        Flag::Means(..) => None,
    });
    let default = (key.get)(&Config::default());
    let shown = default.map_or_else(String::new, |value| format!("default: {}, ", value.trim_matches('"')));
    let arg = arg
        .value_name(placeholder.unwrap_or(key.placeholder))
        .value_hint(hint(key))
        .action(if key.list { ArgAction::Append } else { ArgAction::Set })
        .help(key.summary())
        .long_help(format!("{}\n[{shown}env: {}]", key.text(), key.variable().unwrap_or_default()));
    let arg = if key.list { arg.value_delimiter(',') } else { arg };
    if key.choices.is_empty() { arg } else { arg.value_parser(PossibleValuesParser::new(key.choices)) }
}

fn hint(key: &Key) -> ValueHint {
    match key.name {
        "parquet.dir" | "capture" | "spool.dir" | "dead_letters.dir" => ValueHint::DirPath,
        "report" => ValueHint::FilePath,
        "user" => ValueHint::Username,
        _ => ValueHint::Unknown,
    }
}

/// `weir check` and `weir config` take every setting; their help points to that of `weir run`.
pub(super) fn hidden_unless_config(arg: Arg) -> Arg {
    let is_setting = arg.get_help_heading().is_some();
    if is_setting { arg.hide(true) } else { arg }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Vec::new();
        for (index, key) in KEYS.iter().enumerate() {
            for (name, value) in key.all_flags() {
                if matches.value_source(&name) == Some(ValueSource::CommandLine) {
                    flags.push((name.clone(), index, raw_of(matches, key, &name, value)));
                }
            }
        }
        Ok(SettingFlags { file: matches.get_one::<PathBuf>(CONFIG).cloned(), flags })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn raw_of(matches: &ArgMatches, key: &Key, name: &str, value: Option<&str>) -> Raw {
    if let Some(value) = value {
        return Raw::Text(value.to_owned());
    }
    let mut values = matches.get_many::<String>(name).into_iter().flatten().cloned().map(Raw::Text);
    if key.list { Raw::List(values.collect()) } else { values.next().unwrap_or(Raw::Text(String::new())) }
}
