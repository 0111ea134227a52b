//! What the configuration says of the context of rows.

use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use crate::config::Config;
use crate::context::{Context, Limits};
use crate::host::Hierarchy;
use crate::names::{self, Names, Sockets};
use crate::pipeline::Pipeline;
use crate::privilege::{self, Role};

/// Nothing known yet.
pub fn of(config: &Config) -> Context {
    let limits = Limits {
        processes_max: config.processes_max,
        grace_ns: i64::try_from(config.process_grace.as_nanos()).unwrap_or(i64::MAX),
        ancestors_max: config.ancestors_max,
        bytes_max: usize::try_from(config.context_bytes_max).unwrap_or(usize::MAX),
    };
    Context::new(limits, !config.context)
}

/// Users, and the cgroups that are there now.
pub fn list(pipeline: &mut Pipeline, hierarchy: &Hierarchy) {
    for listed in hierarchy.cgroups() {
        pipeline.cgroup(listed.id, listed.path.as_os_str().as_bytes(), listed.is_of_root);
    }
    pipeline.know_users();
    pipeline.tend(Instant::now());
}

/// Where container runtimes are asked: the configured sockets, else those of the usual places.
pub fn sockets(config: &Config) -> Sockets {
    if config.docker_sockets.is_empty() && config.cri_sockets.is_empty() {
        return Sockets::find();
    }
    Sockets { docker: config.docker_sockets.clone(), cri: config.cri_sockets.clone() }
}

/// Starts the look-ups as soon as there is a socket.
pub fn names(config: &Config) -> Box<dyn Fn() -> Option<Names> + Send> {
    let config = config.clone();
    let limits =
        names::Limits { lookups_per_second_max: config.container_lookups_per_second_max, ..names::Limits::default() };
    Box::new(move || {
        let sockets = sockets(&config);
        if sockets.is_empty() {
            return None;
        }
        // It may be started before the rights are given up.
        let started = privilege::start_as(Role::Confined, || Names::start(sockets, limits.clone()));
        let started = started.map_err(anyhow::Error::from).and_then(|names| Ok(names?));
        started.inspect_err(|error| tracing::warn!("containers have no names: {error:#}")).ok()
    })
}
