//! What the programs were told, and the change of it while they run.

use anyhow::{Context, Result};
use weir_bpf::{Filters, Lists, Loaded, Settings};

use super::trees::{descendants, follow_all, tasks};
use crate::config::Filter;
use crate::pipeline::Pipeline;

/// The settings in force.
pub struct InForce {
    settings: Settings,
}

impl InForce {
    /// What was loaded.
    pub fn new(settings: Settings) -> InForce {
        InForce { settings }
    }

    /// What the programs are told now.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Puts other filters in force. What the old ones and the new ones let through is never lost on the way.
    ///
    /// # Errors
    /// What the kernel refuses; the filters before are in force again then.
    pub fn change(&mut self, loaded: &mut Loaded, pipeline: &mut Pipeline, to: Filters) -> Result<()> {
        let from = self.settings.filters.clone();
        if let Err(error) = change(loaded, pipeline, &from, &to) {
            if let Err(error) = change(loaded, pipeline, &to, &from) {
                tracing::error!("the filters before could not be put back: {error:#}");
            }
            return Err(error).context("change the filters");
        }
        pipeline.select_paths(&to.paths.only, &to.paths.except);
        self.settings.filters = to;
        Ok(())
    }
}

fn change(loaded: &mut Loaded, pipeline: &mut Pipeline, from: &Filters, to: &Filters) -> Result<()> {
    if from.containers == to.containers && from.container_ids == to.container_ids {
        return change_lists(loaded, from, to);
    }
    // The kernel does not ask for containers by name while it is told of them anew.
    let without = Filters { container_ids: Lists::default(), ..to.clone() };
    change_lists(loaded, from, &without)?;
    pipeline.select_containers(Filter::containers(to));
    tell_cgroups(loaded, pipeline);
    change_lists(loaded, &without, to)
}

/// Tells the programs what is new of cgroups.
pub fn tell_cgroups(loaded: &Loaded, pipeline: &mut Pipeline) {
    for verdict in pipeline.take_verdicts() {
        if verdict.gone {
            loaded.forget_cgroup(verdict.cgroup);
        } else if let Err(error) = loaded.judge_cgroup(verdict.cgroup, verdict.inside, verdict.wanted) {
            // What the kernel was not told of, it lets through, and the collector judges.
            tracing::debug!(cgroup = verdict.cgroup, "the kernel was not told of a cgroup: {error}");
        }
    }
}

fn change_lists(loaded: &mut Loaded, from: &Filters, to: &Filters) -> Result<()> {
    if from.trees == to.trees {
        return Ok(loaded.change_filters(from, to)?);
    }
    loaded.grow_trees(true);
    let changed = follow_all(loaded, to).and_then(|()| Ok(loaded.change_filters(from, to)?));
    let left = changed.and_then(|()| leave(loaded, from, to));
    loaded.grow_trees(false);
    left
}

/// Takes processes out of subtrees that are not asked for any more. One whose parents have ended does not show where it came
/// from, and stays until it ends, as long as there is such a filter.
fn leave(loaded: &Loaded, from: &Filters, to: &Filters) -> Result<()> {
    let there = loaded.tasks()?;
    let there = tasks(&there);
    for (before, after, except) in
        [(&from.trees.only, &to.trees.only, false), (&from.trees.except, &to.trees.except, true)]
    {
        if after.is_empty() {
            loaded.unfollow_all(except)?;
            continue;
        }
        let stay = descendants(&there, after);
        let gone = descendants(&there, before);
        gone.difference(&stay).try_for_each(|pid| loaded.unfollow(*pid, except))?;
    }
    Ok(())
}
