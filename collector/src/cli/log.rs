//! The commands over captures and spools.

use std::io;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use clap::{Args, Subcommand};
use weir_schema::CLASSES;
use weir_sinks::{ClassSet, LaneReport};

use super::{EXIT_USAGE, SettingFlags, complain, print, print_json};
use crate::host::{Caller, Host};
use crate::logging;
use crate::replay::{self, Options, Pace, Span};
use crate::run::resume;
use crate::spool::{Log, LogOptions, Recovered, edit, info};
use crate::terminal::{self, Foreign, say};

#[derive(Debug, Args)]
pub(super) struct SpanArgs {
    /// Only rows from this time on (RFC 3339, such as 2026-11-26T02:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<i64>,
    /// Only rows before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<i64>,
    /// Only rows of these classes; `loss` is always there
    #[arg(long, value_name = "CLASS", value_delimiter = ',', value_parser = class)]
    only_class: Vec<String>,
}

impl SpanArgs {
    fn span(&self) -> Span {
        Span { since_us: self.since, until_us: self.until }
    }

    fn classes(&self) -> ClassSet {
        let named = |name: &String| CLASSES.iter().find(|c| c.name == name).map(|c| c.id);
        if self.only_class.is_empty() {
            ClassSet::all()
        } else {
            ClassSet::of(self.only_class.iter().filter_map(named))
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// Directory of the capture or spool
    dir: PathBuf,
    #[command(flatten)]
    span: SpanArgs,
    /// How many times as fast as it happened, or `max` for as fast as the sinks take it
    #[arg(long, value_name = "N", default_value = "max", value_parser = pace)]
    speed: Pace,
    /// Give the rows a new epoch, and a boot_id that begins with `replay-`
    #[arg(long)]
    new_epoch: bool,
    /// Go on where the replay before was interrupted
    #[arg(long)]
    resume: bool,
    /// Read everything and write nothing: whether it can be played, how many rows, how fast
    #[arg(long, conflicts_with_all = ["resume", "only_class"])]
    discard: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, Subcommand)]
pub(super) enum Capture {
    /// Span, hosts, counts and gaps
    Info(InfoArgs),
    /// Make a capture of a part of another
    Cut {
        /// The capture
        dir: PathBuf,
        /// Directory of the new one
        to: PathBuf,
        #[command(flatten)]
        span: SpanArgs,
    },
    /// Make one capture of several, of different runs or hosts
    Merge {
        /// Directory of the new one
        to: PathBuf,
        /// The captures
        #[arg(required = true)]
        from: Vec<PathBuf>,
    },
    /// Write one Arrow IPC stream per class: CLASS.arrows
    Export {
        /// The capture
        dir: PathBuf,
        /// Directory of the files
        to: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Spool {
    /// Span, hosts, counts, gaps, and where the sinks stand
    Info(InfoArgs),
    /// Look for damage; exit status 1 if there is any
    Check {
        /// The spool
        dir: PathBuf,
    },
    /// Cut off what is torn and bridge what is damaged; whole frames stay
    Repair {
        /// The spool
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct InfoArgs {
    /// The directory
    dir: PathBuf,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

fn time(text: &str) -> Result<i64, String> {
    let parsed = DateTime::parse_from_rfc3339(text);
    parsed.map(|time| time.timestamp_micros()).map_err(|error| format!("{error}; such as 2026-11-26T02:00:00Z"))
}

fn class(text: &str) -> Result<String, String> {
    let known = CLASSES.iter().any(|class| class.name == text);
    let names = || CLASSES.iter().map(|class| class.name).collect::<Vec<_>>().join(", ");
    if known { Ok(text.to_owned()) } else { Err(format!("choose from {}", names())) }
}

fn pace(text: &str) -> Result<Pace, String> {
    match text.trim_end_matches('x') {
        "max" | "ma" => Ok(Pace::Fastest),
        number => number
            .parse()
            .ok()
            .filter(|n: &f64| n.is_finite() && *n > 0.0)
            .map(Pace::Times)
            .ok_or_else(|| "give a number above 0, such as 1 or 10, or `max`".to_owned()),
    }
}

fn at(dir: &Path) -> impl Fn(io::Error) -> u8 + '_ {
    move |error| complain(format!("{}: {error}", dir.display()))
}

pub(super) fn replay(args: ReplayArgs) -> u8 {
    let mut config = match args.settings.load() {
        Ok(effective) => effective.config,
        Err(error) => {
            complain(error);
            return EXIT_USAGE;
        }
    };
    logging::start(&config.log);
    let classes = args.span.classes();
    for sink in &mut config.sinks {
        sink.classes =
            ClassSet::of(CLASSES.iter().map(|c| c.id).filter(|id| sink.classes.contains(*id) && classes.contains(*id)));
    }
    let options = Options {
        dir: args.dir,
        pace: args.speed,
        span: args.span.span(),
        new_epoch: args.new_epoch,
        resume: args.resume,
        discard: args.discard,
        bar: terminal::is_watched(),
    };
    match replay::replay(&config, &options) {
        Ok(reports) => {
            reports.iter().for_each(|report| say(&line(report)));
            u8::from(reports.iter().any(|r| !r.finished || r.fatal().is_some()))
        }
        Err(error) => complain(format!("{error:#}")),
    }
}

fn line(report: &LaneReport) -> String {
    let ledger = &report.ledger;
    let lost = match ledger.lost_total() {
        0 => String::new(),
        lost => format!(", {lost} numbers lost"),
    };
    let why = report.fatal().map_or_else(String::new, |why| format!("; it could not go on: {}", Foreign(why)));
    format!("  {}: {} rows{lost}{why}", Foreign(&report.name), ledger.rows_delivered())
}

pub(super) fn capture(command: Capture) -> u8 {
    match command {
        Capture::Info(args) => show(&args),
        Capture::Cut { dir, to, span } => {
            edit::cut(&dir, &to, span.span(), span.classes()).map_or_else(at(&dir), |rows| made(&to, rows))
        }
        Capture::Merge { to, from } => {
            edit::merge(from.iter().map(PathBuf::as_path), &to).map_or_else(complain, |rows| made(&to, rows))
        }
        Capture::Export { dir, to } => edit::export(&dir, &to).map_or_else(at(&dir), |rows| {
            let line = |(class, n): (&&str, &u64)| {
                format!("{}: {n} rows\n", Foreign(to.join(format!("{class}.arrows")).display()))
            };
            print(&rows.iter().map(line).collect::<String>())
        }),
    }
}

fn made(to: &Path, rows: u64) -> u8 {
    print(&format!("{}: {rows} rows\n", Foreign(to.display())))
}

fn show(args: &InfoArgs) -> u8 {
    let (info, _) = match info::info(&args.dir) {
        Ok(found) => found,
        Err(error) => return at(&args.dir)(error),
    };
    if args.json {
        return print_json(&info);
    }
    print(&info.to_string())
}

pub(super) fn spool(command: Spool) -> u8 {
    match command {
        Spool::Info(args) => show(&args),
        Spool::Check { dir } => match info::info(&dir) {
            Ok((info, recovered)) => {
                let found = found(&recovered);
                let verdict =
                    if found.is_empty() { "whole\n" } else { "DAMAGED: `weir spool repair` keeps what is whole\n" };
                print(&format!("{info}{found}{verdict}")).max(u8::from(!found.is_empty()))
            }
            Err(error) => at(&dir)(error),
        },
        Spool::Repair { dir } => {
            let options = LogOptions { dir: dir.clone(), segment_bytes: u64::MAX, keep: true, owner: Caller::owner() };
            Log::repair(options).map_or_else(at(&dir), |log| print(&mended(log.recovered())))
        }
    }
}

/// What is wrong with a log, a line each; empty if nothing is.
fn found(recovered: &Recovered) -> String {
    let place = |what: &'static str| {
        move |(path, at, why): &(PathBuf, u64, &str)| {
            format!("{what:<14} {}: byte {at}: {}\n", Foreign(path.display()), Foreign(why))
        }
    };
    let torn = recovered.torn.iter().map(place("torn"));
    torn.chain(recovered.damaged.iter().map(place("damaged"))).chain(recovered.lost.iter().map(missing)).collect()
}

fn missing((first, last): &(u64, u64)) -> String {
    format!("{:<14} cuts {first} to {last}\n", "lost")
}

/// What a repair did.
fn mended(recovered: &Recovered) -> String {
    let bytes = recovered.torn_bytes + recovered.damaged_bytes;
    let lost: String = recovered.lost.iter().map(missing).collect();
    format!("{lost}{} whole cuts stay, {bytes} bytes were cut off\n", recovered.cuts)
}

pub(super) fn detach(settings: SettingFlags) -> u8 {
    let config = match settings.load() {
        Ok(effective) => effective.config,
        Err(error) => return complain(error),
    };
    logging::start(&config.log);
    let host = Host::read().map_err(anyhow::Error::from);
    let result = host.and_then(|host| resume::detach(&config, &host.boot_id));
    match result {
        Ok(Some(records)) => print(&format!("detached; {records} events came into the spool\n")),
        Ok(None) => print("nothing is attached\n"),
        Err(error) => complain(format!("{error:#}")),
    }
}
