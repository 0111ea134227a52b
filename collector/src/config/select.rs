//! Names of classes, actions and system calls, resolved against the one definition.

use std::collections::BTreeSet;

use weir_schema::syscalls::{self, Abi};
use weir_schema::{CLASSES, Class, ClassId};

use super::Config;
use super::nearest::hint;

/// Stands for the classes that are on by themselves.
const DEFAULT: &str = "default";
/// Stands for every system call.
const ALL: &str = "all";

/// Names of one list that are looked for although they do not exist: each is compared with all that do.
const UNKNOWN_MAX: usize = 20;

/// What the probes are to record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Ids of the selected actions (`class << 8 | action`); those of class `loss` are always there.
    pub actions: BTreeSet<u16>,
    /// Names of the system calls of class `syscall`, as the tables of this machine's ABIs have them.
    pub calls: BTreeSet<&'static str>,
    /// Every system call was asked for: also those of a newer kernel, which have no name.
    pub calls_without_name: bool,
}

impl Config {
    /// Resolves classes and system calls.
    ///
    /// # Errors
    /// The key and a sentence, for each name that does not exist.
    pub fn selection(&self) -> Result<Selection, Vec<(&'static str, String)>> {
        let mut problems = Vec::new();
        let mut selection = Selection { actions: actions_of(class(ClassId::Loss)).collect(), ..Selection::default() };
        let by_default = [DEFAULT.to_owned()];
        let names = if self.classes.is_empty() { &by_default[..] } else { &self.classes };
        let found = resolve("classes", names.iter(), &mut problems, actions_named);
        selection.actions.extend(found.into_iter().flatten());
        self.select_calls(&mut selection, &mut problems);
        if problems.is_empty() { Ok(selection) } else { Err(problems) }
    }

    fn select_calls(&self, selection: &mut Selection, problems: &mut Vec<(&'static str, String)>) {
        let class_named = actions_of(class(ClassId::Syscall)).any(|id| selection.actions.contains(&id));
        let all = self.syscalls.iter().any(|name| name == ALL) || (self.syscalls.is_empty() && class_named);
        let excepted = resolve_calls("except_syscalls", &self.except_syscalls, problems);
        selection.calls =
            if all { every_call().collect() } else { resolve_calls("syscalls", &self.syscalls, problems) };
        selection.calls.retain(|name| !excepted.contains(name));
        selection.calls_without_name = all;
        if all || !self.syscalls.is_empty() {
            selection.actions.extend(actions_of(class(ClassId::Syscall)));
        }
    }
}

fn resolve_calls(
    key: &'static str,
    names: &[String],
    problems: &mut Vec<(&'static str, String)>,
) -> BTreeSet<&'static str> {
    let names = names.iter().filter(|name| *name != ALL);
    resolve(key, names, problems, call_named).into_iter().collect()
}

/// What the names stand for. So many that do not exist are named, the rest is not looked at.
fn resolve<'a, T>(
    key: &'static str,
    names: impl Iterator<Item = &'a String>,
    problems: &mut Vec<(&'static str, String)>,
    named: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let (mut found, mut unknown) = (vec![], 0);
    let mut names = names;
    for name in names.by_ref() {
        match named(name) {
            Ok(known) => found.push(known),
            Err(problem) => {
                problems.push((key, problem));
                unknown += 1;
            }
        }
        if unknown == UNKNOWN_MAX {
            break;
        }
    }
    let more = names.count();
    if more > 0 {
        problems.push((key, format!("has {more} more names, which are not looked at")));
    }
    found
}

fn class(id: ClassId) -> &'static Class {
    CLASSES[id.index()]
}

fn actions_of(class: &'static Class) -> impl Iterator<Item = u16> {
    class.actions.iter().filter(|action| !action.on_request).map(|action| action.id)
}

fn actions_named(name: &str) -> Result<Vec<u16>, String> {
    if name == DEFAULT {
        return Ok(CLASSES.iter().filter(|class| class.default).flat_map(|class| actions_of(class)).collect());
    }
    let (class_name, action_name) = name.split_once('.').map_or((name, None), |(class, action)| (class, Some(action)));
    let Some(class) = CLASSES.iter().find(|class| class.name == class_name) else {
        let known = CLASSES.iter().map(|class| class.name).chain([DEFAULT]);
        return Err(format!("has the unknown class `{class_name}`{}", hint(class_name, known)));
    };
    let Some(action_name) = action_name else {
        return Ok(actions_of(class).collect());
    };
    match class.actions.iter().find(|action| action.name == action_name) {
        Some(action) => Ok(vec![action.id]),
        None => {
            let known: Vec<String> = class.actions.iter().map(|a| format!("{class_name}.{}", a.name)).collect();
            Err(format!("has the unknown action `{name}`{}", hint(name, known.iter().map(String::as_str))))
        }
    }
}

/// The ABIs whose programs this machine can run, its own first.
fn abis() -> Vec<Abi> {
    let x32 = (syscalls::native() == Abi::X86_64).then_some(Abi::X32);
    [Some(syscalls::native()), Abi::compat(), x32].into_iter().flatten().collect()
}

fn every_call() -> impl Iterator<Item = &'static str> {
    abis().into_iter().flat_map(syscalls::table).map(|call| call.name)
}

fn call_named(name: &str) -> Result<&'static str, String> {
    // tracefs calls some by other names (`newfstat`); people copy them from there.
    let name = syscalls::from_tracefs_name(name).map_or(name, |call| call.name);
    every_call()
        .find(|known| *known == name)
        .ok_or_else(|| format!("has the unknown system call `{name}`{}", hint(name, every_call().chain([ALL]))))
}
