//! The filter by path prefix, in the kernel: what passes, what does not, and what it leaves to the collector. Needs root.

mod capture;

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use capture::{Capture, Row};
use weir_bpf::Lists;

const KERNEL: i64 = 1;
const DESCRIPTOR: i64 = 3;

const OPEN: u16 = 0x0201;
const UNLINK: u16 = 0x0202;
const RENAME: u16 = 0x0204;
const SYMLINK: u16 = 0x0206;
const MKDIR: u16 = 0x0207;
const CHOWN: u16 = 0x0209;
const ALL: &[u16] = &[OPEN, UNLINK, RENAME, SYMLINK, MKDIR];

/// `in`, `inside` (no component of it is `in`) and `out`, in a directory of their own.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str) -> Tree {
        let root = std::env::temp_dir().join(format!("weir-paths-{name}-{}", std::process::id()));
        for dir in ["in/deep/er", "inside", "out"] {
            fs::create_dir_all(root.join(dir)).expect("make directories");
        }
        for file in ["in/a", "in/deep/er/b", "inside/a", "out/a"] {
            fs::write(root.join(file), "").expect("write a file");
        }
        Tree(fs::canonicalize(root).expect("a path without links"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn only(prefix: String) -> Lists<String> {
    Lists { only: vec![prefix], except: vec![] }
}

fn except(prefix: String) -> Lists<String> {
    Lists { only: vec![], except: vec![prefix] }
}

fn open(path: &Path) {
    let _ = fs::File::open(path);
}

fn actions(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|r| r.action).collect()
}

/// Gives this thread descriptors of its own: only threads that it begins can put another file behind them.
fn own_descriptors() {
    // SAFETY: the thread keeps every descriptor that it has, and none that is there uses those that it opens from here on.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES) }, 0, "unshare");
}

#[test]
fn an_opened_file_is_judged_by_the_kernels_own_path() {
    own_descriptors();
    let tree = Tree::new("open");
    let mut capture = Capture::start(ALL, only(tree.text("in")));
    let link = tree.path("out/link");
    symlink(tree.path("in/a"), &link).expect("link");
    let rows = capture.rows(|| {
        for name in ["in/a", "in/deep/er/b", "inside/a", "out/a", "out/../in/a", "in/../out/a"] {
            open(&tree.path(name));
        }
        open(&link);
        open(&tree.path("in"));
    });
    let found: Vec<String> = rows.iter().map(|r| r.walked("path")).collect();
    let names = ["in/a", "in/deep/er/b", "in/a", "in/a", "in"];
    assert_eq!(found, names.map(|name| tree.text(name)));
    assert!(rows.iter().all(|r| r.get("path_source") == KERNEL));
}

#[test]
fn behind_a_shared_descriptor_the_file_and_the_text_are_judged() {
    let tree = Tree::new("shared");
    let (to_in, to_out) = (tree.path("out/to-in"), tree.path("in/to-out"));
    symlink(tree.path("in/a"), &to_in).expect("link");
    symlink(tree.path("out/a"), &to_out).expect("link");
    let act = || {
        for name in ["in/a", "inside/a", "out/a", "out/to-in", "in/to-out", "in/../out/a"] {
            open(&tree.path(name));
        }
    };
    let names = |rows: &[Row]| {
        assert!(rows.iter().all(|r| r.get("path_source") == DESCRIPTOR), "{rows:#?}");
        let below = |r: &Row| r.text("path_raw").strip_prefix(&tree.text("")).expect("below").to_owned();
        rows.iter().map(below).collect::<Vec<_>>()
    };
    // The last one cannot be judged.
    let rows = Capture::start(&[OPEN], only(tree.text("in"))).rows(act);
    assert_eq!(names(&rows), ["in/a", "out/to-in", "in/to-out", "in/../out/a"]);
    let rows = Capture::start(&[OPEN], except(tree.text("in"))).rows(act);
    assert_eq!(names(&rows), ["inside/a", "out/a", "out/to-in", "in/to-out", "in/../out/a"]);
}

#[test]
fn a_file_that_another_thread_puts_behind_the_descriptor_hides_no_open() {
    const OPENS: usize = 20_000;
    const AT_ONCE: usize = 500;
    // Shared with the thread below, and not with the tests beside this one: their descriptors must stay what they are.
    own_descriptors();
    let tree = Tree::new("swapped");
    let secret = tree.path("in/a");
    let mut capture = Capture::start(&[OPEN], only(tree.text("in")));
    // The lowest free number, which opens get while nobody has put something there.
    let free = fs::File::open("/dev/null").map(|file| file.as_raw_fd()).expect("open");
    let (null, done) = (fs::File::open("/dev/null").expect("open"), AtomicBool::new(false));
    let spare = rustix::io::fcntl_dupfd_cloexec(&null, free + 100).expect("a number that is in nobody's way");
    drop(null);
    let mut swapped = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // SAFETY: only the thread below uses that number, and it expects anything there.
                unsafe { libc::dup2(spare.as_raw_fd(), free) };
            }
        });
        let name = std::ffi::CString::new(secret.to_str().expect("UTF-8")).expect("no NUL");
        for _ in 0..OPENS / AT_ONCE {
            let rows = capture.rows(|| {
                for _ in 0..AT_ONCE {
                    // SAFETY: a plain open; whatever is behind the number, it is this test's.
                    unsafe {
                        libc::close(free);
                        libc::close(libc::open(name.as_ptr(), libc::O_RDONLY));
                    }
                }
            });
            assert_eq!(rows.len(), AT_ONCE, "no open is left out");
            for row in &rows {
                assert_eq!(
                    (row.text("path_raw"), row.get("path_source")),
                    (secret.to_str().expect("UTF-8"), DESCRIPTOR)
                );
            }
            swapped += rows.iter().filter(|row| row.walked("path") != row.text("path_raw")).count();
        }
        done.store(true, Ordering::Relaxed);
    });
    println!("note: {swapped} of {OPENS} opens had another file behind their descriptor at the exit");
}

#[test]
fn a_text_is_judged_with_the_directory_that_it_is_relative_to() {
    let tree = Tree::new("text");
    let mut capture = Capture::start(ALL, only(tree.text("in")));
    let dir = fs::File::open(tree.path("in/deep")).expect("open");
    let other = fs::File::open(tree.path("inside")).expect("open");
    let rows = capture.rows(|| {
        use rustix::fs::{AtFlags, unlinkat};
        for (dir, name) in [(&dir, "er/none"), (&dir, "none"), (&other, "none"), (&other, "in/none")] {
            unlinkat(dir, name, AtFlags::empty()).expect_err("there is no such file");
        }
        for name in ["in/none", "in/", "in", "inside/none", "none"] {
            let _ = rustix::fs::unlink(tree.path(name).as_os_str());
            let _ = rustix::fs::unlink(tree.text(name) + "//");
        }
    });
    let found: Vec<&str> = rows.iter().map(|r| r.text("path_raw")).collect();
    let expected: Vec<String> = ["er/none".to_owned(), "none".to_owned()]
        .into_iter()
        .chain(["in/none", "in/", "in"].iter().flat_map(|n| [tree.text("") + n, tree.text("") + n + "//"]))
        // doubled slashes cannot be judged
        .chain(["inside/none", "none"].iter().map(|n| tree.text(n) + "//"))
        .collect();
    assert_eq!(found, expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn what_the_kernel_cannot_judge_passes() {
    let tree = Tree::new("odd");
    let mut capture = Capture::start(ALL, only(tree.text("in")));
    let rows = capture.rows(|| {
        for name in ["out/../x", "./x", "out//x", "out/.", "out/x/..", "../x"] {
            let _ = rustix::fs::unlink(tree.text("") + name);
        }
        // names that only look odd are judged
        for name in ["out/...", "out/.x", "out/x.", "out/..x", "out/x/"] {
            let _ = rustix::fs::unlink(tree.text("") + name);
        }
    });
    assert_eq!(rows.len(), 6, "{rows:#?}");
}

#[test]
fn one_of_two_paths_is_enough_for_only_and_both_must_be_inside_for_except() {
    let tree = Tree::new("two");
    let act = || {
        fs::rename(tree.path("out/a"), tree.path("in/from-out")).expect("rename");
        fs::rename(tree.path("in/from-out"), tree.path("out/a")).expect("rename");
        fs::rename(tree.path("in/a"), tree.path("in/c")).expect("rename");
        fs::rename(tree.path("in/c"), tree.path("in/a")).expect("rename");
        fs::rename(tree.path("out/a"), tree.path("out/c")).expect("rename");
        fs::rename(tree.path("out/c"), tree.path("out/a")).expect("rename");
        symlink("/etc", tree.path("in/absolute")).expect("link");
        symlink("/etc", tree.path("out/absolute")).expect("link");
        // relative to the link: only the collector knows
        symlink("etc", tree.path("out/relative")).expect("link");
        for name in ["in/absolute", "out/absolute", "out/relative"] {
            fs::remove_file(tree.path(name)).expect("remove");
        }
    };
    let rows = Capture::start(&[RENAME, SYMLINK], only(tree.text("in"))).rows(act);
    assert_eq!(actions(&rows), ["rename", "rename", "rename", "rename", "symlink", "symlink"]);
    assert_eq!(rows[5].text("path_raw"), "etc");
    let rows = Capture::start(&[RENAME, SYMLINK], except(tree.text("in"))).rows(act);
    assert_eq!(actions(&rows), ["rename", "rename", "rename", "rename", "symlink", "symlink", "symlink"]);
    assert!(rows.iter().all(|r| !(r.text("path_raw").contains("/in/") && r.text("new_path_raw").contains("/in/"))));
}

#[test]
fn a_row_without_a_path_is_below_nothing() {
    let bad = c"\x01".as_ptr().wrapping_sub(usize::MAX / 2);
    let act = || {
        // SAFETY: the kernel refuses the address, nothing is read.
        unsafe { libc::unlink(bad) };
    };
    assert_eq!(Capture::start(ALL, only("/".into())).rows(act).len(), 0);
    assert_eq!(Capture::start(ALL, except("/".into())).rows(act).len(), 1);
}

#[test]
fn an_empty_text_that_stands_for_a_descriptor_has_the_path_of_its_file() {
    use rustix::fs::{AtFlags, chownat, fchown};
    let tree = Tree::new("empty");
    let (inside, outside) = (fs::File::open(tree.path("in/a")), fs::File::open(tree.path("out/a")));
    let (inside, outside) = (inside.expect("open"), outside.expect("open"));
    let rows = Capture::start(&[CHOWN], only(tree.text("in"))).rows(|| {
        for file in [&inside, &outside] {
            chownat(file, "", None, None, AtFlags::EMPTY_PATH).expect("chown");
            chownat(file, "", None, None, AtFlags::empty()).expect_err("no name");
            fchown(file, None, None).expect("chown");
        }
    });
    let found: Vec<String> = rows.iter().map(|r| r.walked("path")).collect();
    assert_eq!(found, [tree.text("in/a"), tree.text("in/a")]);
}

#[test]
fn the_root_is_above_all_and_a_long_prefix_is_compared_as_far_as_the_tries_reach() {
    let tree = Tree::new("long");
    let act = || {
        open(&tree.path("in/a"));
        open(Path::new("/"));
    };
    assert_eq!(Capture::start(ALL, only("/".into())).rows(act).len(), 2);
    assert_eq!(Capture::start(ALL, except("/".into())).rows(act).len(), 0);
    let long = format!("{}/{}", tree.text("in"), "x".repeat(250));
    let dir = tree.text("in") + "/" + &"x".repeat(250);
    let _ = fs::create_dir_all(&dir);
    let name = Path::new(&dir);
    assert_eq!(Capture::start(ALL, only(long)).rows(|| open(name)).len(), 1);
}

#[test]
fn a_path_of_many_long_names_is_put_together_whole() {
    let tree = Tree::new("deep");
    let mut dir = tree.path("in");
    for i in 0..12 {
        dir = dir.join(format!("{i}-{}", "long".repeat(60)));
        fs::create_dir(&dir).expect("make a directory");
    }
    let mut capture = Capture::start(ALL, only(tree.text("in") + "/0-" + &"long".repeat(40)));
    let rows = capture.rows(|| open(&dir));
    assert_eq!(rows.len(), 0, "a component that only begins like the prefix");
    drop(capture);
    let mut capture = Capture::start(ALL, only(tree.text("in")));
    let rows = capture.rows(|| open(&dir));
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].walked("path"), dir.to_str().expect("UTF-8"));
}
