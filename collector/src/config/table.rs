//! The table of settings: [`settings!`] makes from one list the typed struct, its defaults, and a [`Key`] per setting.
//!
//! The names in the file, the environment and the flags, the help, the manual and `docs/configuration.md` are loops over
//! the keys.

use super::raw::Raw;

/// The section that stands for what all `[[sink]]` tables have in common.
pub const SINK_SECTION: &str = "sink";

/// Ends the name of the key that names the file of a secret.
const FILE_SUFFIX: &str = "_file";

/// A flag that sets a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// `--name VALUE`, with the placeholder's name.
    Takes(&'static str, &'static str),
    /// `--name` alone stands for a value.
    Means(&'static str, &'static str, &'static str),
}

impl Flag {
    /// Name without the dashes.
    pub const fn name(self) -> &'static str {
        match self {
            Flag::Takes(name, _) | Flag::Means(name, _, _) => name,
        }
    }
}

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// Name in the file, with its section: `parquet.dir`.
    pub name: &'static str,
    /// What it is for; sentences begin with a space, as doc comments do.
    pub doc: &'static str,
    /// Heading in the help.
    pub heading: &'static str,
    /// Flags of its own; empty: one that is named like the key.
    pub flags: &'static [Flag],
    /// See [`super::kinds::Kind::PLACEHOLDER`].
    pub placeholder: &'static str,
    /// See [`super::kinds::Kind::CHOICES`].
    pub choices: &'static [&'static str],
    /// See [`super::kinds::Kind::LIST`].
    pub list: bool,
    /// See [`super::kinds::Kind::SWITCH`].
    pub switch: bool,
    /// See [`super::kinds::Kind::SECRET`].
    pub secret: bool,
    /// Stores a value.
    pub set: fn(&mut super::Config, &Raw) -> Result<(), String>,
    /// The value as TOML; `None` when it is not set.
    pub get: fn(&super::Config) -> Option<String>,
}

impl Key {
    /// The sentences of the doc without the space in front.
    pub fn text(&self) -> &'static str {
        self.doc.trim()
    }

    /// First sentence, for the short help.
    pub fn summary(&self) -> &'static str {
        let text = self.text();
        text.find(". ").map_or(text.trim_end_matches('.'), |end| &text[..end])
    }

    /// Whether only a `[[sink]]` table can say it.
    pub fn only_in_tables(&self) -> bool {
        self.section() == SINK_SECTION
    }

    /// Name of the environment variable.
    pub fn variable(&self) -> Option<String> {
        (!self.only_in_tables()).then(|| format!("WEIR_{}", self.name.replace('.', "_").to_uppercase()))
    }

    /// The flags, without dashes; switches also have their negation, secrets have none.
    pub fn all_flags(&self) -> Vec<(String, Option<&'static str>)> {
        if self.secret || self.only_in_tables() {
            return Vec::new();
        }
        if !self.flags.is_empty() {
            let value = |flag: &Flag| match flag {
                Flag::Takes(..) => None,
                Flag::Means(_, value, _) => Some(*value),
            };
            return self.flags.iter().map(|flag| (flag.name().to_owned(), value(flag))).collect();
        }
        let name = self.name.replace(['.', '_'], "-");
        if self.switch {
            vec![(name.clone(), Some("true")), (format!("no-{name}"), Some("false"))]
        } else {
            vec![(name, None)]
        }
    }

    /// The section of the file, empty for the top.
    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(section, _)| section)
    }

    /// Of a secret the key of its file, and the other way round: the one that is set last counts.
    pub fn twin(&self) -> Option<(usize, &'static Key)> {
        if self.secret {
            return super::Config::key(&format!("{}{FILE_SUFFIX}", self.name));
        }
        super::Config::key(self.name.strip_suffix(FILE_SUFFIX)?).filter(|(_, key)| key.secret)
    }

    /// Forgets the other of a secret and its file.
    pub(super) fn unset_twin(&self, config: &mut super::Config) {
        if let Some((_, twin)) = self.twin() {
            // The empty text unsets what can be unset, and both can.
            let _ = (twin.set)(config, &Raw::Text(String::new()));
        }
    }

    /// The sentence about a value that is not of this key's kind; `name` is how its place calls the key.
    pub(super) fn misfit(&self, name: &str, raw: &Raw, expected: &str) -> String {
        let shown = if self.secret { super::kinds::SECRET_SHOWN.to_owned() } else { raw.shown() };
        format!("`{name}` cannot be `{shown}`: {expected}")
    }

    /// Name inside the section.
    pub fn leaf(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, leaf)| leaf)
    }
}

/// Makes the structs and the keys.
macro_rules! settings {
    (
        $($heading:literal {
            $($(#[doc = $doc:literal])+ $name:ident: $type:ty as $kind:ty = $default:expr $(, $flags:expr)?;)*
        })*
        $($(#[doc = $section_doc:literal])+ $section:ident: $Section:ident, $section_heading:literal {
            $($(#[doc = $inner_doc:literal])+ $inner:ident: $inner_type:ty as $inner_kind:ty
                = $inner_default:expr $(, $inner_flags:expr)?;)*
        })*
    ) => {
        /// Everything that `weir run` can be told, typed and checked.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Config {
            $($($(#[doc = $doc])+ pub $name: $type,)*)*
            $($(#[doc = $section_doc])+ pub $section: $Section,)*
            /// The sinks: of sections whose destination is set, and of `[[sink]]` tables.
            pub sinks: Vec<$crate::config::SinkConfig>,
        }

        impl Default for Config {
            fn default() -> Self {
                Config {
                    $($($name: $default,)*)*
                    $($section: $Section::default(),)*
                    sinks: Vec::new(),
                }
            }
        }

        $(
            $(#[doc = $section_doc])+
            #[derive(Debug, Clone, PartialEq)]
            pub struct $Section {
                $($(#[doc = $inner_doc])+ pub $inner: $inner_type,)*
            }

            impl Default for $Section {
                fn default() -> Self {
                    $Section { $($inner: $inner_default,)* }
                }
            }
        )*

        /// Every setting, in the order of the documentation.
        pub static KEYS: &[Key] = &[
            $($(settings!(@key $type, $kind, $heading, [$name], stringify!($name), concat!($($doc),+) $(, $flags)?),)*)*
            $($(settings!(@key $inner_type, $inner_kind, $section_heading, [$section.$inner],
                concat!(stringify!($section), ".", stringify!($inner)), concat!($($inner_doc),+) $(, $inner_flags)?),)*)*
        ];
    };
    (@key $type:ty, $kind:ty, $heading:literal, [$($field:tt)+], $name:expr, $doc:expr $(, $flags:expr)?) => {
        Key {
            name: $name,
            doc: $doc,
            heading: $heading,
            flags: settings!(@flags $($flags)?),
            placeholder: <$kind as Kind<$type>>::PLACEHOLDER,
            choices: <$kind as Kind<$type>>::CHOICES,
            list: <$kind as Kind<$type>>::LIST,
            switch: <$kind as Kind<$type>>::SWITCH,
            secret: <$kind as Kind<$type>>::SECRET,
            set: |config, raw| {
                config.$($field)+ = <$kind as Kind<$type>>::read(raw)?;
                Ok(())
            },
            get: |config| <$kind as Kind<$type>>::write(&config.$($field)+),
        }
    };
    (@flags) => { &[] };
    (@flags $flags:expr) => { $flags };
}
pub(super) use settings;
