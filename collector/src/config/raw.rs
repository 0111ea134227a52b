//! A value before its meaning is known: what the file, the environment and the flags have in common.

use toml::de::DeValue;

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Raw {
    /// Text; all that environment and flags can give.
    Text(String),
    /// A number of the file.
    Number(u64),
    /// A switch of the file.
    Bool(bool),
    /// A list of the file, or of repeated flags.
    List(Vec<Raw>),
    /// What no setting takes (negative and broken numbers, dates, tables), as the file has it.
    Other(String),
}

impl Raw {
    /// From the file.
    pub fn from_toml(value: &DeValue<'_>) -> Raw {
        match value {
            DeValue::String(text) => Raw::Text(text.to_string()),
            DeValue::Boolean(value) => Raw::Bool(*value),
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| Raw::Other(number.as_str().to_owned()), Raw::Number),
            DeValue::Array(items) => Raw::List(items.iter().map(|item| Raw::from_toml(item.get_ref())).collect()),
            DeValue::Float(number) => Raw::Other(number.as_str().to_owned()),
            DeValue::Datetime(date) => Raw::Other(date.to_string()),
            DeValue::Table(_) => Raw::Other("a table".to_owned()),
        }
    }

    /// The text, of a text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Raw::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text, of a text or of what could have been one without quotes in the environment (a user id).
    pub fn as_text(&self) -> Option<String> {
        match self {
            Raw::Text(text) => Some(text.clone()),
            Raw::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The number, also of a text that is one.
    pub fn number(&self) -> Option<u64> {
        match self {
            Raw::Number(number) => Some(*number),
            Raw::Text(text) => text.replace('_', "").parse().ok(),
            _ => None,
        }
    }

    /// The items of a list; a text is split at commas, so that a value with a comma needs a list of the file.
    pub fn items(&self) -> Vec<Raw> {
        match self {
            Raw::List(items) => items.clone(),
            Raw::Text(text) => {
                text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(|t| Raw::Text(t.to_owned())).collect()
            }
            other => vec![other.clone()],
        }
    }

    /// The value as messages show it.
    pub fn shown(&self) -> String {
        match self {
            Raw::Text(text) | Raw::Other(text) => text.clone(),
            Raw::Number(number) => number.to_string(),
            Raw::Bool(value) => value.to_string(),
            Raw::List(items) => items.iter().map(Raw::shown).collect::<Vec<_>>().join(","),
        }
    }
}
