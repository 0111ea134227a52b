//! Absolute paths from what a record has: a walk of the kernel, or a program's text and the directory it was relative to.

use crate::escape::{cut_at, push_at_most, push_bytes};
use crate::texts::{Making, Marks, TextId, Texts};

/// Bit of a record's `path_state`: the path is not below the root of the mount namespace.
pub const UNREACHABLE: u8 = 1 << 2;
/// A record's `path_source` where the path is certainly that of the file.
pub const FROM_KERNEL: u8 = 1;

/// What a walk that was cut ends with.
const CUT: &[u8] = b"...";

/// The names of a walk (leaf first, each ended by NUL) from above, and whether the first stands below a root. One NUL more at
/// the end says that it does not: `pipe:[1]`, or `...` where names were left out.
fn names(walk: &[u8]) -> (impl Iterator<Item = &[u8]>, bool) {
    let rootless = walk.strip_suffix(b"\0\0").filter(|names| !names.is_empty());
    let names = rootless.or(walk.strip_suffix(b"\0")).unwrap_or(walk);
    (names.rsplit(|b| *b == 0).filter(|n| !n.is_empty() && *n != b"/"), rootless.is_none())
}

/// Appends names as a path, which is `/` if there are none.
fn push_names<'a>(names: impl Iterator<Item = &'a [u8]>, has_root: bool, out: &mut String) -> bool {
    let start = out.len();
    let mut escaped = false;
    for name in names {
        if has_root || out.len() > start {
            out.push('/');
        }
        escaped |= push_bytes(name, out);
    }
    if out.len() == start {
        out.push('/');
    }
    escaped
}

/// A walked path; none for an empty walk.
pub fn walked(texts: &mut Texts, walk: &[u8]) -> TextId {
    texts.intern(Making::Walk, [walk, &[]], |[walk, _], out| {
        let (names, has_root) = names(walk);
        push_names(names, has_root, out)
    })
}

/// Where `..` at the beginning of a text ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// At the root of the mount namespace.
    AtTheRoot,
    /// At the directory that the text is relative to.
    AtTheDirectory,
    /// Perhaps before the root of the mount namespace: the process has changed its own.
    InAJail,
}

impl Ends {
    /// As the `path_state` of a record says.
    pub fn of(path_state: u8) -> Ends {
        match path_state & 0b1_1000 {
            0 => Ends::AtTheRoot,
            0b1_0000 => Ends::InAJail,
            _ => Ends::AtTheDirectory,
        }
    }

    fn making(self) -> Making {
        match self {
            Ends::AtTheRoot => Making::Joined,
            Ends::AtTheDirectory => Making::JoinedToRoot,
            Ends::InAJail => Making::JoinedInJail,
        }
    }
}

/// A path that is put together name by name. `..` takes away the name before it: the kernel does the same where that is a
/// directory that it has walked, but of a name in a program's text only it knows what a symbolic link may lead to.
struct Folded<'a> {
    names: Vec<&'a [u8]>,
    has_root: bool,
    /// How many of the names the kernel has walked.
    real: usize,
    /// How many of them no `..` takes away.
    floor: usize,
    /// Nobody knows how many that is.
    is_jailed: bool,
    is_folded: bool,
}

impl<'a> Folded<'a> {
    /// The directory of a text.
    fn new(dir: &'a [u8], text: &[u8], ends: Ends) -> Folded<'a> {
        let (names, has_root) = names(dir);
        let names: Vec<&[u8]> = names.collect();
        let real = names.len();
        // An absolute text has only a root for a directory.
        let is_root = text.starts_with(b"/") || ends == Ends::AtTheDirectory;
        let floor = if is_root { real } else { usize::from(!has_root && names.first() == Some(&CUT)) };
        Folded { names, has_root, real, floor, is_jailed: ends == Ends::InAJail, is_folded: false }
    }

    fn push(mut self, text: &'a [u8]) -> Folded<'a> {
        for name in text.split(|b| *b == b'/').filter(|n| !n.is_empty() && *n != b".") {
            if name != b".." {
                self.names.push(name);
            } else if self.names.len() > self.floor {
                self.names.pop();
                self.is_folded |= self.is_jailed || self.names.len() >= self.real;
                self.real = self.real.min(self.names.len());
            }
        }
        self
    }

    fn write(self, out: &mut String) -> Marks {
        Marks::new(push_names(self.names.into_iter(), self.has_root, out), self.is_folded)
    }
}

/// What a path argument gives: the best absolute path, the program's text, and the directory that it was relative to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Argument {
    /// None without a text, or without a directory for a relative one.
    pub path: TextId,
    /// The text as it was passed.
    pub raw: TextId,
    /// The walked directory.
    pub dir: TextId,
}

/// A program's text made absolute with the directory that the kernel had for it.
pub fn argument(texts: &mut Texts, dir: &[u8], text: &[u8], ends: Ends) -> Argument {
    let parts = |texts: &mut Texts| [texts.plain(text), walked(texts, dir)];
    if text.is_empty() || (dir.is_empty() && text[0] != b'/') {
        let [raw, dir] = parts(texts);
        return Argument { path: TextId::NONE, raw, dir };
    }
    let make = |[dir, text]: [&[u8]; 2], out: &mut String| Folded::new(dir, text, ends).push(text).write(out);
    let (path, [raw, dir]) = texts.intern_joined(ends.making(), [dir, text], parts, make);
    Argument { path, raw, dir }
}

/// The path of [`argument`] alone.
pub fn joined(texts: &mut Texts, dir: &[u8], text: &[u8], ends: Ends) -> TextId {
    argument(texts, dir, text, ends).path
}

/// The target of a symbolic link made absolute with the directory of the link, which was made by `link` relative to `dir`.
pub fn link_target(texts: &mut Texts, [dir, link]: [&[u8]; 2], target: &[u8], ends: Ends) -> TextId {
    let has_path = !link.is_empty() && (link[0] == b'/' || !dir.is_empty());
    if target.is_empty() || target[0] == b'/' || !has_path {
        return joined(texts, &[], target, Ends::AtTheRoot);
    }
    texts.intern(Making::Target, [&[dir, link].concat(), target], |[_, target], out| {
        let end = link.iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1);
        let link = &link[..end];
        let parent = link.iter().rposition(|b| *b == b'/').map_or(&[][..], |at| &link[..at]);
        Folded::new(dir, link, ends).push(parent).push(target).write(out)
    })
}

/// Arguments separated by NUL as one line, cut at `max` bytes of text.
pub fn command_line(texts: &mut Texts, args: &[u8], max: usize) -> TextId {
    let args = cut_at(args, max);
    let args = args.strip_suffix(b"\0").unwrap_or(args);
    texts.intern(Making::CommandLine, [args, &[]], |[args, _], out| {
        let spaced: Vec<u8> = args.iter().map(|b| if *b == 0 { b' ' } else { *b }).collect();
        push_at_most(&spaced, max, out).is_escaped
    })
}

/// Whether an absolute path is the prefix or below it, with `..` resolved by its text alone.
pub fn is_below(path: &str, prefix: &str) -> bool {
    let mut plain: Vec<&str> = vec![];
    for name in path.split('/').filter(|n| !n.is_empty() && *n != ".") {
        if name == ".." {
            plain.pop();
        } else {
            plain.push(name);
        }
    }
    let mut wanted = prefix.split('/').filter(|n| !n.is_empty());
    let mut have = plain.into_iter();
    wanted.all(|name| have.next() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: impl FnOnce(&mut Texts) -> TextId, expected: &str) {
        let mut texts = Texts::default();
        let id = id(&mut texts);
        assert_eq!(texts.get(id), expected);
    }

    #[test]
    fn walks_are_turned_round() {
        check(|t| walked(t, b"passwd\0etc\0"), "/etc/passwd");
        check(|t| walked(t, b"/\0"), "/");
        check(|t| walked(t, b"memfd:x\0"), "/memfd:x");
        check(|t| walked(t, b"pipe:[1]\0\0"), "pipe:[1]");
        check(|t| walked(t, b"\0"), "/");
    }

    #[test]
    fn a_walk_that_was_cut_begins_with_dots() {
        check(|t| walked(t, b"b\0a\0...\0\0"), ".../a/b");
        check(|t| walked(t, b"b\0...\0"), "/.../b");
        check(|t| joined(t, b"b\0a\0...\0\0", b"../c", Ends::AtTheRoot), ".../a/c");
        check(|t| joined(t, b"b\0...\0\0", b"../../c", Ends::AtTheRoot), ".../c");
    }

    /// Each with whether it was folded by its text alone.
    fn check_folded(ends: Ends, dir: &[u8], text: &[u8], expected: (&str, bool)) {
        let mut texts = Texts::default();
        let id = joined(&mut texts, dir, text, ends);
        let found = (texts.get(id), id.is_folded());
        assert_eq!(found, expected, "{ends:?} {} {}", dir.escape_ascii(), text.escape_ascii());
    }

    #[test]
    fn a_relative_text_is_joined_to_its_directory() {
        check_folded(Ends::AtTheRoot, b"b\0a\0", b"./c//d", ("/a/b/c/d", false));
        check_folded(Ends::AtTheRoot, b"/\0", b"c", ("/c", false));
        check_folded(Ends::AtTheRoot, b"a\0", b".", ("/a", false));
    }

    #[test]
    fn an_absolute_text_stays_and_a_changed_root_goes_before_it() {
        check_folded(Ends::AtTheRoot, b"", b"/x/y", ("/x/y", false));
        check_folded(Ends::AtTheRoot, b"", b"/", ("/", false));
        check_folded(Ends::AtTheRoot, b"jail\0srv\0", b"/x", ("/srv/jail/x", false));
    }

    #[test]
    fn leading_parents_are_those_of_the_directory() {
        check_folded(Ends::AtTheRoot, b"b\0a\0", b"../c", ("/a/c", false));
        check_folded(Ends::AtTheRoot, b"b\0a\0", b".././../c", ("/c", false));
        check_folded(Ends::AtTheRoot, b"b\0a\0", b"../../../../c", ("/c", false));
        check_folded(Ends::AtTheRoot, b"b\0a\0", b"..", ("/a", false));
        check_folded(Ends::AtTheRoot, b"a\0", b"..", ("/", false));
    }

    #[test]
    fn a_parent_of_a_name_is_folded_and_says_so() {
        check_folded(Ends::AtTheRoot, b"", b"/etc/../etc/x", ("/etc/x", true));
        check_folded(Ends::AtTheRoot, b"b\0a\0", b"c/../d", ("/a/b/d", true));
        check_folded(Ends::AtTheRoot, b"b\0a\0", b"c/../../d", ("/a/d", true));
        check_folded(Ends::AtTheRoot, b"b\0a\0", b"../c/../d", ("/a/d", true));
        check_folded(Ends::AtTheRoot, b"", b"/x/..", ("/", true));
        check_folded(Ends::AtTheRoot, b"", b"/x/..y/...", ("/x/..y/...", false));
    }

    #[test]
    fn no_parent_leads_out_of_a_root() {
        check_folded(Ends::AtTheRoot, b"", b"/../x", ("/x", false));
        check_folded(Ends::AtTheRoot, b"jail\0srv\0", b"/../x", ("/srv/jail/x", false));
        check_folded(Ends::AtTheRoot, b"jail\0srv\0", b"/y/../../x", ("/srv/jail/x", true));
        check_folded(Ends::AtTheDirectory, b"b\0a\0", b"../x", ("/a/b/x", false));
        check_folded(Ends::AtTheDirectory, b"b\0a\0", b"/../x", ("/a/b/x", false));
        check_folded(Ends::InAJail, b"b\0jail\0srv\0", b"../../x", ("/srv/x", true));
        check_folded(Ends::InAJail, b"b\0jail\0srv\0", b"x", ("/srv/jail/b/x", false));
    }

    #[test]
    fn without_a_directory_a_relative_text_has_no_path() {
        assert!(joined(&mut Texts::default(), b"", b"x", Ends::AtTheRoot).is_none());
    }

    #[test]
    fn texts_before_do_not_run_into_a_new_one() {
        let mut texts = Texts::default();
        texts.plain(b"ends/");
        let id = joined(&mut texts, b"", b"x/y", Ends::AtTheRoot);
        assert!(id.is_none());
        let id = joined(&mut texts, b"", b"/x/y", Ends::AtTheRoot);
        assert_eq!(texts.get(id), "/x/y");
    }

    #[test]
    fn a_link_target_is_relative_to_the_link() {
        let mut texts = Texts::default();
        let mut check = |dir: &[u8], link: &[u8], target: &[u8], expected: (&str, bool)| {
            let id = link_target(&mut texts, [dir, link], target, Ends::AtTheRoot);
            assert_eq!((texts.get(id), id.is_folded()), expected);
        };
        check(b"", b"/a/b/link", b"c", ("/a/b/c", false));
        check(b"", b"/a/b/link/", b"../c", ("/a/c", true));
        check(b"b\0a\0", b"link", b"../c", ("/a/c", false));
        check(b"b\0a\0", b"../link", b"c", ("/a/c", false));
        check(b"b\0a\0", b"link", b"/c", ("/c", false));
        check(b"", b"link", b"c", ("", false));
    }

    #[test]
    fn a_prefix_matches_whole_names_and_dots_do_not_fool_it() {
        assert!(is_below("/etc/passwd", "/etc"));
        assert!(is_below("/etc", "/etc"));
        assert!(!is_below("/etcetera", "/etc"));
        assert!(!is_below("/tmp/../etc/passwd", "/tmp"));
        assert!(is_below("/tmp/../etc/passwd", "/etc"));
    }
}
