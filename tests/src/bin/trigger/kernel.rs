//! Class kernel. Loading a module happens in the virtual machine only; failing attempts happen everywhere.

use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use crate::call::*;
use crate::facts::{any, step, symbols};

const NO_FD: usize = 777;

fn in_vm() -> bool {
    std::env::var_os("WEIR_IN_VM").is_some_and(|v| v == "1")
}

/// The module file that the virtual machine brings.
fn module_file() -> Option<std::path::PathBuf> {
    fn search(directory: &std::path::Path) -> Option<std::path::PathBuf> {
        std::fs::read_dir(directory).ok()?.flatten().map(|e| e.path()).find_map(|path| {
            let is_module = path.file_name().is_some_and(|n| n == "dummy.ko");
            if path.is_dir() { search(&path) } else { is_module.then_some(path) }
        })
    }
    in_vm().then(|| search(std::path::Path::new("/lib/modules")))?
}

fn load_success() {
    let Some(path) = module_file() else { return };
    let (text, meta) = (path.to_str().expect("UTF-8").to_owned(), std::fs::metadata(&path).expect("there"));
    let parameters = c("numdummies=0");
    let fd = must(libc::SYS_openat, &[libc::AT_FDCWD as usize, p(&c(&text)), 0]) as usize;
    step("kernel.module_load", "finit_module", "of a file").sys(libc::SYS_finit_module, &[fd, p(&parameters), 0], |_| {
        json!({"params": "numdummies=0", "path": text, "path_source": "kernel", "path_truncated": false, "dev": meta.dev(),
            "ino": meta.ino(), "flags": 0, "flags_text": "0", "fd": fd})
    });
    close(fd as i64);
    unload("of what is loaded", "dummy");
    let image = std::fs::read(&path).expect("the module");
    step("kernel.module_load", "init_module", "from memory").sys(
        libc::SYS_init_module,
        &[at(&image[..]), image.len(), p(&parameters)],
        |_| json!({"params": "numdummies=0", "path_truncated": false, "flags": 0, "flags_text": "0"}),
    );
    unload("once more", "dummy");
}

fn unload(what: &str, name: &str) {
    let text = c(name);
    step("kernel.module_unload", "delete_module", what).sys(
        libc::SYS_delete_module,
        &[p(&text), libc::O_NONBLOCK as usize],
        |_| json!({"name": name, "flags": 0x800, "flags_text": "O_NONBLOCK"}),
    );
}

fn modules() {
    load_success();
    let (image, parameters) = (vec![7u8; 4096], c("a=b c"));
    step("kernel.module_load", "init_module", "of garbage").sys(
        libc::SYS_init_module,
        &[at(&image[..]), image.len(), p(&parameters)],
        |_| json!({"params": "a=b c", "path_truncated": false, "flags": 0, "flags_text": "0"}),
    );
    std::fs::write("garbage.ko", &image).expect("a file");
    let path = std::fs::canonicalize("garbage.ko").expect("there");
    let meta = std::fs::metadata(&path).expect("there");
    let fd = must(libc::SYS_openat, &[libc::AT_FDCWD as usize, p(&c("garbage.ko")), 0]) as usize;
    step("kernel.module_load", "finit_module", "of garbage").sys(
        libc::SYS_finit_module,
        &[fd, p(&parameters), 1],
        |_| {
            json!({"params": "a=b c", "path": path, "path_source": "kernel", "path_truncated": false, "dev": meta.dev(),
            "ino": meta.ino(), "flags": 1, "flags_text": symbols("module_init_flags", 1), "fd": fd})
        },
    );
    let flags = symbols("kexec_file_flags", 4);
    step("kernel.kexec_file_load", "kexec_file_load", "of garbage").sys(
        libc::SYS_kexec_file_load,
        &[fd, usize::MAX, 6, p(&parameters), 4],
        |_| {
            json!({"params": "a=b c", "path": path, "path_source": "kernel", "path_truncated": false, "dev": meta.dev(),
            "ino": meta.ino(), "flags": 4, "flags_text": flags, "fd": fd})
        },
    );
    close(fd as i64);
    unload("of nothing", "no_such_module");
    step("kernel.kexec_load", "kexec_load", "of nothing at all").sys(
        libc::SYS_kexec_load,
        &[0, 1000, 0, 0x8000],
        |_| json!({"flags": 0x8000, "flags_text": symbols("kexec_flags", 0x8000)}),
    );
    if in_vm() {
        // No segments: what was loaded, nothing here, is dropped.
        step("kernel.kexec_load", "kexec_load", "of no segments").sys(
            libc::SYS_kexec_load,
            &[0, 0, 0, 0],
            |_| json!({"flags": 0, "flags_text": any()}),
        );
        let no_initrd_unload = 1usize; // KEXEC_FILE_UNLOAD: nothing is loaded, so nothing changes
        step("kernel.kexec_file_load", "kexec_file_load", "that unloads").sys(libc::SYS_kexec_file_load, &[NO_FD, NO_FD, 0, 0, no_initrd_unload], |_| {
            json!({"path_source": {"one_of": [null, "kernel"]}, "path_truncated": false, "flags": 1, "flags_text": symbols("kexec_file_flags", 1), "fd": NO_FD})
        });
    }
}

/// union bpf_attr of BPF_PROG_LOAD, the part up to the name.
#[repr(C)]
struct ProgLoad {
    kind: u32,
    instructions: u32,
    insns: u64,
    license: u64,
    log: [u32; 4],
    kernel: u32,
    flags: u32,
    name: [u8; 16],
}

fn bpf() {
    let license = c("GPL");
    let good = [0x0000_00b7u64, 0x0000_0095]; // r0 = 0; exit
    let bad = [0x0000_0095u64, 0x0000_0095]; // exit without a result, then unreachable
    for (what, insns) in [("that ends", &good), ("without a result", &bad)] {
        let mut name = [0u8; 16];
        name[..9].copy_from_slice(b"weir_test");
        let attr = ProgLoad {
            kind: 1,
            instructions: 2,
            insns: at(insns) as u64,
            license: p(&license) as u64,
            log: [0; 4],
            kernel: 0,
            flags: 0,
            name,
        };
        let fd = step("kernel.bpf_load", "bpf", what).sys(libc::SYS_bpf, &[5, at(&attr), size_of::<ProgLoad>()], |ret| {
            let mut columns = json!({"name": "weir_test", "kind": 1, "kind_text": "BPF_PROG_TYPE_SOCKET_FILTER", "instructions": 2});
            if ret >= 0 {
                columns["fd"] = json!(ret);
            }
            columns
        });
        if fd >= 0 {
            close(fd);
        }
    }
}

fn perf() {
    let mut attr = [0u64; 16];
    attr[0] = 1 | 128 << 32; // PERF_TYPE_SOFTWARE, size
    attr[1] = 1; // PERF_COUNT_SW_TASK_CLOCK
    let columns = |kind: i64, kind_text: &str, pid: usize| json!({"kind": kind, "kind_text": kind_text, "config": 1, "target_pid": pid as i32, "target_cpu": -1, "flags": 8, "flags_text": "PERF_FLAG_FD_CLOEXEC"});
    let fd = step("kernel.perf_event_open", "perf_event_open", "of itself").sys(
        libc::SYS_perf_event_open,
        &[at(&attr), 0, usize::MAX, usize::MAX, 8],
        |fd| {
            let mut columns = columns(1, "PERF_TYPE_SOFTWARE", 0);
            if fd >= 0 {
                columns["fd"] = json!(fd);
            }
            columns
        },
    );
    if fd >= 0 {
        close(fd);
    }
    let nobody = 0x3fff_fff0;
    step("kernel.perf_event_open", "perf_event_open", "of nobody").sys(
        libc::SYS_perf_event_open,
        &[at(&attr), nobody, usize::MAX, usize::MAX, 8],
        |_| columns(1, "PERF_TYPE_SOFTWARE", nobody),
    );
}

const RING_ENTRIES: usize = 4;
const IORING_OFF_SQES: usize = 0x1000_0000;

/// One NOP, handed over through a ring made by hand.
fn uring() {
    let mut parameters = [0u32; 30];
    let ring = call(libc::SYS_io_uring_setup, &[RING_ENTRIES, std::ptr::from_mut(&mut parameters) as usize]);
    if ring < 0 {
        crate::facts::write(
            &json!({"step": "io_uring is absent", "action": "skipped", "who": {}, "error": error_name(ring)}),
        );
        return;
    }
    let map = |offset: usize| {
        let flags = (libc::MAP_SHARED | libc::MAP_POPULATE) as usize;
        must(libc::SYS_mmap, &[0, 4096, (libc::PROT_READ | libc::PROT_WRITE) as usize, flags, ring as usize, offset])
            as usize
    };
    let (queue, entries) = (map(0), map(IORING_OFF_SQES));
    // sq_off: head, tail, ring_mask, ring_entries, flags, dropped, array stand behind ten words of parameters.
    let (tail, array) = (parameters[11] as usize, parameters[16] as usize);
    // SAFETY: both mappings are pages shared with the kernel, and the offsets are the kernel's own; entry 0 is zero, which
    // is IORING_OP_NOP.
    unsafe {
        std::ptr::write_bytes(entries as *mut u8, 0, 64);
        std::ptr::write_volatile((queue + array) as *mut u32, 0);
        std::ptr::write_volatile((queue + tail) as *mut u32, 1);
    }
    let who = crate::facts::who();
    let from = now();
    let submitted = call(libc::SYS_io_uring_enter, &[ring as usize, 1, 1, 1, 0, 0]);
    let to = now();
    assert_eq!(submitted, 1, "io_uring_enter");
    step("kernel.io_uring_submit", "", "of nothing to do").note(
        &Value::Object(who),
        from,
        to,
        None,
        &json!({"kind": 0, "kind_text": "IORING_OP_NOP"}),
    );
    close(ring);
}

/// All of it.
pub fn run() {
    modules();
    bpf();
    perf();
    uring();
}
