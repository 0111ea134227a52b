//! Paths as the kernel's own objects have them: names of every length, mounts, changed roots, what is gone. Needs root.

mod capture;

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use capture::{Capture, Row};
use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};
use rustix::mount::{MountFlags, MountPropagationFlags, OpenTreeFlags, UnmountFlags};
use rustix::mount::{mount, mount_change, open_tree, unmount};
use weir_bpf::Lists;

const OPEN: u16 = 0x0201;
const UNLINK: u16 = 0x0202;
const CHMOD: u16 = 0x0208;

const TRUNCATED: i64 = 1;
const DELETED: i64 = 2;
const UNREACHABLE: i64 = 4;

/// Longest name of a file, in bytes.
const NAME_MAX: usize = 255;

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let root = std::env::temp_dir().join(format!("weir-walk-{name}-{}", std::process::id()));
        fs::create_dir_all(&root).expect("make a directory");
        Dir(fs::canonicalize(root).expect("a path without links"))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn rows(actions: &[u16], act: impl FnOnce()) -> Vec<Row> {
    Capture::start(actions, Lists::default()).rows(act)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn names_of_every_length_are_whole() {
    let dir = Dir::new("names");
    let path = |len: usize| {
        let name: String = (0..len).map(|i| char::from(b'a' + (i % 26) as u8)).collect();
        dir.0.join(&name).join(name)
    };
    for len in 1..=NAME_MAX {
        fs::create_dir(path(len).parent().expect("a directory")).expect("make a directory");
        fs::write(path(len), "").expect("write a file");
    }
    let mut capture = Capture::start(&[OPEN], Lists::default());
    for len in 1..=NAME_MAX {
        let path = path(len);
        let rows = capture.rows(|| drop(File::open(&path).expect("open")));
        assert_eq!(rows[0].walked("path"), text(&path));
        assert_eq!(rows[0].get("path_state"), 0);
    }
}

#[test]
fn a_path_that_is_too_long_is_cut_at_the_root_and_says_so() {
    const DEPTH: usize = 40;
    let dir = Dir::new("deep");
    let name = |i: usize| format!("{i}-{}", "x".repeat(150));
    let mut at = openat(rustix::fs::CWD, &dir.0, OFlags::PATH, Mode::empty()).expect("open");
    for i in 0..DEPTH {
        rustix::fs::mkdirat(&at, name(i), Mode::RWXU).expect("make a directory");
        at = openat(&at, name(i), OFlags::PATH, Mode::empty()).expect("open");
    }
    let found = rows(&[OPEN], || drop(openat(&at, ".", OFlags::RDONLY, Mode::empty()).expect("open")));
    assert_eq!(found[0].get("path_state"), TRUNCATED);
    // Names were left out: it begins at no root, which one NUL more says.
    let kept = found[0].text("path").strip_suffix("...\0\0").expect("the mark of the cut");
    let names: Vec<&str> = kept.split_terminator('\0').collect();
    assert!(names.len() > 20 && names.len() < DEPTH, "{}", names.len());
    for (i, found) in names.iter().enumerate() {
        assert_eq!(*found, name(DEPTH - 1 - i));
    }
}

#[test]
fn a_removed_file_keeps_its_path_and_is_marked() {
    let dir = Dir::new("removed");
    let path = dir.0.join("gone");
    let file = File::create(&path).expect("create");
    fs::remove_file(&path).expect("remove");
    let found = rows(&[CHMOD], || rustix::fs::fchmod(&file, Mode::RUSR).expect("chmod"));
    assert_eq!((found[0].walked("path").as_str(), found[0].get("path_state")), (text(&path), DELETED));
}

/// Runs `act` in a thread with a mount namespace of its own, where nothing that it mounts is seen by others.
fn with_own_mounts(act: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: the file system state and the mounts of this thread alone; it ends with the closure.
            let unshared = unsafe { libc::unshare(libc::CLONE_FS | libc::CLONE_NEWNS) };
            assert_eq!(unshared, 0, "unshare");
            mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
                .expect("make mounts private");
            act();
        });
        thread.join().expect("the thread");
    });
}

fn mount_tmpfs(on: &Path) {
    fs::create_dir_all(on).expect("make a directory");
    mount("none", on, "tmpfs", MountFlags::empty(), None).expect("mount");
}

#[test]
fn mounts_are_crossed_on_the_way_to_the_root() {
    let dir = Dir::new("mounts");
    with_own_mounts(|| {
        let mut at = dir.0.clone();
        for i in 0..9 {
            at = at.join(format!("mount-{i}"));
            mount_tmpfs(&at);
            at = at.join("below");
        }
        fs::create_dir(&at).expect("make a directory");
        let file = at.join("file");
        fs::write(&file, "").expect("write");
        let found = rows(&[OPEN], || {
            drop(File::open(&file));
            drop(File::open("/"));
        });
        assert_eq!((found[0].walked("path").as_str(), found[0].get("path_state")), (text(&file), 0));
        assert_eq!((found[1].text("path"), found[1].get("path_state")), ("/\0", 0));
    });
}

#[test]
fn a_file_of_a_detached_mount_is_unreachable() {
    let dir = Dir::new("detached");
    with_own_mounts(|| {
        mount_tmpfs(&dir.0);
        let file = File::create(dir.0.join("file")).expect("create");
        unmount(&dir.0, UnmountFlags::DETACH).expect("unmount");
        let found = rows(&[CHMOD], || rustix::fs::fchmod(&file, Mode::RUSR).expect("chmod"));
        assert_eq!((found[0].walked("path").as_str(), found[0].get("path_state")), ("/file", UNREACHABLE));
    });
}

/// Opens of a file that looks like one of this namespace and is none, each with its path and its state.
fn opened_elsewhere(lists: Lists<String>, dir: &Path) -> Vec<(String, i64)> {
    let (dir, path) = (dir.to_owned(), dir.join("file"));
    fs::write(&path, "").expect("write");
    let old_root = File::open("/").expect("open");
    let others = format!("/proc/{}/root{}", std::process::id(), text(&path));
    let mut capture = Capture::start(&[OPEN], lists);
    let mut found = vec![];
    with_own_mounts(|| {
        let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let detached = open_tree(rustix::fs::CWD, &dir, clone).expect("a detached mount");
        let below_root = path.strip_prefix("/").expect("absolute");
        let rows = capture.rows(|| {
            let open = |dir: BorrowedFd<'_>, name: &Path| {
                drop(openat(dir, name, OFlags::RDONLY, Mode::empty()).expect("open"));
            };
            open(detached.as_fd(), Path::new("file"));
            open(old_root.as_fd(), below_root);
            open(rustix::fs::CWD, Path::new(&others));
            open(rustix::fs::CWD, &path);
        });
        found = rows.iter().map(|row| (row.walked("path"), row.get("path_state"))).collect();
    });
    found
}

#[test]
fn a_file_outside_of_the_mount_namespace_is_unreachable_and_no_filter_takes_it_for_the_real_one() {
    let dir = Dir::new("elsewhere");
    let file = text(&dir.0.join("file")).to_owned();
    // Of a detached mount, by the root of the old namespace, by another process of it, and the real one.
    let [detached, old, others, real] =
        [("/file", UNREACHABLE), (&file, UNREACHABLE), (&file, UNREACHABLE), (&file, 0)]
            .map(|(p, s)| (p.to_owned(), s));
    let all = vec![detached.clone(), old.clone(), others.clone(), real.clone()];
    assert_eq!(opened_elsewhere(Lists::default(), &dir.0), all);
    let prefixes = vec![text(&dir.0).to_owned(), "/file".to_owned()];
    let only = Lists { only: prefixes.clone(), except: vec![] };
    assert_eq!(opened_elsewhere(only, &dir.0), [real]);
    let except = Lists { only: vec![], except: prefixes };
    assert_eq!(opened_elsewhere(except, &dir.0), [detached, old, others]);
}

#[test]
fn an_absolute_text_of_a_program_with_a_changed_root_has_that_root() {
    let dir = Dir::new("root");
    fs::create_dir(dir.0.join("a")).expect("make a directory");
    with_own_mounts(|| {
        // Taken before the root changes: the loader reads files of the old one.
        let mut capture = Capture::start(&[UNLINK], Lists::default());
        rustix::process::chroot(&dir.0).expect("chroot");
        std::env::set_current_dir("/").expect("the new root");
        let found = capture.rows(|| {
            for name in ["/a/none", "none", "a/none"] {
                unlinkat(rustix::fs::CWD, name, AtFlags::empty()).expect_err("there is no such file");
            }
        });
        for (row, raw) in found.iter().zip(["/a/none", "none", "a/none"]) {
            assert_eq!((row.text("path_raw"), row.walked("path_dir").as_str()), (raw, text(&dir.0)));
        }
        assert_eq!(found.len(), 3);
    });
}
