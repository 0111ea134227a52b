//! Class syscall: calls whose flags are told in words.

use serde_json::json;

use crate::call::*;
use crate::facts::write;

const AT_FDCWD: usize = libc::AT_FDCWD as usize;

/// One call, and what column `args_text` must say of it.
fn told(name: &str, number: c_long, arguments: &[usize], text: &str) {
    let (tid, from) = (std::process::id(), now());
    let ret = call(number, arguments);
    write(&json!({"step": format!("flags {name}"), "action": "note", "who": {}, "syscall": name, "nr": number,
        "tid": tid, "from": from, "to": now(), "ret": ret, "args_text": text, "arguments": arguments.iter().map(|a| *a as i64).collect::<Vec<_>>()}));
}

/// All of it.
pub fn run() {
    let path = c("/no/such/file");
    let file = p(&path);
    #[cfg(target_arch = "x86_64")]
    {
        told(
            "open",
            libc::SYS_open,
            &[file, 0o2000101, 0o644],
            "filename=\"/no/such/file\" flags=O_WRONLY|O_CREAT|O_CLOEXEC mode=0644",
        );
        told("access", libc::SYS_access, &[file, 6], "filename=\"/no/such/file\" mode=R_OK|W_OK");
    }
    let how = [0u64; 3];
    told(
        "openat2",
        libc::SYS_openat2,
        &[AT_FDCWD, file, at(&how), 24],
        "dfd=AT_FDCWD filename=\"/no/such/file\" usize=24",
    );
    told(
        "mmap",
        libc::SYS_mmap,
        &[0, 0, 3, 0x22, usize::MAX, 0],
        "addr=0x0 len=0 prot=PROT_READ|PROT_WRITE flags=MAP_PRIVATE|MAP_ANONYMOUS fd=-1 off=0x0",
    );
    told("mprotect", libc::SYS_mprotect, &[4097, 0, 5], "start=0x1001 len=0 prot=PROT_READ|PROT_EXEC");
    told(
        "clone",
        libc::SYS_clone,
        &[0x800, 0, 0, 0, 0],
        "clone_flags=CLONE_SIGHAND newsp=0x0 parent_tidptr=NULL child_tidptr=NULL tls=0x0",
    );
    told(
        "socket",
        libc::SYS_socket,
        &[2, 0o2000001, 17],
        "family=AF_INET type=SOCK_STREAM|SOCK_CLOEXEC protocol=IPPROTO_UDP",
    );
    told(
        "mount",
        libc::SYS_mount,
        &[0, file, 0, 0x1007, 0],
        "dev_name=NULL dir_name=\"/no/such/file\" type=NULL flags=MS_RDONLY|MS_NOSUID|MS_NODEV|MS_BIND data=NULL",
    );
    told("unshare", libc::SYS_unshare, &[0x0400_0001], "unshare_flags=CLONE_NEWUTS|0x1");
    told("fcntl", libc::SYS_fcntl, &[777, 2, 1], "fd=777 cmd=F_SETFD arg=FD_CLOEXEC");
    told(
        "ptrace",
        libc::SYS_ptrace,
        &[16, 0x3fff_fff0, 0, 0],
        "request=PTRACE_ATTACH pid=1073741808 addr=0x0 data=0x0",
    );
    told("prctl", libc::SYS_prctl, &[15, p(&c("trigger")), 0, 0, 0], "option=PR_SET_NAME");
    told(
        "waitid",
        libc::SYS_waitid,
        &[1, 0x3fff_fff0, 0, 4, 0],
        "which=P_PID upid=1073741808 infop=NULL options=WEXITED ru=NULL",
    );
}
