//! Class memory.

use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use crate::call::*;
use crate::facts::{step, symbols};

const PAGE: usize = 4096;
const READ_EXEC: usize = (libc::PROT_READ | libc::PROT_EXEC) as usize;
const NO_FD: usize = 777;

fn mapping(flags: i32, length: usize, more: Value) -> Value {
    let mut columns = json!({
        "length": length, "prot": READ_EXEC, "prot_text": "PROT_READ|PROT_EXEC", "flags": flags,
        "flags_text": symbols("mmap_flags", flags as u64), "path_truncated": false,
    });
    for (name, value) in more.as_object().expect("an object") {
        columns[name] = value.clone();
    }
    columns
}

fn mmap() -> usize {
    let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let address = step("memory.mmap", "mmap", "of memory").sys(
        libc::SYS_mmap,
        &[0, 2 * PAGE, READ_EXEC, anonymous as usize, usize::MAX, 0],
        |ret| mapping(anonymous, 2 * PAGE, json!({"address": ret})),
    );
    let exe = std::env::current_exe().expect("own path");
    let (path, meta) = (exe.to_str().expect("UTF-8"), std::fs::metadata(&exe).expect("there"));
    let fd = must(libc::SYS_openat, &[libc::AT_FDCWD as usize, p(&c(path)), 0]) as usize;
    step("memory.mmap", "mmap", "of a file").sys(libc::SYS_mmap, &[0, PAGE, READ_EXEC, libc::MAP_PRIVATE as usize, fd, 0], |ret| {
        mapping(libc::MAP_PRIVATE, PAGE, json!({"address": ret, "fd": fd, "path": path, "path_source": "kernel", "dev": meta.dev(), "ino": meta.ino()}))
    });
    close(fd as i64);
    step("memory.mmap", "mmap", "of no file").sys(
        libc::SYS_mmap,
        &[0x10000, PAGE, READ_EXEC, libc::MAP_PRIVATE as usize, NO_FD, 0],
        |_| mapping(libc::MAP_PRIVATE, PAGE, json!({"address": 0x10000, "fd": NO_FD})),
    );
    address as usize
}

fn mprotect(address: usize) {
    let all = READ_EXEC | libc::PROT_WRITE as usize;
    let expect = move |_| json!({"address": address, "length": PAGE, "prot": all, "prot_text": "PROT_READ|PROT_WRITE|PROT_EXEC"});
    step("memory.mprotect", "mprotect", "of a page").sys(libc::SYS_mprotect, &[address, PAGE, all], expect);
    step("memory.mprotect", "pkey_mprotect", "of a page").sys(
        libc::SYS_pkey_mprotect,
        &[address, PAGE, all, usize::MAX],
        expect,
    );
    step("memory.mprotect", "mprotect", "of half a page").sys(
        libc::SYS_mprotect,
        &[PAGE + 1, PAGE, READ_EXEC],
        |_| json!({"address": PAGE + 1, "length": PAGE, "prot": 5, "prot_text": "PROT_READ|PROT_EXEC"}),
    );
}

fn others() {
    let name = c("a memfd");
    let fd = step("memory.memfd_create", "memfd_create", "of a name").sys(
        libc::SYS_memfd_create,
        &[p(&name), 1],
        |fd| json!({"fd": fd, "name": "a memfd", "flags": 1, "flags_text": "MFD_CLOEXEC"}),
    );
    close(fd);
    step("memory.memfd_create", "memfd_create", "of unknown flags").sys(
        libc::SYS_memfd_create,
        &[p(&name), 0x4000_0000],
        |_| json!({"name": "a memfd", "flags": 0x4000_0000, "flags_text": symbols("memfd_flags", 0x4000_0000)}),
    );
    // Into itself: what is written to is here, too.
    let (from, to) = ([1u8; 8], [0u8; 8]);
    let pid = std::process::id() as usize;
    let (local, remote) = ([at(&from), 8], [at(&to), 8]);
    step("memory.process_vm_writev", "process_vm_writev", "of itself").sys(
        libc::SYS_process_vm_writev,
        &[pid, at(&local), 1, at(&remote), 1, 0],
        |_| json!({"target_pid": pid, "flags": 0}),
    );
    step("memory.process_vm_writev", "process_vm_writev", "of nobody").sys(
        libc::SYS_process_vm_writev,
        &[0x3fff_fff0, at(&local), 1, at(&remote), 1, 0],
        |_| json!({"target_pid": 0x3fff_fff0, "flags": 0}),
    );
}

/// All of it.
pub fn run() {
    let address = mmap();
    mprotect(address);
    others();
}
