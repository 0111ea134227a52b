//! 32-bit callers: `int 0x80` in this program, and a program that is 32-bit.

use serde_json::{Value, json};

use crate::call::*;
use crate::facts::{Step, step, write};

/// i386 numbers, which are other calls in the table of 64-bit programs: `writev`, `fstat`.
const I386_GETPID: u32 = 20;
const I386_OPEN: u32 = 5;

/// A system call through the gate of 32-bit programs.
#[cfg(target_arch = "x86_64")]
fn int80(number: u32, a: u32, b: u32, c: u32) -> i64 {
    let ret: i64;
    // SAFETY: a plain system call; rbx is kept by hand because the compiler reserves it, r8 to r11 are clobbered by the gate.
    unsafe {
        std::arch::asm!("xchg {b:r}, rbx", "int 0x80", "xchg {b:r}, rbx", b = inout(reg) u64::from(a) => _,
            inlateout("rax") u64::from(number) => ret, in("rcx") u64::from(b), in("rdx") u64::from(c),
            out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    i64::from(ret as i32)
}

#[cfg(target_arch = "x86_64")]
fn gate() {
    let present = libc::WIFEXITED(in_child(|| assert!(int80(I386_GETPID, 0, 0, 0) > 0)).1);
    if !present {
        write(&json!({"step": "no 32-bit calls", "action": "skipped", "who": {}}));
        return;
    }
    // A text below 4 GiB, where a 32-bit pointer reaches.
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT) as usize;
    let page = must(libc::SYS_mmap, &[0, 4096, 3, flags, usize::MAX, 0]) as usize;
    let path = b"/no/such/thirty-two\0";
    // SAFETY: the page is new, writable and longer than the text.
    unsafe { std::ptr::copy_nonoverlapping(path.as_ptr(), page as *mut u8, path.len()) };
    step("syscall.call", "", "32 bits: getpid").run(
        || int80(I386_GETPID, 1, 2, 3),
        |_| json!({"nr": I386_GETPID, "syscall": "getpid", "compat": true, "duration_ns": {"min": 1}}),
    );
    step("file.open", "", "32 bits: open").run(|| int80(I386_OPEN, page as u32, 0, 0), |_| {
        json!({"path": "/no/such/thirty-two", "path_source": "argument", "path_raw": "/no/such/thirty-two", "path_dir": null,
            "path_truncated": false, "path_folded": false, "flags": 0, "flags_text": "O_RDONLY", "mode": 0, "created": false, "truncated": false})
    });
}

/// A 32-bit program of 16 bytes of code: exit(7).
fn elf32() -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    let code: &[u8] = &[0xb8, 1, 0, 0, 0, 0xbb, 7, 0, 0, 0, 0xcd, 0x80];
    let size = 84 + code.len() as u32;
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend([2, 0, 3, 0]); // executable, i386
    for word in [1, BASE + 84, 52, 0, 0] {
        elf.extend(u32::to_le_bytes(word));
    }
    for half in [52u16, 32, 1, 0, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    for word in [1, 0, BASE, BASE, size, size, 5, 0x1000] {
        elf.extend(u32::to_le_bytes(word));
    }
    elf.extend(code);
    elf
}

fn program() {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write("thirty-two", elf32()).expect("a file");
    std::fs::set_permissions("thirty-two", std::fs::Permissions::from_mode(0o755)).expect("rights");
    let (path, argument) = (c("./thirty-two"), c("thirty-two argument"));
    let argv = [p(&argument), 0];
    let from = now();
    let mut me = Value::Object(crate::facts::who());
    let (pid, status) = in_child(|| {
        call(libc::SYS_execve, &[p(&path), at(&argv), 0]);
    });
    if !libc::WIFEXITED(status) || libc::WEXITSTATUS(status) != 7 {
        write(&json!({"step": "no 32-bit programs", "action": "skipped", "who": {}}));
        return;
    }
    let here = std::env::current_dir().expect("directory");
    me["ppid"] = me["pid"].clone();
    me["parent_start_ticks"] = me["start_ticks"].clone();
    me["start_ticks"] = Value::Null;
    me["pid"] = json!(pid);
    me["tid"] = json!(pid);
    me["comm"] = json!("thirty-two");
    me["exe"] = json!(here.join("thirty-two"));
    me["cmdline"] = json!("thirty-two argument");
    let exited: Step = step("process.exit", "", "32 bits: a program");
    exited.note(&me, from, now(), None, &json!({"exit_code": 7, "core_dumped": false, "duration_ns": {"min": 1}}));
    let columns = json!({"ret": 0, "path": here.join("thirty-two"), "path_raw": "./thirty-two", "path_dir": here, "path_truncated": false, "path_folded": false,
        "args": ["thirty-two argument"], "args_truncated": false});
    write(
        &json!({"step": "process.exec 32 bits: a program", "action": "process.exec", "who": me, "from": from, "to": now(), "some": columns, "expect": {}}),
    );
}

/// All of it.
pub fn run() {
    #[cfg(target_arch = "x86_64")]
    {
        gate();
        program();
    }
}
