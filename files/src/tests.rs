//! As an unprivileged user, and where a test needs another user's files, as root.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::*;

/// A user who is neither root nor anybody else on the machine, and another.
const ALICE: u32 = 2001;
const MALLORY: u32 = 2002;

fn is_root() -> bool {
    let is_root = rustix::process::getuid().is_root();
    if !is_root {
        eprintln!("skipped: needs root");
    }
    is_root
}

fn scratch() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("a public directory");
    dir
}

/// A directory of a user below the scratch directory.
fn home(scratch: &TempDir, name: &str, uid: u32, mode: u32) -> PathBuf {
    let dir = scratch.path().join(name);
    fs::create_dir(&dir).expect("a directory");
    chown(&dir, Some(uid), Some(uid)).expect("given away");
    fs::set_permissions(&dir, Permissions::from_mode(mode)).expect("its mode");
    dir
}

fn refusal<T>(result: std::io::Result<T>) -> Refusal {
    let error = result.err().expect("refused");
    Refusal::in_error(&error).unwrap_or_else(|| panic!("no refusal: {error}")).clone()
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o666), 0).expect("a FIFO");
}

#[test]
fn what_is_made_is_for_its_owner_and_the_group_only() {
    let scratch = scratch();
    let dir = Dir::create_given(&scratch.path().join("a/b"), None).expect("made");
    assert!(Dir::create_given(&scratch.path().join("a/b"), None).is_ok(), "there already");
    dir.create_new("f").expect("made").write_all(b"f").expect("written");
    assert_eq!(dir.create_new("f").unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    dir.create("g").expect("made");
    dir.append("h").expect("made");
    dir.replace("i", b"i").expect("written");
    dir.make_subdir("c/d").expect("made");
    let mode = |name: &str| fs::metadata(scratch.path().join(name)).expect("there").mode() & 0o777;
    assert_eq!(["a", "a/b", "a/b/c", "a/b/c/d"].map(mode), [0o750; 4]);
    assert_eq!(["a/b/f", "a/b/g", "a/b/h", "a/b/i"].map(mode), [0o640; 4]);
    dir.let_others_read().expect("its mode");
    assert_eq!(mode("a/b"), 0o755);
    assert_eq!(dir.list().expect("listed").len(), 5, "no temporary stays");
    let again = Dir::open_given(dir.path(), None).expect("there");
    assert_eq!(again.list().expect("listed").len(), 5, "of one that was there");
    again.sync().expect("synced");
    assert_eq!(again.subdir("c").expect("there").list().expect("listed").len(), 1);
}

#[test]
fn no_name_leads_out_of_the_directory() {
    let scratch = scratch();
    fs::write(scratch.path().join("outside"), "outside").expect("written");
    let dir = Dir::create_given(&scratch.path().join("in"), None).expect("made");
    for name in ["..", "../outside", "a/../../outside", "/etc/passwd", ".", ""] {
        assert!(dir.open(name).is_err(), "{name}");
        assert!(dir.create(name).is_err(), "{name}");
        assert!(dir.replace(name, b"x").is_err(), "{name}");
        assert!(dir.make_subdir(name).is_err(), "{name}");
        assert!(dir.remove(name).is_err(), "{name}");
        assert!(dir.rename("x", &dir, name).is_err(), "{name}");
        assert!(
            beneath::step_by_step(
                std::os::fd::AsFd::as_fd(&dir),
                name.as_ref(),
                rustix::fs::OFlags::RDONLY,
                Mode::empty()
            )
            .is_err()
        );
    }
    assert_eq!(fs::read(scratch.path().join("outside")).expect("there"), b"outside");
}

#[test]
fn what_is_planted_at_a_name_is_refused_and_what_it_leads_to_stays() {
    let scratch = scratch();
    let outside = scratch.path().join("outside");
    fs::create_dir(scratch.path().join("elsewhere")).expect("made");
    type Planter<'a> = (&'a str, &'a dyn Fn(&Path));
    let planters: [Planter<'_>; 5] = [
        ("a link", &|path| symlink(&outside, path).expect("a link")),
        ("a link", &|path| symlink(scratch.path().join("elsewhere"), path).expect("a link")),
        ("a FIFO", &fifo),
        ("hard link", &|path| fs::hard_link(&outside, path).expect("a hard link")),
        ("a directory", &|path| fs::create_dir(path).expect("a directory")),
    ];
    for (number, (what, plant)) in planters.into_iter().enumerate() {
        fs::write(&outside, "outside").expect("written");
        let dir = Dir::create_given(&scratch.path().join(format!("d{number}")), None).expect("made");
        plant(&dir.path_of("x"));
        for refused in [dir.append("x"), dir.lock("x"), dir.open_to_write("x"), dir.open("x")] {
            let refusal = refusal(refused);
            assert!(refusal.what.contains(what) && refusal.path == dir.path_of("x"), "{refusal}");
        }
        assert_eq!(what == "hard link", dir.open_linked("x").is_ok());
        if what != "hard link" {
            assert_eq!(what != "a directory", dir.create("x").is_ok(), "a leftover's name goes, a directory stays");
        }
        // In place of the temporary of a file that is replaced.
        plant(&dir.path_of("y.tmp"));
        assert_eq!(what != "a directory", dir.replace("y", b"new").is_ok());
        // In place of a directory.
        plant(&dir.path_of("z"));
        assert_eq!(what == "a directory", dir.make_subdir("z/below").is_ok());
        assert_eq!(what == "a directory", dir.create_new("z/file").is_ok());
        assert_eq!(fs::read(&outside).expect("there"), b"outside");
        assert_eq!(fs::read_dir(scratch.path().join("elsewhere")).expect("there").count(), 0);
    }
}

#[test]
fn step_by_step_does_what_one_call_does() {
    let scratch = scratch();
    let dir = Dir::create_given(scratch.path(), None).expect("open");
    dir.make_subdir("a/b").expect("made");
    dir.replace("a/b/c", b"c").expect("written");
    symlink("b", dir.path_of("a/link")).expect("a link");
    let open = |name: &str| {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NOFOLLOW;
        beneath::step_by_step(std::os::fd::AsFd::as_fd(&dir), name.as_ref(), flags, Mode::empty())
    };
    let mut text = String::new();
    File::from(open("a/b/c").expect("open")).read_to_string(&mut text).expect("read");
    assert_eq!(text, "c");
    assert!(open("a/link/c").is_err() && open("a/link").is_err());
}

#[test]
fn who_only_looks_opens_regular_files_of_anybody_and_no_links() {
    let scratch = scratch();
    fs::write(scratch.path().join("file"), "file").expect("written");
    symlink("file", scratch.path().join("link")).expect("a link");
    fifo(&scratch.path().join("fifo"));
    let dir = Dir::open_to_read(scratch.path()).expect("open");
    assert_eq!(dir.read("file", 4).expect("read"), b"file");
    assert!(dir.read("file", 3).is_err(), "more than asked for");
    assert_eq!(refusal(dir.open("link")).what, "is a link where weir has a file");
    assert_eq!(refusal(dir.open("fifo")).what, "is a FIFO where weir has a file");
    for written in [dir.append("file"), dir.create("file"), dir.create_new("new"), dir.open_to_write("file")] {
        assert_eq!(written.expect_err("nothing is written").kind(), std::io::ErrorKind::Unsupported);
    }
    assert!(dir.remove("file").is_err() && dir.make_subdir("new").is_err() && dir.rename("file", &dir, "x").is_err());
    assert!(open_to_read(&scratch.path().join("link")).is_ok(), "a path that somebody names leads where it leads");
    assert_eq!(refusal(open_to_read(&scratch.path().join("fifo"))).what, "is a FIFO");
    assert_eq!(refusal(open_to_read("/dev/zero".as_ref())).what, "is a device");
}

#[test]
fn a_name_that_is_there_is_not_overwritten_and_a_lock_is_held() {
    let scratch = scratch();
    let dir = Dir::create_given(scratch.path(), None).expect("open");
    for name in ["a", "b"] {
        dir.replace(name, name.as_bytes()).expect("written");
    }
    assert_eq!(dir.rename_new("a", &dir, "b").unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    dir.rename_new("a", &dir.make_subdir("below").expect("made"), "c").expect("renamed");
    assert_eq!(dir.read("below/c", 9).expect("there"), b"a");
    let _lock = dir.lock("lock").expect("locked");
    assert_eq!(dir.lock("lock").unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

// --- other users ---

#[test]
fn a_directory_that_somebody_else_made_or_can_write_is_refused() {
    if !is_root() {
        return;
    }
    let scratch = scratch();
    let theirs = home(&scratch, "theirs", MALLORY, 0o755);
    let below = theirs.join("below");
    fs::create_dir(&below).expect("root's, where mallory can put another");
    home(&scratch, "open", 0, 0o777);
    home(&scratch, "sticky", 0, 0o1777);
    let planted = scratch.path().join("sticky/planted");
    fs::create_dir(&planted).expect("made");
    chown(&planted, Some(MALLORY), Some(MALLORY)).expect("given away");
    for owner in [None, Some((ALICE, ALICE))] {
        for dir in [&theirs, &below, &scratch.path().join("open/new"), &planted, &planted.join("new")] {
            let refusal = refusal(Dir::create_given(dir, owner));
            assert!(dir.starts_with(&refusal.path), "{refusal}");
            assert!(refusal.to_string().contains("uid"), "{refusal}");
        }
        assert!(!scratch.path().join("open/new").exists());
        let new = scratch.path().join(format!("sticky/new{}", owner.is_some()));
        Dir::create_given(&new, owner).expect("made in a sticky directory");
        assert_eq!(fs::metadata(&new).expect("there").uid(), owner.map_or(0, |(uid, _)| uid));
    }
    let shared = home(&scratch, "shared", ALICE, 0o775);
    chown(&shared, None, Some(MALLORY)).expect("another group");
    let refusal = refusal(Dir::open_given(&shared, Some((ALICE, ALICE))));
    assert!(refusal.what.contains("written by others") && refusal.advice.contains("chmod"), "{refusal}");
    chown(&shared, None, Some(ALICE)).expect("the caller's own group");
    Dir::open_given(&shared, Some((ALICE, ALICE))).expect("a private group is the caller");
}

#[test]
fn a_link_in_a_given_path_is_followed_only_if_it_is_roots() {
    if !is_root() {
        return;
    }
    let scratch = scratch();
    let target = home(&scratch, "target", 0, 0o755);
    let home = home(&scratch, "home", ALICE, 0o755);
    symlink("target", scratch.path().join("roots")).expect("a link");
    symlink(&target, home.join("hers")).expect("a link");
    rustix::fs::chownat(
        CWD,
        home.join("hers"),
        Some(rustix::fs::Uid::from_raw(ALICE)),
        None,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .expect("given away");
    symlink(&target, home.join("roots")).expect("root's, where she can put another");
    Dir::create_given(&scratch.path().join("roots/new"), Some((ALICE, ALICE))).expect("followed");
    assert!(target.join("new").is_dir());
    for name in ["hers", "roots", "hers/new"] {
        let refusal = refusal(Dir::create_given(&home.join(name), Some((ALICE, ALICE))));
        assert!(refusal.what.contains("is a link"), "{refusal}");
    }
}

#[test]
fn files_of_others_are_refused_by_name_and_owner() {
    if !is_root() {
        return;
    }
    let scratch = scratch();
    let home = home(&scratch, "home", ALICE, 0o750);
    let dir = Dir::open_given(&home, Some((ALICE, ALICE))).expect("open");
    for (uid, mode) in [(MALLORY, 0o666), (0, 0o600)] {
        let path = dir.path_of(format!("{uid}"));
        fs::write(&path, "theirs").expect("written");
        chown(&path, Some(uid), Some(uid)).expect("given away");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
        for refused in [dir.open(path.file_name().expect("a name")), dir.append(path.file_name().expect("a name"))] {
            let refusal = refusal(refused);
            assert!(refusal.owner.contains(&format!("uid {uid}")) && refusal.path == path, "{refusal}");
        }
        assert_eq!(fs::metadata(&path).expect("there").uid(), uid);
    }
}

/// As the threads that write files do: no capability, and the caller's ids as the saved ones.
fn without_rights<T: Send>(then: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let (root, alice) = (rustix::fs::Uid::ROOT, rustix::fs::Uid::from_raw(ALICE));
            let (roots, alices) = (rustix::fs::Gid::ROOT, rustix::fs::Gid::from_raw(ALICE));
            rustix::thread::set_thread_res_gid(roots, roots, alices).expect("saved group");
            rustix::thread::set_thread_res_uid(root, root, alice).expect("saved user");
            for set in [caps::CapSet::Effective, caps::CapSet::Permitted, caps::CapSet::Inheritable] {
                caps::clear(None, set).expect("given up");
            }
            then()
        });
        thread.join().expect("the thread ends well")
    })
}

#[test]
fn a_thread_without_any_right_writes_the_callers_directory_as_the_caller() {
    if !is_root() {
        return;
    }
    let scratch = scratch();
    let home = home(&scratch, "home", ALICE, 0o750);
    let dir = Dir::open_given(&home, Some((ALICE, ALICE))).expect("open");
    fs::write(scratch.path().join("roots"), "root's").expect("written");
    without_rights(|| {
        assert!(File::create(home.join("x")).is_err(), "root without rights is nobody here");
        dir.make_subdir("a/b").expect("made");
        dir.replace("a/b/c", b"c").expect("written");
        let mut file = dir.append("log").expect("made");
        file.write_all(b"one").expect("written");
        dir.rename("log", &dir.subdir("a").expect("there"), "moved").expect("renamed");
        assert_eq!(dir.read("a/moved", 10).expect("read"), b"one");
        dir.subdir("a/b").expect("there").remove("c").expect("removed");
        dir.remove_dir("a/b").expect("removed");
        dir.lock("lock").expect("locked");
        // Between the calls the thread is root again.
        File::create(scratch.path().join("by-root")).expect("root's directory");
        Dir::create_given(&home.join("new/deep"), Some((ALICE, ALICE))).expect("walked and made");
    });
    for name in ["a", "a/moved", "lock", "new", "new/deep"] {
        let found = fs::metadata(home.join(name)).expect("there");
        assert_eq!((found.uid(), found.gid()), (ALICE, ALICE), "{name}");
    }
    assert_eq!(fs::metadata(scratch.path().join("by-root")).expect("there").uid(), 0);
}

#[test]
fn a_file_that_everybody_can_write_is_refused_by_who_does_what_it_says() {
    let scratch = scratch();
    let path = scratch.path().join("settings");
    fs::write(&path, "").expect("written");
    for (mode, is_taken) in [(0o600, true), (0o644, true), (0o664, true), (0o666, false), (0o602, false)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
        let taken = crate::refuse_everybodys(&path, &File::open(&path).expect("open"));
        assert_eq!(taken.is_ok(), is_taken, "{mode:o}");
        assert!(taken.err().is_none_or(|error| error.to_string().contains("chmod o-w")));
    }
}
