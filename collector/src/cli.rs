//! The command line: parses, prints, and calls what does the work.

mod commands;
mod control;
mod help;
mod log;
mod man;
mod settings;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::command::{EXIT_WEIR, gate};
use crate::helper;
use crate::terminal::{self, say};
use crate::{sink_process, verify};

pub use settings::SettingFlags;

/// A command line that makes no sense, except of `run`, where 2 could be the command's own status.
const EXIT_USAGE: u8 = 2;

/// What the Linux kernel sees, as columns.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about = "What the Linux kernel sees, as columns and streams", long_about = help::ABOUT, after_long_help = help::AFTER, max_term_width = 100)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Record what the kernel sees: everything, or a command and its children
    #[command(long_about = help::RUN, after_long_help = help::RUN_AFTER)]
    #[command(override_usage = "weir run [OPTIONS] [-- COMMAND [ARGUMENT]...]")]
    Run(RunArgs),
    /// Prove that a recording is complete
    #[command(after_long_help = help::VERIFY_AFTER)]
    Verify(verify::Args),
    /// Play a capture or a spool into sinks
    #[command(long_about = help::REPLAY, after_long_help = help::REPLAY_AFTER)]
    Replay(log::ReplayArgs),
    /// Look into captures, and make new ones of them
    #[command(subcommand)]
    Capture(log::Capture),
    /// Look into a spool, and mend it
    #[command(subcommand)]
    Spool(log::Spool),
    /// Detach what `weir run --durability crash` left attached, and bring its last events into the spool
    Detach(SettingFlags),
    /// Show how a running weir is: sinks, lag, losses, memory, rights
    #[command(long_about = help::STATUS, after_long_help = help::STATUS_AFTER)]
    Status(StatusArgs),
    /// Make a running weir read its configuration again: filters and sinks change, the probes stay attached
    #[command(long_about = help::RELOAD, after_long_help = help::RELOAD_AFTER)]
    Reload(RunningArgs),
    /// Show what this kernel offers, which probes will run, and what will be missing
    #[command(long_about = help::CHECK, after_long_help = help::CHECK_AFTER)]
    Check(CheckArgs),
    /// Print the definition of classes, actions and columns
    Schema(SchemaArgs),
    /// Print the configuration in force, and where each value comes from
    #[command(long_about = help::CONFIG, after_long_help = help::CONFIG_AFTER)]
    Config(SettingFlags),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page
    Man {
        /// The page of this command; without it, the page of weir
        command: Option<String>,
        /// Write all pages into this directory instead
        #[arg(long, value_name = "DIR", conflicts_with = "command")]
        dir: Option<PathBuf>,
    },
    /// Hold a command until weir is ready
    #[command(hide = true)]
    Gate(gate::Args),
    /// Be a sink of the collector that started this
    #[command(hide = true)]
    Sink,
    /// Open for a reload what only root can
    #[command(hide = true)]
    Helper(helper::Args),
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    #[command(flatten)]
    settings: SettingFlags,
    /// Record this command and its children, and stop when it ends
    #[arg(last = true, value_name = "COMMAND", value_hint = clap::ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
}

/// Which of the collectors that run here.
#[derive(Debug, clap::Args)]
struct RunningArgs {
    /// Its process id, if there is more than one
    #[arg(value_name = "PID", conflicts_with_all = ["pid", "socket"])]
    process: Option<u32>,
    /// Its process id, if there is more than one
    #[arg(long, conflicts_with = "socket")]
    pid: Option<u32>,
    /// Its control socket
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    socket: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct StatusArgs {
    #[command(flatten)]
    running: RunningArgs,
    /// Print the whole status as JSON, as `/status` gives it
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    #[command(flatten)]
    settings: SettingFlags,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct SchemaArgs {
    /// markdown: tables; json: JSON schema of a row; sql: DuckDB views over a data directory; c: what the probes write
    #[arg(long, value_name = "FORMAT", default_value = "markdown")]
    format: SchemaFormat,
    /// The data directory of the views, for `--format sql`
    #[arg(long, value_name = "DIR", default_value = crate::config::DATA_DIR)]
    dir: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SchemaFormat {
    Markdown,
    Json,
    Sql,
    C,
}

/// The whole command line, as the manual, the completions and the tests see it.
pub fn command() -> clap::Command {
    let hide = |subcommand: clap::Command| subcommand.mut_args(settings::hidden_unless_config);
    ["check", "config", "replay", "detach"].into_iter().fold(Cli::command(), |cli, name| cli.mut_subcommand(name, hide))
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    <Cli as clap::FromArgMatches>::from_arg_matches(&matches)
}

/// Does what the arguments say; the result is the exit status of the program.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let is_run = arguments.get(1).is_some_and(|argument| argument == "run");
    match parse(arguments.iter().cloned()) {
        Ok(cli) => dispatch(cli.command),
        Err(error) => {
            let failed = error.exit_code() != 0;
            if failed {
                // It shows what was given, so its lines are its own only where that has none. It has no colours then.
                let shown = arguments.iter().map(|a| terminal::escape(&a.to_string_lossy()).into_owned().into());
                let error = parse(shown).err().unwrap_or(error);
                say(error.render().to_string().trim_end());
            } else {
                // A reader that went away is no reason to fail.
                let _ = error.print();
            }
            ExitCode::from(match (failed, is_run) {
                (false, _) => 0,
                (true, true) => EXIT_WEIR,
                (true, false) => EXIT_USAGE,
            })
        }
    }
}

fn dispatch(action: Action) -> ExitCode {
    ExitCode::from(match action {
        Action::Run(args) => return commands::run(args.settings, args.command),
        Action::Verify(args) => commands::verify(&args),
        Action::Replay(args) => log::replay(args),
        Action::Capture(command) => log::capture(command),
        Action::Spool(command) => log::spool(command),
        Action::Detach(settings) => log::detach(settings),
        Action::Status(args) => control::status(args),
        Action::Reload(args) => control::reload(args),
        Action::Check(args) => commands::check(args.settings, args.json),
        Action::Schema(args) => print(&commands::schema(args.format, &args.dir)),
        Action::Config(settings) => commands::config(settings),
        Action::Completions { shell } => print(&commands::completions(shell)),
        Action::Man { command: None, dir: Some(dir) } => man::write_all(&dir).map_or_else(complain, |()| 0),
        Action::Man { command: page, .. } => man::page(page.as_deref()).map_or_else(complain, |text| print(&text)),
        Action::Helper(args) => args.run().map_or_else(|error| complain(format!("{error:#}")), |()| 0),
        Action::Gate(args) => {
            let (text, code) = args.run();
            if let Some(text) = text {
                say(&text);
            }
            code
        }
        Action::Sink => sink_process::run(),
    })
}

/// Writes to standard output; a reader that went away has seen enough.
fn print(text: &str) -> u8 {
    written(terminal::print(text))
}

/// The same with a value, as JSON.
fn print_json(value: &impl Serialize) -> u8 {
    written(terminal::print_json(value))
}

fn written(result: io::Result<()>) -> u8 {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => complain(format!("write standard output: {error}")),
        _ => 0,
    }
}

/// Writes an error to standard error, each line of it behind the program's name, and gives the status of a failure.
fn complain(error: impl std::fmt::Display) -> u8 {
    error.to_string().lines().for_each(|line| say(&format!("weir: {line}")));
    1
}

#[cfg(test)]
mod tests;
