//! The running kernel's verifier accepts every program, for every selection.

use std::collections::BTreeSet;

use weir_bpf::{Filters, Loaded, Selection, Settings};
use weir_schema::CLASSES;

/// Everything that can be selected, on this machine.
fn everything() -> Settings {
    let cpus = std::thread::available_parallelism().expect("CPUs").get();
    Settings {
        selection: Selection {
            actions: CLASSES.iter().filter(|c| c.has_record()).flat_map(|c| c.actions).map(|a| a.id).collect(),
            calls: BTreeSet::from(["getppid", "openat"]),
            calls_without_name: true,
            timed: true,
            places: true,
        },
        filters: Filters::default(),
        ring_bytes: 1 << 20,
        lifecycle_bytes: 1 << 17,
        args_bytes_max: 32767,
        env: false,
        followed_max: 1024,
        possible_cpus: cpus,
        online_cpus: (0..cpus).collect(),
        cgroup_root: Some("/sys/fs/cgroup/unified".into()),
        containers: weir_bpf::ContainerHierarchy::V2,
    }
}

#[test]
fn every_program_is_accepted_by_the_running_kernel() {
    let start = std::time::Instant::now();
    let loaded = Loaded::load(&everything()).expect("load");
    for (program, log) in &loaded.refused {
        println!("refused: {program}\n{log}");
    }
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    println!("loaded in {:?}, {}.{:03} s of them on the CPU", start.elapsed(), cpu.tv_sec, cpu.tv_nsec / 1_000_000);
    for probe in &loaded.plan.probes {
        println!("{:28} {:40} {:?} {:?}", probe.program, probe.hook, probe.serves, probe.state);
    }
    assert!(loaded.refused.is_empty());
}
