//! What each command does.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use weir_bpf::{Loaded, Plan};
use weir_schema::render;

use super::{EXIT_USAGE, SchemaFormat, SettingFlags, complain, print, print_json};
use crate::check::{Check, Probe};
use crate::command::EXIT_WEIR;
use crate::config::{Config, RING_BYTES_MIN, effective_toml};
use crate::host::Host;
use crate::privilege::{self, Landlock};
use crate::requirements::{Finding, Level, findings};
use crate::{logging, terminal, verify};

pub(super) fn run(settings: SettingFlags, command: Vec<OsString>) -> ExitCode {
    let config = match settings.clone().load() {
        Ok(effective) => effective.config,
        Err(error) => return failed(error),
    };
    logging::start(&config.log);
    let command = (!command.is_empty()).then_some(command);
    let reread = Box::new(move |text| Ok(settings.clone().load_with(text)?.config));
    crate::run::run(&config, reread, command).unwrap_or_else(|error| failed(format!("{error:#}")))
}

fn failed(error: impl std::fmt::Display) -> ExitCode {
    complain(error);
    ExitCode::from(EXIT_WEIR)
}

pub(super) fn verify(args: &verify::Args) -> u8 {
    let report = match args.verify() {
        Ok(report) => report,
        Err(error) => {
            complain(error);
            return EXIT_USAGE;
        }
    };
    let printed = args.text(&report).map_err(Into::into).and_then(|text| terminal::print(&text));
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(format!("write the report: {error}"));
            EXIT_USAGE
        }
        _ => report.exit_code(),
    }
}

pub(super) fn config(settings: SettingFlags) -> u8 {
    settings.load().map_or_else(complain, |effective| print(&effective_toml(&effective)))
}

pub(super) fn check(settings: SettingFlags, json: bool) -> u8 {
    let config = match settings.load() {
        Ok(effective) => effective.config,
        Err(error) => return complain(error),
    };
    logging::start(&config.log);
    let host = match Host::read() {
        Ok(host) => host,
        Err(error) => return complain(error),
    };
    let mut machine = findings(&host);
    let mut probes = Vec::new();
    if machine.iter().all(|finding| finding.level != Level::Refused) {
        match plan_of(&config, &host) {
            Ok(plan) => {
                machine.push(order(plan.exact_order));
                probes = plan.probes.iter().map(Probe::from).collect();
            }
            Err(error) => machine.push(not_loaded(&error)),
        }
    }
    machine.push(container_names(&config));
    machine.push(confinement());
    let check = Check::new(machine, probes);
    let written = if json { print_json(&check) } else { print(&check.to_string()) };
    written.max(check.exit_code())
}

/// The kernel's own answer: the programs are loaded, with the smallest rings, and not attached.
fn plan_of(config: &Config, host: &Host) -> anyhow::Result<Plan> {
    let filters = config.filter.resolve(host.mounts.cgroup2.as_deref())?;
    let small = Config { ring_bytes: RING_BYTES_MIN, ..config.clone() };
    let loaded = Loaded::load(&crate::run::settings(&small, host, filters)?)?;
    Ok(loaded.plan.clone())
}

fn order(exact: bool) -> Finding {
    let (level, found) = if exact {
        (Level::Good, "exact inside every ring")
    } else {
        (Level::Lesser, "records of interrupts can overtake inside a ring; they are sorted below the watermark")
    };
    let advice = (!exact).then(|| "nothing is lost; Linux 6.14 and newer write in exact order".to_owned());
    Finding { name: "order", level, found: found.to_owned(), advice }
}

fn container_names(config: &Config) -> Finding {
    let sockets = crate::run::context::sockets(config);
    let found: Vec<String> = sockets.docker.iter().chain(&sockets.cri).map(|path| path.display().to_string()).collect();
    let found = match (config.context && config.container_names, found.is_empty()) {
        (false, _) => "not asked for: containers have ids only".to_owned(),
        (true, true) => "no runtime has a socket here: containers have ids only".to_owned(),
        (true, false) => found.join(", "),
    };
    Finding { name: "container names", level: Level::Good, found, advice: None }
}

/// Tried in a thread of its own: what the threads that only answer are confined by.
fn confinement() -> Finding {
    let (landlock, seccomp) = privilege::try_confinement();
    let is_whole = landlock == Ok(Landlock::Whole) && seccomp.is_ok();
    let landlock = landlock.map_or_else(|error| error, |landlock| landlock.text().to_owned());
    let seccomp = seccomp.map_or_else(|error| error, |()| "in force".to_owned());
    let level = if is_whole { Level::Good } else { Level::Lesser };
    let advice = (!is_whole).then(|| "nothing is lost; these threads have no capability either way".to_owned());
    Finding { name: "confinement", level, found: format!("seccomp {seccomp}; Landlock {landlock}"), advice }
}

fn not_loaded(error: &anyhow::Error) -> Finding {
    let found = format!("{error:#}").replace('\n', "; ");
    Finding {
        name: "probes",
        level: Level::Refused,
        found,
        advice: Some("see the settings, and the findings above".to_owned()),
    }
}

pub(super) fn schema(format: SchemaFormat, directory: &str) -> String {
    match format {
        SchemaFormat::Markdown => render::markdown(),
        SchemaFormat::Json => render::json_schema(),
        SchemaFormat::Sql => render::sql(directory),
        SchemaFormat::C => render::c_header(),
    }
}

pub(super) fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::command(), "weir", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
