//! The table of results.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// What a figure should be.
#[derive(Clone, Copy)]
enum Aim {
    AtMost(f64),
    AtLeast(f64),
}

impl Aim {
    fn limit(self) -> f64 {
        match self {
            Aim::AtMost(limit) | Aim::AtLeast(limit) => limit,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Aim::AtMost(_) => "at most",
            Aim::AtLeast(_) => "at least",
        }
    }

    fn is_reached(self, value: f64) -> bool {
        match self {
            Aim::AtMost(limit) => value <= limit,
            Aim::AtLeast(limit) => value >= limit,
        }
    }
}

/// One measured figure.
struct Figure {
    name: String,
    value: f64,
    aim: Option<Aim>,
    unit: &'static str,
    note: String,
}

/// All figures of a run.
#[derive(Default)]
pub struct Figures {
    measured: Vec<Figure>,
    skipped: Vec<(String, String)>,
}

fn print(line: &str) {
    // A reader that went away is no reason to stop measuring.
    #[expect(clippy::disallowed_methods, reason = "figures of this program")]
    let _ = std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes());
}

impl Figures {
    /// Adds a figure that should stay at or below its limit, and prints it.
    pub fn at_most(&mut self, name: &str, value: f64, limit: f64, unit: &'static str, note: impl Into<String>) {
        self.add(Figure { name: name.into(), value, aim: Some(Aim::AtMost(limit)), unit, note: note.into() });
    }

    /// Adds a figure that should reach its limit, and prints it.
    pub fn at_least(&mut self, name: &str, value: f64, limit: f64, unit: &'static str, note: impl Into<String>) {
        self.add(Figure { name: name.into(), value, aim: Some(Aim::AtLeast(limit)), unit, note: note.into() });
    }

    /// Adds a figure that should reach its limit, if there is one.
    pub fn judge(&mut self, name: &str, value: f64, limit: Option<f64>, unit: &'static str, note: impl Into<String>) {
        self.add(Figure { name: name.into(), value, aim: limit.map(Aim::AtLeast), unit, note: note.into() });
    }

    /// Adds a figure without a limit.
    pub fn say(&mut self, name: &str, value: f64, unit: &'static str, note: impl Into<String>) {
        self.add(Figure { name: name.into(), value, aim: None, unit, note: note.into() });
    }

    /// Says why something could not be measured here.
    pub fn skip(&mut self, name: &str, reason: &str) {
        print(&format!("{name:52} SKIPPED: {reason}\n"));
        self.skipped.push((name.to_owned(), reason.to_owned()));
    }

    fn add(&mut self, figure: Figure) {
        let verdict = figure.aim.map_or(String::new(), |aim| {
            let limit = aim.limit();
            let ratio = if limit == 0.0 { String::new() } else { format!(" ({:.2})", figure.value / limit) };
            let word = if aim.is_reached(figure.value) { "reached" } else { "MISSED" };
            format!("{} {limit}{ratio} {word}", aim.words())
        });
        let Figure { name, value, unit, note, .. } = &figure;
        print(&format!("{name:52} {value:>12.2} {unit:10} {verdict:36} {note}\n"));
        self.measured.push(figure);
    }

    /// Writes the figures as JSON.
    pub fn write(&self, path: &Path) -> Result<()> {
        let figure = |f: &Figure| {
            json!({"name": f.name, "value": f.value, "limit": f.aim.map(Aim::limit), "aim": f.aim.map(Aim::words),
                   "unit": f.unit, "note": f.note, "reached": f.aim.map(|aim| aim.is_reached(f.value))})
        };
        let skipped = |(name, reason): &(String, String)| json!({"name": name, "skipped": reason});
        let all: Vec<Value> = self.measured.iter().map(figure).chain(self.skipped.iter().map(skipped)).collect();
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        }
        fs::write(path, serde_json::to_string_pretty(&all)? + "\n").with_context(|| format!("write {}", path.display()))
    }
}

/// What system calls pay: measured by the example of the crate that has the unsafe code.
pub fn kernel(figures: &mut Figures) -> Result<()> {
    let output = Command::new("cargo")
        .args(["run", "--release", "-q", "-p", "weir-bpf", "--example", "cost", "--", "--json"])
        .output()
        .context("run the example `cost` of weir-bpf")?;
    anyhow::ensure!(output.status.success(), "cost: {}", String::from_utf8_lossy(&output.stderr));
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let v: Value = serde_json::from_str(line).with_context(|| format!("`{line}` of the example `cost`"))?;
        let (name, value) = (v["name"].as_str().unwrap_or("?"), v["over_ns"].as_f64().unwrap_or(f64::NAN));
        let note = v["note"].as_str().unwrap_or("");
        match v["limit_ns"].as_f64() {
            Some(limit) => figures.at_most(name, value, limit, "ns", note),
            None => figures.say(name, value, "ns", note),
        }
    }
    Ok(())
}
