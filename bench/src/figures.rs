//! The table of results.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// One measured figure.
struct Figure {
    name: String,
    value: f64,
    limit: Option<f64>,
    unit: &'static str,
    note: String,
}

/// All figures of a run.
#[derive(Default)]
pub struct Figures(Vec<Figure>);

impl Figures {
    /// Adds a figure that should stay at or below its limit, and prints it.
    pub fn at_most(&mut self, name: &str, value: f64, limit: f64, unit: &'static str, note: impl Into<String>) {
        self.add(Figure { name: name.into(), value, limit: Some(limit), unit, note: note.into() });
    }

    /// Adds a figure without a limit.
    pub fn say(&mut self, name: &str, value: f64, unit: &'static str, note: impl Into<String>) {
        self.add(Figure { name: name.into(), value, limit: None, unit, note: note.into() });
    }

    fn add(&mut self, figure: Figure) {
        let verdict = figure.limit.map_or(String::new(), |limit| {
            let ratio = figure.value / limit;
            format!("of {limit} ({ratio:.2}) {}", if figure.value <= limit { "reached" } else { "MISSED" })
        });
        let line =
            format!("{:46} {:>12.2} {:9} {:32} {}\n", figure.name, figure.value, figure.unit, verdict, figure.note);
        let _ = std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes());
        self.0.push(figure);
    }

    /// Writes the figures as JSON.
    pub fn write(&self, path: &Path) -> Result<()> {
        let figure = |f: &Figure| {
            json!({"name": f.name, "value": f.value, "limit": f.limit, "unit": f.unit, "note": f.note,
                   "reached": f.limit.map(|limit| f.value <= limit)})
        };
        let all: Vec<Value> = self.0.iter().map(figure).collect();
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
