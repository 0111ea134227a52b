//! A reload (by the control socket, or SIGHUP): the configuration is read again, and filters and sinks change while events come. Nothing is detached, and nothing
//! is lost on the way. What cannot be put in force is left as it was, with a sentence that says why.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use crossbeam_channel::Receiver;
use weir_bpf::Filters;
use weir_sinks::{Identity, LaneOptions, LaneReport, Progress};

use super::orders::Orders;
use super::sinks::{self, Made};
use super::stop::Stop;
use crate::config::{Config, KEYS, SinkConfig, effective_json};
use crate::control::ReloadRequest;
use crate::helper::{Given, Helper, make_directories};
use crate::host::Host;
use crate::operate::{Board, Service};
use crate::outlet::{Edit, Edited};
use crate::pipeline::Pace;
use crate::spool::Spooled;

/// Sections of the settings that a reload puts in force.
const SECTIONS: &[&str] = &["filter", "parquet", "kafka", "nats", "stdout"];

/// Reads the configuration again; from this text in place of its file, if there is one.
pub type Reread = Box<dyn Fn(Option<String>) -> Result<Config> + Send>;

/// What the thread works with.
pub struct Reload {
    /// Reads the configuration again.
    pub reread: Reread,
    /// The settings in force.
    pub config: Config,
    /// The machine.
    pub host: Host,
    /// Whose rows.
    pub identity: Identity,
    /// Bits of each class's selected actions.
    pub actions: [u64; 8],
    /// Asked when the only reader leaves.
    pub stop: Option<Stop>,
    /// The command that is followed.
    pub command: Option<u32>,
    /// The filters in force.
    pub filters: Filters,
    /// To the reader.
    pub orders: Orders,
    /// Where others see what is in force.
    pub board: Arc<Board>,
    /// The log of the run.
    pub spooled: Option<Spooled>,
    /// Opens what this process has no right to any more.
    pub helper: Option<Helper>,
}

/// Lanes that ended before the run did.
pub type Retired = Arc<Mutex<Vec<LaneReport>>>;

/// Starts the thread that reloads when it is asked to.
///
/// # Errors
/// When the system refuses a thread.
pub fn start(reload: Reload, asked: Receiver<ReloadRequest>) -> std::io::Result<Retired> {
    let retired = Retired::default();
    let work = Work { on: reload, retired: Arc::clone(&retired), stands: HashMap::new(), given: Given::default() };
    thread::Builder::new().name("reload".into()).spawn(move || work.run(&asked))?;
    Ok(retired)
}

struct Work {
    on: Reload,
    retired: Retired,
    /// What sinks that went left at their destinations.
    stands: HashMap<String, Box<Progress>>,
    /// What the helper opened.
    given: Given,
}

/// What becomes of the sinks.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    goes: Vec<String>,
    changes: Vec<SinkConfig>,
    comes: Vec<SinkConfig>,
}

impl Plan {
    fn of(now: &[SinkConfig], next: &[SinkConfig]) -> Plan {
        let named = |list: &[SinkConfig], name: &str| list.iter().find(|sink| sink.name == name).cloned();
        let mut plan = Plan::default();
        for sink in now {
            match named(next, &sink.name) {
                None => plan.goes.push(sink.name.clone()),
                Some(same) if same == *sink => {}
                // Another type, or another end of the pipeline, is another sink.
                Some(other) if other.kind() != sink.kind() => plan.goes.push(sink.name.clone()),
                Some(other) => plan.changes.push(other),
            }
        }
        let is_new = |sink: &&SinkConfig| named(now, &sink.name).is_none_or(|old| old.kind() != sink.kind());
        plan.comes = next.iter().filter(is_new).cloned().collect();
        plan
    }
}

impl Work {
    fn run(mut self, asked: &Receiver<ReloadRequest>) {
        for request in asked {
            Service::reloading();
            let result = self.reload().map_err(|error| self.explained(error));
            Service::ready();
            self.on.board.reloaded(result.is_ok());
            let answer = match result {
                Ok(done) if done.is_empty() => Ok("nothing has changed".to_owned()),
                Ok(done) => Ok(done.join("; ")),
                Err(error) => Err(format!("the configuration was not put in force: {error:#}")),
            };
            match &answer {
                Ok(done) => tracing::info!("the configuration was read again: {done}"),
                Err(error) => tracing::error!("{error}"),
            }
            if let Some(waits) = request.answer {
                // Who asked may have left.
                let _ = waits.send(answer);
            }
        }
    }

    /// Returns what was done.
    fn reload(&mut self) -> Result<Vec<String>> {
        self.given = self.on.helper.as_mut().map(Helper::read).transpose()?.unwrap_or_default();
        let new = (self.on.reread)(self.given.text.take())?;
        if self.on.helper.is_none() {
            make_directories(&new)?;
        }
        let mut done = vec![];
        let stays = needs_restart(&self.on.config, &new);
        if !stays.is_empty() {
            tracing::warn!("only a restart puts these in force: {}", stays.join(", "));
            done.push(format!("only a restart puts these in force: {}", stays.join(", ")));
        }
        let next = with_sections_of(&self.on.config, new);
        let filters = self.filters(&next)?;
        let plan = Plan::of(&self.on.config.sinks, &next.sinks);
        // What can fail fails before anything has changed.
        let comes: Vec<(SinkConfig, Made)> =
            plan.comes.iter().map(|sink| Ok((sink.clone(), self.make(&next, sink)?))).collect::<Result<_>>()?;
        self.change_filters(filters, &mut done)?;
        self.on.config.filter = next.filter.clone();
        for name in plan.goes {
            self.remove(&name)?;
            if let Some(spooled) = &self.on.spooled {
                spooled.shared.forget(&name);
            }
            done.push(format!("sink {name} is gone"));
        }
        for sink in plan.changes {
            self.change(&next, &sink)?;
            done.push(format!("sink {} has changed", sink.name));
        }
        for (sink, made) in comes {
            self.add(&sink, made)?;
            done.push(format!("sink {} is new", sink.name));
        }
        self.on.config = next;
        self.on.board.set_config(effective_json(&self.on.config));
        Ok(done)
    }

    /// Without the helper, what is refused may be a matter of rights.
    fn explained(&self, error: anyhow::Error) -> anyhow::Error {
        let is_refused = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        };
        if self.on.config.reload || !error.chain().any(is_refused) {
            return error;
        }
        error.context(
            "this weir runs with `reload = false`, so without the process that opens what only root can: restart it",
        )
    }

    fn filters(&self, next: &Config) -> Result<Filters> {
        let mut filter = next.filter.clone();
        // A process that is followed already may have ended, which is no mistake of who wrote the configuration.
        let is_there = |pid: &u32| Path::new("/proc").join(pid.to_string()).exists();
        let before: HashSet<u32> =
            self.on.filters.trees.only.iter().chain(&self.on.filters.trees.except).copied().collect();
        filter.follow.retain(|pid| is_there(pid) || !before.contains(pid));
        filter.except_tree.retain(|pid| is_there(pid) || !before.contains(pid));
        if filter.follow.is_empty() && !next.filter.follow.is_empty() {
            bail!(
                "filter.follow: none of its processes is there any more, and without it everything would be recorded"
            );
        }
        let mut filters = filter.resolve(self.on.host.mounts.cgroup2.as_deref())?;
        filters.trees.only.extend(self.on.command);
        Ok(filters)
    }

    fn change_filters(&mut self, to: Filters, done: &mut Vec<String>) -> Result<()> {
        // The same path can be another cgroup by now.
        let has_cgroups = !(to.cgroups.only.is_empty() && to.cgroups.except.is_empty());
        let is_new = to != self.on.filters;
        if is_new || has_cgroups {
            self.on.orders.filters(to.clone())?;
            self.on.filters = to;
        }
        if is_new {
            done.push("the filters have changed".to_owned());
        }
        Ok(())
    }

    fn run_of<'a>(&'a self, config: &'a Config) -> sinks::Run<'a> {
        let on = &self.on;
        let stop = on.stop.clone();
        let given = &self.given;
        sinks::Run { config, host: &on.host, identity: &on.identity, actions: &on.actions, stop, given }
    }

    fn make(&self, config: &Config, sink: &SinkConfig) -> Result<Made> {
        self.run_of(config).make(sink)
    }

    /// Whether all cuts are in a log, where a sink finds what came while it was not there.
    fn has_log(&self) -> bool {
        self.on.spooled.as_ref().is_some_and(|spooled| spooled.commits.is_some())
    }

    fn pace(&self, sink: &str) -> Pace {
        let config = &self.on.config;
        let found = config.sinks.iter().find(|s| s.name == sink);
        found.map_or(Pace::Drain, |sink| self.run_of(config).pace(sink.kind()))
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        let Edited::Removed(lane) = self.on.orders.lanes(self.pace(name), Edit::Remove(name.to_owned()))? else {
            bail!("sink {name} could not be removed");
        };
        self.on.board.remove_lane(name);
        self.retire(*lane);
        self.on.config.sinks.retain(|sink| sink.name != name);
        Ok(())
    }

    /// Stops a lane, and remembers what it left.
    fn retire(&mut self, lane: weir_sinks::Lane) {
        let report = lane.stop(Instant::now() + self.on.config.stop_wait);
        if let Some(stands) = &report.stands {
            self.stands.insert(report.name.clone(), stands.clone());
        }
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).push(report);
    }

    /// Limits of a lane are none of what a reload changes: those of the settings in force are those of the next ones.
    fn options(&self, sink: &SinkConfig) -> LaneOptions {
        self.run_of(&self.on.config).options(sink)
    }

    fn add(&mut self, sink: &SinkConfig, made: Made) -> Result<()> {
        let stands = if self.has_log() && made.pace != Pace::Drain { None } else { self.stands.remove(&sink.name) };
        let options = self.options(sink);
        let edit = Edit::Add { options, sink: made.sink, start: sink.start, stands };
        let Edited::Added(watch) = self.on.orders.lanes(made.pace, edit)? else {
            bail!("sink {} could not be added", sink.name);
        };
        self.on.board.add_lane(watch);
        self.on.config.sinks.push(sink.clone());
        Ok(())
    }

    /// The sink of before ends before the new one begins: two would not agree on the files of a directory.
    fn change(&mut self, next: &Config, sink: &SinkConfig) -> Result<()> {
        let before = self.on.config.sinks.iter().find(|s| s.name == sink.name).cloned();
        let before = before.with_context(|| format!("sink {} is not there", sink.name))?;
        let pace = self.pace(&sink.name);
        if self.has_log() && pace != Pace::Drain {
            self.remove(&sink.name)?;
            let (made, settings, failed) = self.make_or_go_back(next, sink, &before)?;
            self.add(settings, made)?;
            return failed.map_or(Ok(()), Err);
        }
        let edit = Edit::Replace(sink.name.clone(), self.options(sink));
        let Edited::Replaced(lane, seat, watch) = self.on.orders.lanes(pace, edit)? else {
            bail!("sink {} could not be changed", sink.name);
        };
        self.on.board.remove_lane(&sink.name);
        self.on.board.add_lane(watch);
        self.retire(*lane);
        let stands = self.stands.remove(&sink.name);
        match self.make_or_go_back(next, sink, &before) {
            Ok((made, settings, failed)) => {
                seat.take(made.sink, stands.as_deref())?;
                self.on.config.sinks.iter_mut().filter(|s| s.name == settings.name).for_each(|s| *s = settings.clone());
                failed.map_or(Ok(()), Err)
            }
            Err(error) => {
                seat.give_up(&format!("{error:#}"));
                Err(error)
            }
        }
    }

    /// The sink with its new settings, or with those before and the error that the new ones gave.
    fn make_or_go_back<'a>(
        &self,
        next: &Config,
        sink: &'a SinkConfig,
        before: &'a SinkConfig,
    ) -> Result<(Made, &'a SinkConfig, Option<anyhow::Error>)> {
        match self.make(next, sink) {
            Ok(made) => Ok((made, sink, None)),
            Err(error) => {
                let made = self.make(&self.on.config, before).with_context(|| format!("{error:#}; and going back"))?;
                let error = error.context(format!("sink {} goes on as before", sink.name));
                Ok((made, before, Some(error)))
            }
        }
    }
}

/// The settings in force, with the sections of `new` that a reload can put in force.
fn with_sections_of(now: &Config, new: Config) -> Config {
    let Config { filter, sinks, parquet, kafka, nats, stdout, .. } = new;
    Config { filter, sinks, parquet, kafka, nats, stdout, ..now.clone() }
}

/// Names of other settings that differ.
fn needs_restart(now: &Config, new: &Config) -> Vec<&'static str> {
    let others = KEYS.iter().filter(|key| !SECTIONS.contains(&key.section()) && !key.only_in_tables());
    others.filter(|key| (key.get)(now) != (key.get)(new)).map(|key| key.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sinks(toml: &str) -> Config {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), toml).expect("written");
        let sources = crate::config::Sources { file: Some(file.path().into()), ..Default::default() };
        sources.load().expect("valid").config
    }

    #[test]
    fn a_sink_goes_comes_or_changes_by_its_name_and_another_type_is_another_sink() {
        let parquet =
            |name: &str, dir: &str| format!("[[sink]]\ntype = \"parquet\"\nname = \"{name}\"\ndir = \"{dir}\"\n");
        let nats = |name: &str| format!("[[sink]]\ntype = \"nats\"\nname = \"{name}\"\nservers = [\"nats://h\"]\n");
        let now =
            sinks(&[parquet("same", "a"), parquet("changed", "b"), parquet("gone", "c"), nats("x")].concat()).sinks;
        let next =
            sinks(&[parquet("same", "a"), parquet("changed", "z"), parquet("x", "d"), nats("new")].concat()).sinks;
        let plan = Plan::of(&now, &next);
        assert_eq!(plan.goes, ["gone", "x"]);
        assert_eq!(plan.changes.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["changed"]);
        assert_eq!(plan.comes.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["x", "new"]);
        assert_eq!(Plan::of(&now, &now), Plan::default());
    }

    #[test]
    fn only_filters_and_sinks_change_without_a_restart() {
        let now = sinks("[filter]\nonly_user = [\"root\"]\n");
        let new = sinks(
            "ring_bytes = \"1MiB\"\n[filter]\nonly_user = [\"1\"]\n[parquet]\ndir = \"x\"\n[spool]\ncommit_ms = 7\n",
        );
        assert_eq!(needs_restart(&now, &new), ["ring_bytes", "spool.commit_ms"]);
        let next = with_sections_of(&now, new.clone());
        assert_eq!((next.ring_bytes, &next.filter, &next.sinks), (now.ring_bytes, &new.filter, &new.sinks));
    }
}
