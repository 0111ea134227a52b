//! One test per action of the definition: what the trigger did, success and failure, is a row with every column right.

use std::sync::OnceLock;

use weir_schema::{CLASSES, Trigger};
use weir_tests::capture::{Capture, Row, text};
use weir_tests::compare::{check, find};
use weir_tests::skip::{in_vm, skipped};

/// Parts of the trigger that act for the loop over the actions.
const PARTS: &[&str] = &["process", "file", "network", "memory", "kernel", "syscall"];

/// One run for all actions: starting takes most of the time.
fn capture() -> &'static Capture {
    static CAPTURE: OnceLock<Capture> = OnceLock::new();
    let capture = CAPTURE.get_or_init(|| {
        let command: Vec<&str> = [env!("CARGO_BIN_EXE_trigger")].iter().chain(PARTS).copied().collect();
        let on_request = "default,network.sendto,network.recvfrom,process.chdir,process.setsid";
        let flags = ["--class", on_request, "--syscall", "getppid,openat"];
        Capture::of(&flags, &command)
    });
    assert!(capture.status.success(), "{}\n{}", capture.status, capture.stderr);
    capture
}

fn facts_of(name: &str) -> Vec<&'static Row> {
    capture().facts.iter().filter(|f| text(f, "action") == name).collect()
}

/// Every step of the action is exactly one row, right in every column.
fn check_rows(name: &str) {
    check(capture(), &facts_of(name));
}

/// The steps cover the definition: every call of the action, success and failure where it has a result.
fn check_cover(name: &str) {
    let (_, action) = find(name);
    let facts = facts_of(name);
    assert!(!facts.is_empty(), "{name} has no trigger");
    let machine_only = matches!(action.trigger, Trigger::Machine(_)) && !in_vm();
    let ok = |f: &&Row| f["ret"].as_i64().is_some_and(|r| !(-4095..0).contains(&r));
    if action.sets.contains(&"ret") {
        assert!(machine_only || facts.iter().any(ok), "{name}: no success is triggered");
        assert!(facts.iter().any(|f| !ok(f)), "{name}: no failure is triggered");
    }
    for call in action.calls {
        assert!(facts.iter().any(|f| text(f, "call") == *call), "{name}: {call} is not triggered");
    }
    if let (true, Trigger::Machine(reason)) = (machine_only, action.trigger) {
        skipped(&format!("success of {name}"), reason);
    }
}

/// A test per action, and the table of them.
macro_rules! actions {
    ($($test:ident = $action:literal;)*) => {
        $(#[test]
        fn $test() {
            check_cover($action);
            check_rows($action);
        })*
        const TRIGGERED: &[&str] = &[$($action),*];
    };
}

actions! {
    process_exec = "process.exec";
    process_fork = "process.fork";
    process_exit = "process.exit";
    process_setuid = "process.setuid";
    process_setgid = "process.setgid";
    process_setgroups = "process.setgroups";
    process_capset = "process.capset";
    process_setns = "process.setns";
    process_unshare = "process.unshare";
    process_ptrace = "process.ptrace";
    process_kill = "process.kill";
    process_chdir = "process.chdir";
    process_setsid = "process.setsid";
    file_open = "file.open";
    file_unlink = "file.unlink";
    file_rmdir = "file.rmdir";
    file_rename = "file.rename";
    file_link = "file.link";
    file_symlink = "file.symlink";
    file_mkdir = "file.mkdir";
    file_chmod = "file.chmod";
    file_chown = "file.chown";
    file_truncate = "file.truncate";
    file_mount = "file.mount";
    file_umount = "file.umount";
    file_mount_setattr = "file.mount_setattr";
    file_pivot_root = "file.pivot_root";
    file_close = "file.close";
    network_connect = "network.connect";
    network_established = "network.established";
    network_refused = "network.refused";
    network_accept = "network.accept";
    network_bind = "network.bind";
    network_listen = "network.listen";
    network_close = "network.close";
    network_sendto = "network.sendto";
    network_recvfrom = "network.recvfrom";
    memory_mmap = "memory.mmap";
    memory_mprotect = "memory.mprotect";
    memory_memfd_create = "memory.memfd_create";
    memory_process_vm_writev = "memory.process_vm_writev";
    kernel_module_load = "kernel.module_load";
    kernel_module_unload = "kernel.module_unload";
    kernel_bpf_load = "kernel.bpf_load";
    kernel_perf_event_open = "kernel.perf_event_open";
    kernel_kexec_load = "kernel.kexec_load";
    kernel_io_uring_submit = "kernel.io_uring_submit";
    kernel_kexec_file_load = "kernel.kexec_file_load";
    syscall_call = "syscall.call";
}

/// Actions whose test is one of its own, in another file.
const ELSEWHERE: &[&str] = &["process.running", "container.start", "container.die"];

#[test]
fn every_action_of_the_definition_has_a_trigger_and_no_trigger_is_left_over() {
    let defined: Vec<String> = CLASSES
        .iter()
        .flat_map(|c| c.actions.iter().map(move |a| (c, a)))
        .filter(|(_, a)| a.trigger != Trigger::Collector)
        .map(|(c, a)| format!("{}.{}", c.name, a.name))
        .collect();
    let tested = || TRIGGERED.iter().chain(ELSEWHERE);
    let missing: Vec<_> = defined.iter().filter(|d| !tested().any(|t| t == d)).collect();
    assert!(missing.is_empty(), "actions without a trigger: {missing:?}");
    assert!(tested().all(|t| defined.iter().any(|d| d == t)), "a trigger of no action");
}

#[test]
fn an_exec_fails_for_the_reasons_that_were_made() {
    let errors: Vec<_> = facts_of("process.exec").iter().filter_map(|f| f["expect"]["error"].as_str()).collect();
    for error in ["ENOENT", "EACCES", "ENOEXEC"] {
        assert!(errors.contains(&error), "{error} is not among {errors:?}");
    }
}

#[test]
fn only_the_close_of_the_last_descriptor_is_a_row() {
    let closes = capture().of_action("file.close").filter(|r| text(r, "path").ends_with("/files/closed"));
    assert_eq!(closes.count(), 1);
}
