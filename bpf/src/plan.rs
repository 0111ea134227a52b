//! Which programs serve a selection of actions: decisions only, from facts that are passed in.

use std::collections::BTreeSet;

use weir_schema::syscalls::{self, Abi, Syscall};
use weir_schema::{CLASSES, Class, ClassId, action_by_id};

use crate::skel::types::config;

/// Slots of native and x32 calls below, of compat calls above; as in maps.h.
const COMPAT_SLOT: usize = 1024;

const CALL_RECORD: u8 = 1;
const CALL_ACTION: u8 = 2;
const CALL_TIMED: u8 = 4;
const CALL_CLOSE: u8 = 8;
const CALL_COMPAT: u8 = 16;
const CALL_ENTER: u8 = 32;
const CALL_PLACE: u8 = 64;

/// What the user wants to see.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Ids of the selected actions.
    pub actions: BTreeSet<u16>,
    /// Names of the calls of class `syscall`.
    pub calls: BTreeSet<&'static str>,
    /// Numbers that no table names too: calls of newer kernels, and of none.
    pub calls_without_name: bool,
    /// Durations of those calls too.
    pub timed: bool,
    /// Records of working directories and sessions, selected or not.
    pub places: bool,
}

impl Selection {
    /// Whether the call of this action is looked at for its context alone: an exec and a fork have tracepoints.
    fn needs_call(&self, action: u16) -> bool {
        self.places && PLACE_ACTIONS.contains(&action)
    }

    /// Whether records of this action are written.
    fn records(&self, action: u16) -> bool {
        self.actions.contains(&action) || CONTEXT_ACTIONS.contains(&action) || self.needs_call(action)
    }
}

/// Whether a program will run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It will run.
    Runs,
    /// It will run in a lesser form, and what that costs.
    Fallback(String),
    /// It will not, and why.
    Missing(String),
}

/// One program and what it serves.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Name of the program.
    pub program: String,
    /// What it attaches to.
    pub hook: String,
    /// `class.action` of what it serves.
    pub serves: Vec<String>,
    /// Whether it will run.
    pub state: State,
}

/// Facts about the kernel that decide.
pub trait Offers {
    /// Whether tp_btf programs can attach to this tracepoint.
    fn has_tracepoint(&self, name: &str) -> bool;
    /// Whether programs can call this function.
    fn has_kfunc(&self, name: &str) -> bool;
}

impl Offers for crate::btf::Kernel {
    fn has_tracepoint(&self, name: &str) -> bool {
        crate::btf::Kernel::has_tracepoint(self, name)
    }
    fn has_kfunc(&self, name: &str) -> bool {
        crate::btf::Kernel::has_kfunc(self, name)
    }
}

/// The programs to load and what to tell them.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Programs, with those that are missing.
    pub probes: Vec<Probe>,
    /// Program of each slot of `handlers`.
    pub handlers: Vec<(u32, String)>,
    /// Bits of each slot.
    pub calls: Box<[u8; 2048]>,
    /// Text arguments of each slot.
    pub texts: Box<[u8; 2048]>,
    /// Bits of the selected actions by class.
    pub actions: [u64; 8],
    /// Whether records come in exact order inside a ring (6.14 and later).
    pub exact_order: bool,
}

/// Programs on tracepoints: name, tracepoint, the actions they serve; those with none are context and always run.
const TRACEPOINTS: &[(&str, &str, &[u16])] = &[
    ("weir_exec", "sched_process_exec", &[0x0102]),
    ("weir_fork", "sched_process_fork", &[0x0103]),
    ("weir_process_exit", "sched_process_exit", &[0x0104]),
    ("weir_cgroup_mkdir", "cgroup_mkdir", &[0x0802]),
    ("weir_cgroup_rename", "cgroup_rename", &[0x0802]),
    ("weir_cgroup_rmdir", "cgroup_rmdir", &[0x0803]),
    ("weir_socket_state", "inet_sock_set_state", &[0x0302, 0x0303, 0x0307]),
    ("weir_socket_sent", "sock_send_length", &[0x0307]),
    ("weir_socket_received", "sock_recv_length", &[0x0307]),
    ("weir_uring_request", "io_uring_submit_req", &[0x0506]),
    ("weir_uring_sqe", "io_uring_submit_sqe", &[0x0506]),
];

/// Tracepoints by their older and their newer name: the one is not missed where the other is.
const RENAMED: &[(&str, &str)] = &[("io_uring_submit_sqe", "io_uring_submit_req")];

/// Programs on cgroup hooks, attached to the root of the hierarchy.
const CGROUP_PROGRAMS: &[(&str, &str, &[u16])] = &[("weir_socket_release", "cgroup/sock_release", &[0x0307])];

/// Actions that need the enter of close(2).
const CLOSE_ACTIONS: &[u16] = &[0x020d, 0x0307];

/// Records that the collector needs to know who is who, and which cgroup is a container's, selected or not.
pub const CONTEXT_ACTIONS: &[u16] = &[0x0102, 0x0103, 0x0104, 0x0802, 0x0803];
/// The same for working directories and sessions.
pub const PLACE_ACTIONS: &[u16] = &[0x010d, 0x010e];

fn action_name(id: u16) -> String {
    action_by_id(id).map_or_else(|| format!("{id:#x}"), |(class, action)| format!("{}.{}", class.name, action.name))
}

fn numbers_of(abi: Abi, name: &str) -> impl Iterator<Item = &'static Syscall> {
    // The 32-bit table names the calls with today's widths `setuid32`, `mmap2`: the same arguments in the same places,
    // or where the handler of the call looks for them.
    let names = match (abi, name) {
        (Abi::I386, "mmap") => vec!["mmap".to_owned(), "mmap2".to_owned()],
        (Abi::I386, "truncate" | "ftruncate") => vec![name.to_owned(), format!("{name}64")],
        (Abi::I386, _) => vec![name.to_owned(), format!("{name}32")],
        _ => vec![name.to_owned()],
    };
    names.into_iter().filter_map(move |n| syscalls::by_name(abi, &n))
}

/// The table of the machine's 32-bit callers, if it has one that weir knows.
fn compat_abi() -> Option<Abi> {
    cfg!(target_arch = "x86_64").then_some(Abi::I386)
}

/// Tables whose numbers are slots below [`COMPAT_SLOT`]: where x32 has a number of its own, no other table has it.
fn wide_abis() -> impl Iterator<Item = Abi> {
    [syscalls::native()].into_iter().chain(cfg!(target_arch = "x86_64").then_some(Abi::X32))
}

/// Whether a table knows the call of this slot.
fn has_name(slot: usize) -> bool {
    let named = |abi, slot: usize| syscalls::by_nr(abi, slot as u32).is_some();
    match slot.checked_sub(COMPAT_SLOT) {
        Some(slot) => compat_abi().is_some_and(|abi| named(abi, slot)),
        None => wide_abis().any(|abi| named(abi, slot)),
    }
}

impl Plan {
    /// Plans for a selection on a kernel; `programs` are the names in the object, `refused` those the verifier refused.
    pub fn new(selection: &Selection, kernel: &dyn Offers, programs: &BTreeSet<String>, refused: &[String]) -> Plan {
        let mut plan = Plan {
            probes: vec![],
            handlers: vec![],
            calls: Box::new([0; 2048]),
            texts: Box::new([0; 2048]),
            actions: [0; 8],
            exact_order: kernel.has_kfunc("bpf_local_irq_save"),
        };
        let actions = CLASSES.iter().flat_map(|class| class.actions).map(|action| action.id);
        for id in actions.filter(|id| selection.records(*id)) {
            plan.actions[usize::from(id >> 8) & 7] |= 1 << (id & 63);
        }
        let usable = |name: &str| programs.contains(name) && !refused.iter().any(|r| r == name);
        plan.add_tracepoints(selection, kernel, &usable);
        plan.add_handlers(selection, &usable);
        plan.add_records(selection);
        plan.add_entries(selection, kernel, &usable);
        plan.mark_twins();
        plan
    }

    fn add_tracepoints(&mut self, selection: &Selection, kernel: &dyn Offers, usable: &dyn Fn(&str) -> bool) {
        for (program, tracepoint, actions) in TRACEPOINTS {
            if !actions.iter().any(|a| selection.records(*a)) {
                continue;
            }
            let twin = RENAMED.iter().find_map(|(older, newer)| match *tracepoint {
                t if t == *older => Some(*newer),
                t if t == *newer => Some(*older),
                _ => None,
            });
            if !kernel.has_tracepoint(tracepoint) && twin.is_some_and(|t| kernel.has_tracepoint(t)) {
                continue;
            }
            let state = if !kernel.has_tracepoint(tracepoint) {
                State::Missing(format!("this kernel has no tracepoint {tracepoint}"))
            } else if !usable(program) {
                State::Missing("the kernel's verifier refused it".into())
            } else if !self.exact_order && *tracepoint == "inet_sock_set_state" {
                State::Fallback("interrupts can overtake: records are sorted below the watermark".into())
            } else {
                State::Runs
            };
            self.add(program, &format!("tp_btf/{tracepoint}"), actions, state);
        }
        for (program, hook, actions) in CGROUP_PROGRAMS {
            if actions.iter().any(|a| selection.actions.contains(a)) {
                let state = if usable(program) { State::Runs } else { State::Missing("the kernel refused it".into()) };
                self.add(program, hook, actions, state);
            }
        }
        let running = [0x0101].into_iter().filter(|id| selection.actions.contains(id));
        self.add("weir_tasks", "iter/task", &running.collect::<Vec<u16>>(), State::Runs);
        if usable(crate::own::PROGRAM) {
            self.add(crate::own::PROGRAM, "iter/task", &[], State::Runs);
        }
    }

    fn add(&mut self, program: &str, hook: &str, actions: &[u16], state: State) {
        let serves = actions.iter().map(|a| action_name(*a)).collect();
        self.probes.push(Probe { program: program.into(), hook: hook.into(), serves, state });
    }

    fn add_handlers(&mut self, selection: &Selection, usable: &dyn Fn(&str) -> bool) {
        let selected = |class: &Class, call: &str| -> Vec<u16> {
            let actions = class.actions.iter().filter(|a| a.calls.contains(&call));
            actions.map(|a| a.id).filter(|id| selection.actions.contains(id) || selection.needs_call(*id)).collect()
        };
        let calls: BTreeSet<(usize, &str)> = CLASSES
            .iter()
            .enumerate()
            .flat_map(|(i, c)| c.actions.iter().flat_map(move |a| a.calls.iter().map(move |call| (i, *call))))
            .collect();
        for (class, call) in calls {
            let actions = selected(CLASSES[class], call);
            if actions.is_empty() {
                continue;
            }
            let program = format!("call_{call}");
            let native: Vec<_> = numbers_of(syscalls::native(), call).map(|s| s.nr as usize).collect();
            let compat =
                compat_abi().into_iter().flat_map(|abi| numbers_of(abi, call)).map(|s| COMPAT_SLOT + s.nr as usize);
            let state = if native.is_empty() {
                State::Missing("this machine has no such system call".into())
            } else if !usable(&program) {
                State::Missing("the kernel's verifier refused it".into())
            } else {
                State::Runs
            };
            if state == State::Runs {
                let place = if actions.iter().any(|action| selection.needs_call(*action)) { CALL_PLACE } else { 0 };
                for slot in native.into_iter().chain(compat) {
                    self.calls[slot] |= CALL_ACTION | place;
                    self.handlers.push((slot as u32, program.clone()));
                }
            }
            self.add(&program, &format!("tp_btf/sys_exit ({call})"), &actions, state);
        }
        self.add_socketcall(selection, usable);
    }

    /// 32-bit programs of x86 make all socket calls through one.
    fn add_socketcall(&mut self, selection: &Selection, usable: &dyn Fn(&str) -> bool) {
        let network = CLASSES[ClassId::Network.index()].actions.iter();
        let actions: Vec<u16> =
            network.filter(|a| !a.calls.is_empty() && selection.actions.contains(&a.id)).map(|a| a.id).collect();
        let call = compat_abi().and_then(|abi| syscalls::by_name(abi, "socketcall"));
        let Some(call) = call.filter(|_| !actions.is_empty()) else { return };
        let program = "call_socketcall";
        let state = if usable(program) {
            let slot = COMPAT_SLOT + call.nr as usize;
            self.calls[slot] |= CALL_ACTION;
            self.handlers.push((slot as u32, program.into()));
            State::Runs
        } else {
            State::Missing("the kernel's verifier refused it".into())
        };
        self.add(program, "tp_btf/sys_exit (socketcall, 32-bit)", &actions, state);
    }

    fn add_records(&mut self, selection: &Selection) {
        let timed = if selection.timed { CALL_TIMED } else { 0 };
        for name in &selection.calls {
            let wide = wide_abis().flat_map(|abi| numbers_of(abi, name)).map(|s| (s.nr as usize, s));
            let compat = compat_abi()
                .into_iter()
                .flat_map(|abi| numbers_of(abi, name))
                .map(|s| (COMPAT_SLOT + s.nr as usize, s));
            for (slot, call) in wide.chain(compat) {
                self.calls[slot] |= CALL_RECORD | timed;
                self.texts[slot] = call.text_mask();
            }
        }
        if selection.calls_without_name {
            let unnamed = (0..self.calls.len()).filter(|slot| !has_name(*slot));
            unnamed.for_each(|slot| self.calls[slot] |= CALL_RECORD | timed);
        }
    }

    fn add_entries(&mut self, selection: &Selection, kernel: &dyn Offers, usable: &dyn Fn(&str) -> bool) {
        let closes: Vec<u16> = CLOSE_ACTIONS.iter().copied().filter(|a| selection.actions.contains(a)).collect();
        if !closes.is_empty() {
            let native = numbers_of(syscalls::native(), "close").map(|s| s.nr as usize);
            let compat = compat_abi().into_iter().flat_map(|abi| numbers_of(abi, "close"));
            for slot in native.chain(compat.map(|s| COMPAT_SLOT + s.nr as usize)) {
                self.calls[slot] |= CALL_CLOSE;
            }
        }
        let exits = self.calls.iter().any(|bits| bits & (CALL_RECORD | CALL_ACTION) != 0);
        let enters = self.calls.iter().any(|bits| bits & (CALL_TIMED | CALL_CLOSE) != 0);
        let state = |program: &str, tracepoint: &str| {
            if kernel.has_tracepoint(tracepoint) && usable(program) {
                State::Runs
            } else {
                State::Missing(format!("no program can attach to {tracepoint}"))
            }
        };
        if exits {
            let no_call = selection.calls.is_empty() && !selection.calls_without_name;
            let serves: &[u16] = if no_call { &[] } else { &[0x0601] };
            self.add("weir_exit", "tp_btf/sys_exit", serves, state("weir_exit", "sys_exit"));
        }
        if enters {
            self.add("weir_enter", "tp_btf/sys_enter", &closes, state("weir_enter", "sys_enter"));
        }
    }

    /// Tells the native slot what its compat twin needs: the program looks at the native slot first.
    fn mark_twins(&mut self) {
        for slot in 0..COMPAT_SLOT {
            let twin = self.calls[COMPAT_SLOT + slot];
            if twin != 0 {
                self.calls[slot] |= CALL_COMPAT;
            }
            if (self.calls[slot] | twin) & (CALL_TIMED | CALL_CLOSE) != 0 {
                self.calls[slot] |= CALL_ENTER;
            }
        }
    }

    /// Names of the programs to load.
    pub fn programs(&self) -> BTreeSet<&str> {
        let runs = self.probes.iter().filter(|p| !matches!(p.state, State::Missing(_)));
        runs.map(|p| p.program.as_str()).collect()
    }

    pub(crate) fn fill(&self, config: &mut config) {
        config.actions = self.actions;
        config.calls = *self.calls;
        config.texts = *self.texts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel that has everything.
    struct Everything;

    impl Offers for Everything {
        fn has_tracepoint(&self, _: &str) -> bool {
            true
        }
        fn has_kfunc(&self, _: &str) -> bool {
            true
        }
    }

    fn recorded(selection: &Selection) -> BTreeSet<usize> {
        let plan = Plan::new(selection, &Everything, &BTreeSet::new(), &[]);
        (0..plan.calls.len()).filter(|slot| plan.calls[*slot] & CALL_RECORD != 0).collect()
    }

    #[test]
    fn a_number_is_recorded_by_its_name_or_because_it_has_none() {
        let getppid = syscalls::by_name(syscalls::native(), "getppid").expect("a call").nr as usize;
        let named = Selection { calls: BTreeSet::from(["getppid"]), ..Selection::default() };
        assert!(recorded(&named).contains(&getppid) && !recorded(&named).contains(&900));
        let all = Selection { calls_without_name: true, ..named };
        let recorded = recorded(&all);
        assert!(recorded.contains(&getppid) && recorded.contains(&900) && recorded.contains(&(COMPAT_SLOT + 900)));
        // Named, and not asked for: `--syscall all --except-syscall openat`.
        for name in ["openat", "execve"] {
            for abi in wide_abis() {
                let nr = syscalls::by_name(abi, name).expect("a call").nr as usize;
                assert!(!recorded.contains(&nr), "{name} of {abi:?}");
            }
        }
    }

    #[test]
    fn x32_calls_with_a_number_of_their_own_are_recorded_by_their_name() {
        let Some(call) = wide_abis().nth(1).and_then(|abi| syscalls::by_name(abi, "execve")) else { return };
        assert!(call.nr >= 512, "{}", call.nr);
        let named = Selection { calls: BTreeSet::from(["execve"]), ..Selection::default() };
        assert!(recorded(&named).contains(&(call.nr as usize)));
    }
}
