//! 32-bit system calls, made by `int 0x80`: whose arguments they have, and what they are called. Needs root, x86_64.
#![cfg(target_arch = "x86_64")]

mod capture;

use std::arch::asm;
use std::fs;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use capture::{Capture, Row};
use weir_bpf::Lists;
use weir_schema::action_by_id;

const COMPAT_PAGE_BYTES: usize = 4096;

/// A 32-bit call; pointers among the arguments must be below 4 GiB.
fn call32(nr: u32, args: [u32; 5]) -> i64 {
    let mut ret = u64::from(nr);
    // SAFETY: rbx, which the compiler keeps for itself, is put back; the callers pass memory that is theirs.
    unsafe {
        asm!(
            "xchg {first}, rbx",
            "int 0x80",
            "xchg {first}, rbx",
            first = inout(reg) u64::from(args[0]) => _,
            inout("rax") ret,
            in("rcx") u64::from(args[1]),
            in("rdx") u64::from(args[2]),
            in("rsi") u64::from(args[3]),
            in("rdi") u64::from(args[4]),
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    i64::from(ret as i32)
}

/// Memory that a 32-bit call can reach, holding these bytes.
fn low(bytes: &[u8]) -> u32 {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let flags = MapFlags::PRIVATE | MapFlags::from_bits_retain(libc::MAP_32BIT as u32);
    // SAFETY: a fresh page, never unmapped; the bytes fit.
    unsafe {
        let page = mmap_anonymous(std::ptr::null_mut(), COMPAT_PAGE_BYTES, ProtFlags::READ | ProtFlags::WRITE, flags);
        let page = page.expect("a page below 4 GiB").cast::<u8>();
        page.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len().min(COMPAT_PAGE_BYTES));
        u32::try_from(page as usize).expect("below 4 GiB")
    }
}

fn words(words: &[u32]) -> u32 {
    low(&words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>())
}

fn rows(actions: &[u16], act: impl FnOnce()) -> Vec<Row> {
    let rows = Capture::start(actions, Lists::default()).rows(act);
    let names: Vec<&str> = actions.iter().filter_map(|a| action_by_id(*a)).map(|(_, a)| a.name).collect();
    assert!(rows.iter().all(|r| names.contains(&r.action)), "{rows:#?}");
    rows
}

#[test]
fn a_length_in_two_registers_is_one_number() {
    let path = std::env::temp_dir().join(format!("weir-compat-{}", std::process::id()));
    let file = fs::File::create(&path).expect("create");
    let fd = file.as_raw_fd() as u32;
    let text = low(path.as_os_str().as_encoded_bytes());
    let rows = rows(&[0x020a], || {
        assert_eq!(call32(194, [fd, 7, 1, 0, 0]), 0, "ftruncate64");
        assert_eq!(call32(193, [text, 9, 2, 0, 0]), 0, "truncate64");
        assert_eq!(call32(93, [fd, 5, 77, 0, 0]), 0, "ftruncate");
        assert_eq!(call32(92, [text, u32::MAX, 77, 0, 0]), -i64::from(libc::EINVAL), "truncate");
    });
    fs::remove_file(path).expect("remove");
    let found: Vec<_> = rows.iter().map(|r| (r.get("length"), r.get("fd"))).collect();
    let fd = i64::from(fd);
    assert_eq!(found, [(7 + (1 << 32), fd), (9 + (2 << 32), -1), (5, fd), (-1, -1)]);
}

#[test]
fn both_kinds_of_mmap_are_seen() {
    let file = fs::File::open("/bin/ls").expect("open");
    let fd = file.as_raw_fd() as u32;
    let path = fs::canonicalize("/bin/ls").expect("a path");
    let memory = words(&[0, 8192, 5, 2, fd, 4096]);
    let mut mapped = [0; 2];
    let rows = rows(&[0x0401], || {
        mapped[0] = call32(90, [memory, 0, 0, 0, 0]);
        mapped[1] = call32(192, [0, 4096, 5, 2, fd]);
    });
    for (row, (at, length)) in rows.iter().zip([(mapped[0], 8192), (mapped[1], 4096)]) {
        assert_eq!(row.get("address"), i64::from(at as u32));
        assert_eq!((row.get("length"), row.get("prot"), row.get("flags")), (length, 5, 2));
        assert_eq!(row.walked("path"), path.to_str().expect("UTF-8"));
    }
    assert_eq!(rows.len(), 2, "{rows:#?}");
}

#[test]
fn socket_calls_through_socketcall_are_rows_of_their_own_actions() {
    let listener = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let fd = socket.as_raw_fd() as u32;
    let mut address = vec![2, 0];
    address.extend(port.to_be_bytes());
    address.extend([127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let address = low(&address);
    let (connect, listen) = (words(&[fd, address, 16]), words(&[fd, 3]));
    let (send, send_to) = (words(&[fd, address, 4, 0]), words(&[fd, address, 5, 0, address, 16]));
    let rows = rows(&[0x0301, 0x0306, 0x0308], || {
        assert_eq!(call32(102, [3, connect, 0, 0, 0]), 0, "connect");
        assert_eq!(call32(102, [4, listen, 0, 0, 0]), -i64::from(libc::EOPNOTSUPP), "listen");
        assert_eq!(call32(102, [9, send, 0, 0, 0]), 4, "send");
        assert_eq!(call32(102, [11, send_to, 0, 0, 0]), 5, "sendto");
        assert_eq!(call32(102, [99, send_to, 0, 0, 0]), -i64::from(libc::EINVAL), "nothing");
    });
    let found: Vec<_> = rows.iter().map(|r| (r.action, r.get("ret"), r.get("remote_port"), r.get("fd"))).collect();
    let (port, fd) = (i64::from(port), i64::from(fd));
    let refused = -i64::from(libc::EOPNOTSUPP);
    let expected =
        [("connect", 0, port, fd), ("listen", refused, port, fd), ("sendto", 4, port, fd), ("sendto", 5, port, fd)];
    assert_eq!(found, expected);
    assert_eq!((rows[1].get("backlog"), rows[2].get("length"), rows[3].get("length")), (3, 4, 5));
}
