//! Absolute paths from what a record has: a walk of the kernel, or a program's text and the directory it was relative to.

use crate::escape::{cut_at, push_at_most, push_bytes};
use crate::texts::{Making, TextId, Texts};

/// Appends a walk (names leaf first, each ended by NUL) as an absolute path. One NUL more ends a name that stands in no
/// directory: `pipe:[1]`.
fn push_walk(walk: &[u8], out: &mut String) -> bool {
    let start = out.len();
    let mut escaped = false;
    if let Some(name) = walk.strip_suffix(b"\0\0").filter(|name| !name.is_empty()) {
        return push_bytes(name, out);
    }
    let names = walk.strip_suffix(b"\0").unwrap_or(walk);
    for name in names.rsplit(|b| *b == 0).filter(|n| !n.is_empty() && *n != b"/") {
        out.push('/');
        escaped |= push_bytes(name, out);
    }
    if out.len() == start {
        out.push('/');
    }
    escaped
}

/// Appends the components of a program's text, without empty ones and `.`. `..` stays: only the kernel knows what a
/// symbolic link before it leads to.
fn push_components(text: &[u8], out: &mut String) -> bool {
    let mut escaped = false;
    for name in text.split(|b| *b == b'/').filter(|n| !n.is_empty() && *n != b".") {
        if !out.ends_with('/') {
            out.push('/');
        }
        escaped |= push_bytes(name, out);
    }
    escaped
}

/// A walked path; none for an empty walk.
pub fn walked(texts: &mut Texts, walk: &[u8]) -> TextId {
    texts.intern(Making::Walk, [walk, &[]], |[walk, _], out| push_walk(walk, out))
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
pub fn argument(texts: &mut Texts, dir: &[u8], text: &[u8]) -> Argument {
    let parts = |texts: &mut Texts| [texts.plain(text), walked(texts, dir)];
    if text.is_empty() || (dir.is_empty() && text[0] != b'/') {
        let [raw, dir] = parts(texts);
        return Argument { path: TextId::NONE, raw, dir };
    }
    let (path, [raw, dir]) = texts.intern_joined(dir, text, parts, |[dir, text], out| {
        let start = out.len();
        let mut escaped = false;
        if !dir.is_empty() {
            escaped |= push_walk(dir, out);
        }
        // `push_components` looks at the end of `out`, which may hold other texts: begin at a slash of our own.
        let mut path = out.split_off(start);
        escaped |= push_components(text, &mut path);
        out.push_str(if path.is_empty() { "/" } else { &path });
        escaped
    });
    Argument { path, raw, dir }
}

/// The path of [`argument`] alone.
pub fn joined(texts: &mut Texts, dir: &[u8], text: &[u8]) -> TextId {
    argument(texts, dir, text).path
}

/// The target of a symbolic link made absolute with the directory of the link (`link` is the link's absolute path).
pub fn link_target(texts: &mut Texts, link: TextId, target: &[u8]) -> TextId {
    if target.is_empty() || target[0] == b'/' || link.is_none() {
        return joined(texts, &[], target);
    }
    let link_text = texts.get(link).to_owned();
    texts.intern(Making::Target, [link_text.as_bytes(), target], |[link, target], out| {
        let parent = link.iter().rposition(|b| *b == b'/').map_or(&link[..0], |at| &link[..at]);
        let mut path = String::from_utf8_lossy(parent).into_owned();
        let escaped = push_components(target, &mut path);
        out.push_str(&path);
        escaped
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
    fn a_relative_text_is_joined_to_its_directory() {
        check(|t| joined(t, b"b\0a\0", b"./c//d"), "/a/b/c/d");
        check(|t| joined(t, b"/\0", b"c"), "/c");
        check(|t| joined(t, b"a\0", b"../c"), "/a/../c");
        check(|t| joined(t, b"a\0", b"."), "/a");
    }

    #[test]
    fn an_absolute_text_stays_and_a_changed_root_goes_before_it() {
        check(|t| joined(t, b"", b"/x/y"), "/x/y");
        check(|t| joined(t, b"", b"/"), "/");
        check(|t| joined(t, b"jail\0srv\0", b"/x"), "/srv/jail/x");
    }

    #[test]
    fn without_a_directory_a_relative_text_has_no_path() {
        assert!(joined(&mut Texts::default(), b"", b"x").is_none());
    }

    #[test]
    fn texts_before_do_not_run_into_a_new_one() {
        let mut texts = Texts::default();
        texts.plain(b"ends/");
        let id = joined(&mut texts, b"", b"x/y");
        assert!(id.is_none());
        let id = joined(&mut texts, b"", b"/x/y");
        assert_eq!(texts.get(id), "/x/y");
    }

    #[test]
    fn a_link_target_is_relative_to_the_link() {
        let mut texts = Texts::default();
        let link = joined(&mut texts, b"", b"/a/b/link");
        let target = link_target(&mut texts, link, b"../c");
        assert_eq!(texts.get(target), "/a/b/../c");
        let absolute = link_target(&mut texts, link, b"/c");
        assert_eq!(texts.get(absolute), "/c");
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
