//! Rules over all tables.

mod rendering;
mod witness;

use super::*;

const ABIS: [Abi; 4] = [Abi::X86_64, Abi::X32, Abi::I386, Abi::Aarch64];

#[test]
fn tables_ascend_and_names_are_unique() {
    for abi in ABIS {
        let calls = table(abi);
        assert!(calls.is_sorted_by(|a, b| a.nr < b.nr), "{abi:?}");
        for call in calls {
            assert_eq!(call.abi, abi);
            assert!(call.args.len() <= ARGS_MAX, "{}", call.name);
            assert!(std::ptr::eq(by_name(abi, call.name).expect("found by name"), call), "{} twice", call.name);
            assert!(std::ptr::eq(by_nr(abi, call.nr).expect("found by number"), call), "{}", call.name);
        }
    }
}

#[test]
fn numbers_that_no_call_has_are_not_found() {
    assert!(by_nr(Abi::X86_64, 337).is_none(), "the hole between rseq and the common numbers");
    assert!(by_nr(Abi::X86_64, 100_000).is_none());
    assert!(by_nr(Abi::X86_64, u32::MAX).is_none());
    assert!(by_nr(Abi::I386, 222).is_none());
    assert!(by_name(Abi::X86_64, "no_such_call").is_none());
}

#[test]
fn an_argument_hangs_only_on_an_earlier_one_and_every_set_is_listed() {
    fn check_kind(call: &Syscall, at: usize, kind: &ArgKind) {
        match kind {
            ArgKind::Symbols(set) => {
                let listed = crate::symbols::all().any(|other| std::ptr::eq(other, *set));
                assert!(listed, "{}: {} is not listed", call.name, set.name);
            }
            ArgKind::Depends { on, cases, other } => {
                assert!(*on < at, "{}", call.name);
                cases.iter().map(|case| &case.kind).chain([*other]).for_each(|kind| check_kind(call, at, kind));
            }
            _ => {}
        }
    }
    for call in ABIS.into_iter().flat_map(table) {
        call.args.iter().enumerate().for_each(|(at, arg)| check_kind(call, at, &arg.kind));
    }
}

#[test]
fn numbers_from_403_on_are_the_same_everywhere() {
    for call in table(Abi::X86_64).iter().filter(|call| call.nr >= 403 && call.nr < 512) {
        for abi in ABIS {
            assert_eq!(by_nr(abi, call.nr).map(|other| other.name), Some(call.name), "{abi:?}");
        }
    }
}

#[test]
fn x32_programs_have_their_own_numbers_with_and_without_the_bit() {
    let name = |nr| by_nr(Abi::X32, nr).map(|call| call.name);
    assert_eq!(name(X32_BIT | 257), Some("openat"));
    assert_eq!(name(257), Some("openat"));
    assert_eq!(name(X32_BIT | 520), Some("execve"));
    assert_eq!(name(59), None, "execve of 64-bit programs");
    assert!(by_nr(Abi::X86_64, X32_BIT | 257).is_none());
}

#[test]
fn the_same_number_is_another_call_in_another_abi() {
    let name = |abi, nr| by_nr(abi, nr).map(|call| call.name);
    assert_eq!(name(Abi::X86_64, 11), Some("munmap"));
    assert_eq!(name(Abi::I386, 11), Some("execve"));
    assert_eq!(name(Abi::Aarch64, 221), Some("execve"));
    assert_eq!(by_name(Abi::X86_64, "file_setattr").map(|call| call.nr), Some(469));
}

#[test]
fn texts_are_where_the_call_takes_a_string() {
    let mask = |name| by_name(Abi::X86_64, name).expect("a call").text_mask();
    assert_eq!(mask("openat"), 0b10);
    assert_eq!(mask("renameat2"), 0b1010);
    assert_eq!(mask("mount"), 0b111);
    for buffer in ["read", "write", "sendto", "getcwd", "uname", "sethostname", "setsockopt", "mq_timedsend"] {
        assert_eq!(mask(buffer), 0, "{buffer}");
    }
}
