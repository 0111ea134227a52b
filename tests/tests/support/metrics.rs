//! A strict reader of Prometheus' text format: what it takes, Prometheus takes.

use std::collections::{BTreeMap, BTreeSet};

/// Name and labels of one series, as they stand in the text.
type Series = (String, BTreeMap<String, String>);

/// All series and their values.
#[derive(Debug, Default)]
pub struct Metrics {
    values: BTreeMap<Series, f64>,
    kinds: BTreeMap<String, String>,
}

impl Metrics {
    /// Panics with the line that is wrong.
    pub fn parse(text: &str) -> Metrics {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut metrics = Metrics::default();
        let mut helped = BTreeSet::new();
        let mut family = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                assert!(!help.is_empty() && helped.insert(name.to_owned()), "helped twice or not at all: {line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                assert!(["counter", "gauge"].contains(&kind), "{line}");
                assert!(helped.contains(name), "no help before {line}");
                let known = metrics.kinds.insert(name.to_owned(), kind.to_owned());
                assert_eq!(known, None, "typed twice, or not in one piece: {line}");
                family = name.to_owned();
            } else {
                let (series, value) = sample(line);
                assert_eq!(series.0, family, "a sample outside of its family: {line}");
                assert_eq!(metrics.values.insert(series, value), None, "twice: {line}");
            }
        }
        metrics
    }

    /// The value with exactly these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.values.get(&(name.to_owned(), labels)).copied()
    }

    /// The sum over all labels.
    pub fn sum(&self, name: &str) -> f64 {
        self.values.iter().filter(|((n, _), _)| n == name).map(|(_, value)| value).sum()
    }

    /// Names, each with its type.
    pub fn kinds(&self) -> &BTreeMap<String, String> {
        &self.kinds
    }
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn sample(line: &str) -> (Series, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let value: f64 = value.parse().unwrap_or_else(|e| panic!("{e}: {line}"));
    let (name, labels) = match series.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix('}').unwrap_or_else(|| panic!("no brace: {line}"))),
        None => (series, ""),
    };
    assert!(is_name(name), "{line}");
    ((name.to_owned(), labels_of(labels, line)), value)
}

fn labels_of(mut text: &str, line: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    while !text.is_empty() {
        let (key, rest) = text.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        assert!(is_name(key), "{line}");
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next().unwrap_or_else(|| panic!("no end of a label: {line}")) {
                (i, '"') => break i + 1,
                (_, '\\') => value.push(match chars.next().unwrap_or_else(|| panic!("{line}")).1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    c => panic!("escape {c}: {line}"),
                }),
                (_, c) => value.push(c),
            }
        };
        assert_eq!(labels.insert(key.to_owned(), value), None, "a label twice: {line}");
        text = &rest[end..];
        text = text.strip_prefix(',').unwrap_or(text);
    }
    labels
}
