//! Rules over all sets, and values as they are read.

use super::*;

fn check(symbols: &Symbols, value: u64, expected: &str) {
    let mut out = String::new();
    symbols.render(value, &mut out);
    assert_eq!(out, expected, "{} of {value:#x}", symbols.name);
}

#[test]
fn names_of_sets_are_unique_and_found() {
    for symbols in all() {
        let same = all().filter(|other| other.name == symbols.name).count();
        assert_eq!(same, 1, "{}", symbols.name);
        assert!(by_name(symbols.name).is_some(), "{}", symbols.name);
    }
    assert!(by_name("no such set").is_none());
}

#[test]
fn enumerations_ascend_and_have_one_name_per_value() {
    for symbols in all().filter(|symbols| symbols.kind == Kind::Enum) {
        assert!(symbols.values.is_sorted_by(|a, b| a.0 < b.0), "{}", symbols.name);
    }
}

#[test]
fn flags_stand_before_the_values_that_they_contain() {
    for symbols in all() {
        let Kind::Flags { mask } = symbols.kind else {
            continue;
        };
        for (at, &(bits, name)) in symbols.values.iter().enumerate() {
            for &(later, later_name) in &symbols.values[at + 1..] {
                let both_flags = bits & !mask != 0 && later & !mask != 0;
                assert!(!both_flags || later & bits != bits, "{}: {later_name} must stand before {name}", symbols.name);
                assert_ne!(bits, later, "{}: {name} and {later_name}", symbols.name);
            }
        }
    }
}

#[test]
fn every_named_value_renders_as_its_name() {
    for symbols in all() {
        let Kind::Flags { mask } = symbols.kind else {
            symbols.values.iter().for_each(|&(value, name)| check(symbols, value, name));
            continue;
        };
        for &(value, name) in symbols.values {
            let mut out = String::new();
            symbols.render(value, &mut out);
            assert!(out.split('|').any(|part| part == name), "{}: {value:#x} is {out}", symbols.name);
            assert!(!out.contains("0x"), "{}: {value:#x} is {out}", symbols.name);
            assert!(value & mask == 0 || value & !mask == 0, "{}: {name} is half a number", symbols.name);
        }
    }
}

#[test]
fn rendered_flags_add_up_to_the_value() {
    for symbols in all().filter(|symbols| symbols.kind != Kind::Enum) {
        // Every bit alone, and all bits at once: the parts together are the value, whatever has a name.
        for value in (0..64).map(|bit| 1 << bit).chain([u64::MAX, 0]) {
            let mut out = String::new();
            symbols.render(value, &mut out);
            let sum = out.split('|').fold(0, |sum, part| sum | number_of(symbols, part));
            assert_eq!(sum, value, "{}: {out}", symbols.name);
        }
    }
}

fn number_of(symbols: &Symbols, part: &str) -> u64 {
    match part.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).expect("unnamed bits are hexadecimal"),
        None if part == "0" => 0,
        None => symbols.values.iter().find(|pair| pair.1 == part).expect("every part is a name").0,
    }
}

#[test]
fn open_flags_name_the_access_mode_and_prefer_the_widest_flag() {
    check(&OPEN, 0, "O_RDONLY");
    check(&OPEN, 0o2000102, "O_RDWR|O_CREAT|O_CLOEXEC");
    check(&OPEN, 0x10_1001, "O_WRONLY|O_SYNC");
    check(&OPEN, 0x1001, "O_WRONLY|O_DSYNC");
    check(&OPEN, 0x41_0002, "O_RDWR|O_TMPFILE");
    check(&OPEN, 0x1_0000, "O_RDONLY|O_DIRECTORY");
    check(&OPEN_ARM, 0x4000, "O_RDONLY|O_DIRECTORY");
    check(&OPEN, 3, "0x3");
    check(&OPEN, 0x8000_0001, "O_WRONLY|0x80000000");
}

#[test]
fn a_number_among_flags_is_named_or_written() {
    check(&MMAP, 0x22, "MAP_PRIVATE|MAP_ANONYMOUS");
    check(&MMAP, 0x8_0003, "MAP_SHARED_VALIDATE|MAP_SYNC");
    check(&MMAP, 0, "0");
    check(&SOCKET, 0x8_0801, "SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC");
    check(&FUTEX, 0x81, "FUTEX_WAKE|FUTEX_PRIVATE_FLAG");
    check(&CLONE, 0x1200011, "CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD");
    check(&CLONE, 0x11, "SIGCHLD");
    check(&UNSHARE, 0x1000_0080, "CLONE_NEWUSER|CLONE_NEWTIME");
    check(&MEMFD, (21 << 26) | 5, "MFD_CLOEXEC|MFD_HUGETLB|MFD_HUGE_2MB");
}

#[test]
fn nothing_at_all_is_named_where_it_has_a_name() {
    check(&PROT, 0, "PROT_NONE");
    check(&PROT, 3, "PROT_READ|PROT_WRITE");
    check(&ACCESS, 0, "F_OK");
    check(&ACCESS, 6, "R_OK|W_OK");
    check(&MOUNT, 0, "0");
}

#[test]
fn unnamed_values_of_an_enumeration_are_numbers() {
    check(&FAMILY, 10, "AF_INET6");
    check(&FAMILY, 999, "999");
    check(&PRCTL, 0x5356_4d41, "PR_SET_VMA");
    check(&PRCTL, 0xdead_beef, "0xdeadbeef");
    check(&PTRACE, 16, "PTRACE_ATTACH");
    check(&PTRACE, 0x4206, "PTRACE_SEIZE");
}

#[test]
fn a_mask_of_capabilities_names_each_of_them() {
    check(&CAP, 21, "CAP_SYS_ADMIN");
    check(&CAPABILITY_MASK, 0, "0");
    check(&CAPABILITY_MASK, 1 << 21 | 1, "CAP_CHOWN|CAP_SYS_ADMIN");
    check(&CAPABILITY_MASK, 1 << 40 | 1 << 63, "CAP_CHECKPOINT_RESTORE|0x8000000000000000");
}
