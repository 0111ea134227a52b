//! `weir check`: what this kernel offers, which probes will run, what will be missing and why.

use std::fmt;

use serde::Serialize;
use weir_bpf::plan::State;

use crate::requirements::{Finding, Level};
use crate::terminal::escape;

/// Width of the first column of the text.
const NAME_WIDTH: usize = 24;

/// Whether a probe will run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "lowercase")]
pub enum ProbeState {
    /// It will.
    Runs,
    /// In a lesser form, and what that costs.
    Fallback(String),
    /// Not at all, and why.
    Missing(String),
}

/// One probe.
#[derive(Debug, Clone, Serialize)]
pub struct Probe {
    /// Name of the program.
    pub name: String,
    /// Where it attaches.
    pub hook: String,
    /// `class.action` of what it serves; none: the others build on it.
    pub serves: Vec<String>,
    /// Whether it will run.
    #[serde(flatten)]
    pub state: ProbeState,
}

impl From<&weir_bpf::plan::Probe> for Probe {
    fn from(probe: &weir_bpf::plan::Probe) -> Probe {
        let state = match &probe.state {
            State::Runs => ProbeState::Runs,
            State::Fallback(reason) => ProbeState::Fallback(reason.clone()),
            State::Missing(reason) => ProbeState::Missing(reason.clone()),
        };
        Probe { name: probe.program.clone(), hook: probe.hook.clone(), serves: probe.serves.clone(), state }
    }
}

/// The whole answer.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// weir can run here.
    pub can_run: bool,
    /// What the machine offers.
    pub machine: Vec<Finding>,
    /// What will be attached for the configured classes.
    pub probes: Vec<Probe>,
    /// Actions that will not be seen, or not fully: `class.action`, with the reason.
    pub missing: Vec<Missing>,
}

/// An action that will not be seen, or not fully.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// `class.action`.
    pub action: String,
    /// Why.
    pub reason: String,
}

impl Check {
    /// Puts the answer together.
    pub fn new(machine: Vec<Finding>, probes: Vec<Probe>) -> Check {
        let missing = probes.iter().flat_map(missing_of).collect();
        let can_run = machine.iter().all(|finding| finding.level != Level::Refused);
        Check { can_run, machine, probes, missing }
    }

    /// 0 when weir can run here, 1 when it cannot.
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.can_run)
    }
}

fn missing_of(probe: &Probe) -> Vec<Missing> {
    let reason = match &probe.state {
        ProbeState::Runs => return Vec::new(),
        ProbeState::Fallback(reason) | ProbeState::Missing(reason) => reason,
    };
    probe.serves.iter().map(|action| Missing { action: action.clone(), reason: reason.clone() }).collect()
}

/// Words of the second column; all have the same width.
fn word(level: Level) -> &'static str {
    match level {
        Level::Good => "ok  ",
        Level::Lesser => "less",
        Level::Refused => "NO  ",
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "This machine")?;
        for finding in &self.machine {
            writeln!(f, "  {:<NAME_WIDTH$}{}  {}", finding.name, word(finding.level), escape(&finding.found))?;
            if let Some(advice) = &finding.advice {
                writeln!(f, "  {:<NAME_WIDTH$}      to do: {}", "", escape(advice))?;
            }
        }
        if !self.probes.is_empty() {
            writeln!(f, "\nProbes")?;
        }
        for probe in &self.probes {
            write_probe(f, probe)?;
        }
        let answer = match (self.can_run, self.missing.is_empty()) {
            (false, _) => "weir cannot run here; see NO above".to_owned(),
            (true, true) => "weir can run here, and nothing will be missing".to_owned(),
            (true, false) => format!("weir can run here; not seen, or not fully: {}", self.missing_actions()),
        };
        writeln!(f, "\n{answer}")
    }
}

impl Check {
    fn missing_actions(&self) -> String {
        let mut actions: Vec<&str> = self.missing.iter().map(|missing| missing.action.as_str()).collect();
        actions.dedup();
        actions.join(", ")
    }
}

fn write_probe(f: &mut fmt::Formatter<'_>, probe: &Probe) -> fmt::Result {
    let (level, reason) = match &probe.state {
        ProbeState::Runs => (Level::Good, None),
        ProbeState::Fallback(reason) => (Level::Lesser, Some(reason)),
        ProbeState::Missing(reason) => (Level::Refused, Some(reason)),
    };
    let serves = if probe.serves.is_empty() { "what the others build on".to_owned() } else { probe.serves.join(", ") };
    writeln!(f, "  {:<NAME_WIDTH$}{}  {}: {}", probe.name, word(level), probe.hook, serves)?;
    match reason {
        Some(reason) => writeln!(f, "  {:<NAME_WIDTH$}      because {}", "", escape(reason)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn example() -> Check {
        let finding = |name, level, found: &str, advice: Option<&str>| Finding {
            name,
            level,
            found: found.to_owned(),
            advice: advice.map(str::to_owned),
        };
        let probe = |name: &str, serves: &[&str], state| Probe {
            name: name.to_owned(),
            hook: format!("tp_btf/{name}"),
            serves: serves.iter().map(|action| (*action).to_owned()).collect(),
            state,
        };
        Check::new(
            vec![
                finding("kernel", Level::Good, "Linux 6.1", None),
                finding("tracefs", Level::Lesser, "not mounted", Some("mount it")),
            ],
            vec![
                probe("fork", &[], ProbeState::Runs),
                probe("state", &["network.refused"], ProbeState::Fallback("sorted".into())),
                probe("uring", &["kernel.io_uring_submit"], ProbeState::Missing("no \x1b tracepoint".into())),
            ],
        )
    }

    #[test]
    fn the_text_names_what_is_missing_and_why() {
        expect![[r"
            This machine
              kernel                  ok    Linux 6.1
              tracefs                 less  not mounted
                                            to do: mount it

            Probes
              fork                    ok    tp_btf/fork: what the others build on
              state                   less  tp_btf/state: network.refused
                                            because sorted
              uring                   NO    tp_btf/uring: kernel.io_uring_submit
                                            because no \x1b tracepoint

            weir can run here; not seen, or not fully: network.refused, kernel.io_uring_submit
        "]]
        .assert_eq(&example().to_string());
    }

    #[test]
    fn the_json_has_the_same_answer() {
        let json = serde_json::to_value(example()).expect("serializable");
        assert_eq!(json["can_run"], true);
        assert_eq!(json["probes"][0]["state"], "runs");
        assert_eq!(json["probes"][2]["state"], "missing");
        assert_eq!(json["probes"][1]["reason"], "sorted");
        assert_eq!(json["missing"][1]["action"], "kernel.io_uring_submit");
        assert_eq!(json["machine"][1]["level"], "lesser");
    }

    #[test]
    fn one_refusal_means_that_weir_cannot_run() {
        let mut check = example();
        assert_eq!(check.exit_code(), 0);
        check.machine[0].level = Level::Refused;
        assert_eq!(Check::new(check.machine, check.probes).exit_code(), 1);
    }
}
