//! What the probes of the classes memory and kernel say of each call, success and failure. Needs root.
//!
//! Modules, kexec: only the failures, because a test must not change the kernel that it runs on.

mod capture;

use std::ffi::c_long;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use capture::{Capture, Row};
use weir_bpf::Lists;
use weir_schema::CLASSES;

/// Runs `act` under all actions of both classes.
fn rows(act: impl FnOnce()) -> Vec<Row> {
    let classes = CLASSES.iter().filter(|c| ["memory", "kernel"].contains(&c.name));
    let actions: Vec<u16> = classes.flat_map(|c| c.actions).map(|a| a.id).collect();
    Capture::start(&actions, Lists::default()).rows(act)
}

fn only(action: &str, act: impl FnOnce()) -> Vec<Row> {
    let rows = rows(act);
    assert!(rows.iter().all(|r| r.action == action), "{rows:#?}");
    rows
}

/// A system call by number, its result as the kernel returned it.
fn call(nr: c_long, args: [usize; 6]) -> i64 {
    // SAFETY: the callers pass pointers that are valid for their call, or that the kernel must refuse.
    let ret = unsafe { libc::syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5]) };
    if ret == -1 { -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) } else { ret }
}

/// A descriptor that a call returned, closed when dropped.
fn owned(fd: i64) -> OwnedFd {
    assert!(fd >= 0, "{fd}");
    // SAFETY: the kernel has just returned it to us.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

const READ_EXEC: usize = (libc::PROT_READ | libc::PROT_EXEC) as usize;
const PRIVATE: usize = libc::MAP_PRIVATE as usize;
const ANONYMOUS: usize = libc::MAP_ANONYMOUS as usize;

#[test]
fn mmap_is_seen_with_prot_exec_only_and_has_the_path_of_its_file() {
    use std::os::unix::fs::MetadataExt;
    let file = File::open("/bin/ls").expect("open");
    let path = std::fs::canonicalize("/bin/ls").expect("a path");
    let fd = file.as_raw_fd() as usize;
    let mut mapped = 0;
    let rows = only("mmap", || {
        mapped = call(libc::SYS_mmap, [0, 4096, READ_EXEC, PRIVATE, fd, 0]);
        call(libc::SYS_mmap, [0, 4096, libc::PROT_READ as usize, PRIVATE, fd, 0]);
        call(libc::SYS_mmap, [0, 8192, READ_EXEC, PRIVATE | ANONYMOUS, usize::MAX, 0]);
        call(libc::SYS_mmap, [0x1000, 4096, READ_EXEC, PRIVATE, 999, 0]);
    });
    assert_eq!(rows.len(), 3, "{rows:#?}");
    assert_eq!(rows[0].get("address"), mapped);
    assert_eq!(rows[0].get("ret"), mapped);
    assert_eq!(rows[0].get("prot"), READ_EXEC as i64);
    assert_eq!(rows[0].get("fd"), fd as i64);
    assert_eq!(rows[0].walked("path"), path.to_str().expect("UTF-8"));
    let meta = file.metadata().expect("stat");
    assert_eq!((rows[0].get("dev"), rows[0].get("ino")), (meta.dev() as i64, meta.ino() as i64));
    assert_eq!((rows[1].get("length"), rows[1].get("fd"), rows[1].text("path")), (8192, -1, ""));
    assert_eq!((rows[2].get("ret"), rows[2].get("address")), (-i64::from(libc::EBADF), 0x1000));
}

#[test]
fn mprotect_is_seen_with_prot_exec_only() {
    let at = call(libc::SYS_mmap, [0, 4096, libc::PROT_READ as usize, PRIVATE | ANONYMOUS, usize::MAX, 0]) as usize;
    let rows = only("mprotect", || {
        call(libc::SYS_mprotect, [at, 4096, READ_EXEC, 0, 0, 0]);
        call(libc::SYS_mprotect, [at, 4096, libc::PROT_READ as usize, 0, 0, 0]);
        call(libc::SYS_mprotect, [at + 1, 4096, READ_EXEC, 0, 0, 0]);
        call(libc::SYS_pkey_mprotect, [at, 4096, READ_EXEC, usize::MAX, 0, 0]);
    });
    let found: Vec<_> = rows.iter().map(|r| (r.get("ret"), r.get("address"), r.get("length"), r.get("prot"))).collect();
    let invalid = -i64::from(libc::EINVAL);
    let expected = [(0, at), (invalid, at + 1), (0, at)].map(|(ret, at)| (ret, at as i64, 4096, READ_EXEC as i64));
    assert_eq!(found, expected);
}

#[test]
fn memfd_create_has_name_flags_and_descriptor() {
    let mut fds = [0; 2];
    let rows = only("memfd_create", || {
        fds[0] = call(libc::SYS_memfd_create, [c"a name".as_ptr() as usize, 1, 0, 0, 0, 0]);
        fds[1] = call(libc::SYS_memfd_create, [c"other".as_ptr() as usize, 0x8000_0000, 0, 0, 0, 0]);
    });
    let _closed = owned(fds[0]);
    assert_eq!((rows[0].text("name"), rows[0].get("flags"), rows[0].get("fd")), ("a name", 1, fds[0]));
    assert_eq!((rows[1].text("name"), rows[1].get("fd"), rows[1].get("ret")), ("other", -1, -i64::from(libc::EINVAL)));
}

#[test]
fn process_vm_writev_names_its_target() {
    let (from, mut to) = (*b"text", [0u8; 4]);
    let vector = |p: *const u8| libc::iovec { iov_base: p.cast_mut().cast(), iov_len: 4 };
    let (local, remote) = (vector(from.as_ptr()), vector(to.as_mut_ptr()));
    let own = std::process::id() as usize;
    let iovec = |v: &libc::iovec| std::ptr::from_ref(v) as usize;
    let rows = only("process_vm_writev", || {
        call(libc::SYS_process_vm_writev, [own, iovec(&local), 1, iovec(&remote), 1, 0]);
        call(libc::SYS_process_vm_writev, [own, iovec(&local), 1, iovec(&remote), 1, 1]);
    });
    assert_eq!(to, from);
    let found: Vec<_> = rows.iter().map(|r| (r.get("ret"), r.get("target_pid"), r.get("flags"))).collect();
    assert_eq!(found, [(4, own as i64, 0), (-i64::from(libc::EINVAL), own as i64, 1)]);
}

#[test]
fn bpf_is_seen_when_it_loads_a_program() {
    const SOCKET_FILTER: u32 = 1;
    // r0 = 0; exit
    let program: [u64; 2] = [0xb7, 0x95];
    let mut attr = [0u8; 64];
    attr[0..4].copy_from_slice(&SOCKET_FILTER.to_le_bytes());
    attr[4..8].copy_from_slice(&2u32.to_le_bytes());
    attr[8..16].copy_from_slice(&(program.as_ptr() as u64).to_le_bytes());
    attr[16..24].copy_from_slice(&(c"GPL".as_ptr() as u64).to_le_bytes());
    attr[48..53].copy_from_slice(b"seven");
    let mut fd = 0;
    let rows = only("bpf_load", || {
        fd = call(libc::SYS_bpf, [5, attr.as_ptr() as usize, attr.len(), 0, 0, 0]);
        call(libc::SYS_bpf, [5, attr.as_ptr() as usize, 8, 0, 0, 0]);
        call(libc::SYS_bpf, [0, attr.as_ptr() as usize, 8, 0, 0, 0]);
    });
    let _closed = owned(fd);
    assert_eq!(rows.len(), 2, "{rows:#?}");
    let numbers = |r: &Row| (r.get("fd"), r.get("type"), r.get("instructions"));
    assert_eq!((numbers(&rows[0]), rows[0].text("name")), ((fd, 1, 2), "seven"));
    assert_eq!((numbers(&rows[1]), rows[1].text("name")), ((-1, 1, 2), ""));
    assert!(rows[1].get("ret") < 0);
}

#[test]
fn perf_event_open_names_what_is_watched() {
    const SOFTWARE: u32 = 1;
    const CPU_CLOCK: u64 = 0;
    let mut attr = [0u8; 64];
    attr[0..4].copy_from_slice(&SOFTWARE.to_le_bytes());
    attr[4..8].copy_from_slice(&64u32.to_le_bytes());
    attr[8..16].copy_from_slice(&CPU_CLOCK.to_le_bytes());
    let mut fd = 0;
    let rows = only("perf_event_open", || {
        fd = call(libc::SYS_perf_event_open, [attr.as_ptr() as usize, 0, usize::MAX, usize::MAX, 8, 0]);
        attr[8] = 99;
        call(libc::SYS_perf_event_open, [attr.as_ptr() as usize, usize::MAX, 0, usize::MAX, 0, 0]);
    });
    let _closed = owned(fd);
    let names = ["fd", "type", "config", "target_pid", "target_cpu", "flags"];
    assert_eq!(names.map(|n| rows[0].get(n)), [fd, 1, 0, 0, -1, 8]);
    assert_eq!(names.map(|n| rows[1].get(n)), [-1, 1, 99, -1, 0, 0]);
}

#[test]
fn modules_and_kernels_that_cannot_be_loaded_are_rows_with_what_was_asked() {
    let file = File::open("/bin/ls").expect("open");
    let path = std::fs::canonicalize("/bin/ls").expect("a path");
    let fd = file.as_raw_fd() as usize;
    let text = c"a=1 b=2".as_ptr() as usize;
    let found = rows(|| {
        call(libc::SYS_finit_module, [fd, text, 2, 0, 0, 0]);
        call(libc::SYS_init_module, [text, 7, text, 0, 0, 0]);
        call(libc::SYS_delete_module, [c"no_such_module".as_ptr() as usize, 0x800, 0, 0, 0, 0]);
        call(libc::SYS_kexec_load, [0, 99, 0, 0xffff, 0, 0]);
        call(libc::SYS_kexec_file_load, [fd, usize::MAX, 8, text, 0x8000, 0]);
    });
    let actions: Vec<&str> = found.iter().map(|r| r.action).collect();
    assert_eq!(actions, ["module_load", "module_load", "module_unload", "kexec_load", "kexec_file_load"]);
    assert!(found.iter().all(|r| r.get("ret") < 0), "{found:#?}");
    for row in [&found[0], &found[4]] {
        assert_eq!(row.walked("path"), path.to_str().expect("UTF-8"));
        assert_eq!((row.get("fd"), row.text("params")), (fd as i64, "a=1 b=2"));
    }
    assert_eq!((found[0].get("flags"), found[3].get("flags"), found[4].get("flags")), (2, 0xffff, 0x8000));
    assert_eq!((found[1].get("fd"), found[1].text("params"), found[1].text("path")), (-1, "a=1 b=2", ""));
    assert_eq!((found[2].text("name"), found[2].get("flags")), ("no_such_module", 0x800));
}

/// One NOP, by the rings' own memory.
fn submit_a_nop() {
    const SUBMISSIONS: usize = 0;
    const SQES: usize = 0x1000_0000;
    let mut params = [0u32; 30];
    let fd = call(libc::SYS_io_uring_setup, [4, params.as_mut_ptr() as usize, 0, 0, 0, 0]);
    let ring = owned(fd);
    let map = |offset: usize| {
        let prot = (libc::PROT_READ | libc::PROT_WRITE) as usize;
        let at = call(libc::SYS_mmap, [0, 4096, prot, libc::MAP_SHARED as usize, ring.as_raw_fd() as usize, offset]);
        assert!(at > 0, "{at}");
        at as *mut u32
    };
    let (submissions, entries) = (map(SUBMISSIONS), map(SQES));
    // struct io_uring_params: sq_off begins at word 10: head, tail, ring_mask, ring_entries, flags, dropped, array
    let (tail, array) = (params[11] as usize / 4, params[16] as usize / 4);
    // SAFETY: both mappings have a page, and the kernel's offsets are inside it; the entry is zero, which is a NOP.
    unsafe {
        entries.write_bytes(0, 16);
        submissions.add(array).write_volatile(0);
        submissions.add(tail).write_volatile(1);
    }
    assert_eq!(call(libc::SYS_io_uring_enter, [ring.as_raw_fd() as usize, 1, 1, 1, 0, 0]), 1);
}

#[test]
fn an_operation_of_io_uring_is_seen_in_the_task_that_submits_it() {
    const NOP: i64 = 0;
    let rows = only("io_uring_submit", submit_a_nop);
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!((rows[0].get("type"), rows[0].get("fd")), (NOP, -1));
    assert_eq!(rows[0].get("pid"), i64::from(std::process::id()));
}
