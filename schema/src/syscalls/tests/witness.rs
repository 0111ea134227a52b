//! The running kernel and the installed headers as witnesses of the tables.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::syscalls::*;

/// `#define __NR_name number` of a header.
fn header_numbers(path: &Path) -> BTreeMap<String, u32> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let defines = text.lines().filter_map(|line| line.strip_prefix("#define __NR_"));
    let pairs = defines.filter_map(|define| define.split_once(' '));
    pairs
        .filter_map(|(name, value)| {
            let number = value.rsplit(|letter: char| !letter.is_ascii_digit()).find(|part| !part.is_empty())?;
            Some((name.to_owned(), number.parse().ok()?))
        })
        .collect()
}

#[test]
fn numbers_are_those_of_the_installed_kernel_headers() {
    let found = ["/usr/include/x86_64-linux-gnu/asm", "/usr/include/asm"].into_iter().map(Path::new);
    let Some(folder) = found.into_iter().find(|folder| folder.join("unistd_64.h").exists()) else {
        eprintln!("skipped: no kernel headers of x86 are installed");
        return;
    };
    for (abi, file) in [(Abi::X86_64, "unistd_64.h"), (Abi::I386, "unistd_32.h"), (Abi::X32, "unistd_x32.h")] {
        let numbers = header_numbers(&folder.join(file));
        assert!(numbers.len() > 300, "{file}: {} numbers", numbers.len());
        for (name, nr) in numbers {
            assert_eq!(by_name(abi, &name).map(|call| call.nr), Some(nr), "{name} in {file}");
        }
    }
}

/// Folders in which tracefs is usually mounted.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Names of the arguments in a `format` file: the fields after `__syscall_nr`, up to the print format.
fn argument_names(format: &str) -> Vec<&str> {
    let fields = format.lines().filter_map(|line| line.trim().strip_prefix("field:"));
    let declarations = fields.filter_map(|field| field.split(';').next());
    let names =
        declarations.filter_map(|declaration| declaration.rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next());
    // Linux 6.19 and later copy texts behind the arguments, in fields like `__filename_val`.
    let arguments = names.skip_while(|name| *name != "__syscall_nr").skip(1);
    arguments.filter(|name| !(name.starts_with("__") && name.ends_with("_val"))).collect()
}

#[test]
fn every_call_of_the_running_kernel_has_its_argument_names() {
    let events = TRACEFS.iter().map(|folder| Path::new(folder).join("events/syscalls")).find(|folder| folder.exists());
    let Some(events) = events else {
        eprintln!("skipped: no tracefs (as root: mount -t tracefs tracefs /sys/kernel/tracing)");
        return;
    };
    let mut seen = 0;
    for entry in fs::read_dir(&events).expect("tracefs lists its events") {
        let entry = entry.expect("tracefs lists its events");
        let folder = entry.file_name().into_string().expect("event names are ASCII");
        let Some(name) = folder.strip_prefix("sys_enter_") else {
            continue;
        };
        let format = fs::read_to_string(entry.path().join("format")).expect("the format can be read");
        let call = from_tracefs_name(name).unwrap_or_else(|| panic!("{name} stands in the native table"));
        let names: Vec<&str> = call.args.iter().map(|arg| arg.name).collect();
        assert_eq!(names, argument_names(&format), "{name}");
        seen += 1;
    }
    assert!(seen > 300, "only {seen} calls in {}", events.display());
}
