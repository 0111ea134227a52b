//! What `strace -f -y -o FILE` saw, as events that can be compared with rows.

use std::collections::HashMap;

/// One system call that has returned, or an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Thread id.
    pub tid: i32,
    pub what: What,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Call(Call),
    /// `+++ exited with 0 +++`
    Exited(i32),
    /// `+++ killed by SIGPIPE +++`
    Killed(String),
}

/// A call with its arguments as strace writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub name: String,
    pub args: Vec<String>,
    /// Return value; an error as its negative place in `error`, which is `SECCOMP` for a call that never ran.
    pub ret: i64,
    /// Name of the error, empty on success.
    pub error: String,
    /// What `-y` says behind the returned descriptor.
    pub file: Option<String>,
}

/// Reads a whole log; calls that were interrupted in the log are put together, those that never returned are left out.
pub fn lines(log: &str) -> Vec<Line> {
    let mut halves: HashMap<i32, String> = HashMap::new();
    let mut found = vec![];
    for line in log.lines() {
        let Some((tid, text)) = line.split_once(' ') else { continue };
        let tid: i32 = tid.parse().unwrap_or_else(|e| panic!("no thread id: {e}: {line}"));
        let text = text.trim_start();
        if (text.starts_with("--- SIGSYS ") && text.contains("si_code=SYS_SECCOMP"))
            || text.starts_with("+++ killed by SIGSYS")
        {
            never_ran(&mut found, tid);
        }
        if let Some(half) = text.strip_suffix("<unfinished ...>") {
            halves.insert(tid, half.trim_end().to_owned());
        } else if let Some(rest) = text.strip_prefix("<... ") {
            let (_, rest) = rest.split_once(" resumed>").unwrap_or_else(|| panic!("no resumed call: {line}"));
            let half = halves.remove(&tid).unwrap_or_else(|| panic!("resumed and not begun: {line}"));
            found.extend(what(&(half + rest)).map(|what| Line { tid, what }));
        } else {
            found.extend(what(text).map(|what| Line { tid, what }));
        }
    }
    found
}

/// What strace shows as the result of a call that seccomp did not let run is the call's number: the signal behind it tells.
fn never_ran(found: &mut [Line], tid: i32) {
    let call = found.iter_mut().rev().find_map(|line| match &mut line.what {
        What::Call(call) if line.tid == tid => Some(call),
        _ => None,
    });
    call.expect("the signal is behind its call").error = "SECCOMP".into();
}

fn what(text: &str) -> Option<What> {
    if text.starts_with("---") {
        return None; // a signal
    }
    if let Some(end) = text.strip_prefix("+++ ") {
        let end = end.trim_end_matches(" +++");
        if let Some(code) = end.strip_prefix("exited with ") {
            return code.parse().ok().map(What::Exited);
        }
        let signal = end.strip_prefix("killed by ")?;
        return Some(What::Killed(signal.split(' ').next().unwrap_or(signal).to_owned()));
    }
    call(text).map(What::Call)
}

/// `name(a, b) = 3</path>`; `None` when it never returned.
fn call(text: &str) -> Option<Call> {
    let open = text.find('(').unwrap_or_else(|| panic!("no call: {text}"));
    let (args, behind) = arguments(&text[open + 1..]);
    let result = behind.trim_start().strip_prefix("= ").unwrap_or_else(|| panic!("no result: {text}"));
    let end = result.find([' ', '<']).unwrap_or(result.len());
    let ret: i64 = result[..end].parse().ok()?; // `?`: it did not return
    let rest = &result[end..];
    let error = if ret == -1 { rest.trim_start().split(' ').next().unwrap_or("").to_owned() } else { String::new() };
    let file = rest.strip_prefix('<').and_then(|rest| rest.split_once('>')).map(|(path, _)| unescaped(path));
    Some(Call { name: text[..open].to_owned(), args, ret, error, file })
}

/// The arguments up to the closing bracket, and what stands behind it.
fn arguments(text: &str) -> (Vec<String>, &str) {
    let (mut depth, mut quoted, mut skip) = (0, false, false);
    let (mut args, mut arg, mut before) = (vec![], String::new(), ' ');
    for (at, c) in text.char_indices() {
        let opens = matches!(c, '(' | '[' | '{') || (c == '<' && before.is_alphanumeric());
        let closes = matches!(c, ')' | ']' | '}') || (c == '>' && depth > 0 && before != '=');
        if skip {
            skip = false;
        } else if quoted {
            quoted = c != '"';
            skip = c == '\\';
        } else if c == '"' {
            quoted = true;
        } else if c == ')' && depth == 0 {
            args.push(arg.trim().to_owned());
            return (args, &text[at + 1..]);
        } else if opens {
            depth += 1;
        } else if closes {
            depth -= 1;
        }
        if c == ',' && depth == 0 && !quoted {
            args.push(std::mem::take(&mut arg).trim().to_owned());
        } else {
            arg.push(c);
        }
        before = c;
    }
    panic!("no end of the arguments: {text}")
}

/// The text between the first and the last quote, without escapes; `None` when it is no text or cut.
pub fn text(arg: &str) -> Option<String> {
    let inside = arg.split_once('"')?.1;
    inside.strip_suffix('"').map(unescaped)
}

/// The texts of a list: `["a", "b"]`.
pub fn texts(arg: &str) -> Option<Vec<String>> {
    let inside = arg.strip_prefix('[')?;
    let (list, _) = arguments(&format!("{})", inside.strip_suffix(']')?));
    list.iter().map(|item| text(item)).collect()
}

/// The path that `-y` writes behind a descriptor: `AT_FDCWD</tmp>`.
pub fn path_behind(arg: &str) -> Option<String> {
    arg.split_once('<')?.1.strip_suffix('>').map(unescaped)
}

/// The value of a member: `sin_port=htons(80)` of `{..}`, up to the next comma outside brackets and quotes.
pub fn member(arg: &str, name: &str) -> Option<String> {
    let inside = arg.strip_prefix('{')?.strip_suffix('}')?;
    let (members, _) = arguments(&format!("{inside})"));
    members.iter().find_map(|m| m.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

/// C escapes as strace writes them.
fn unescaped(text: &str) -> String {
    let mut bytes = vec![];
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.iter().take(3).take_while(|b| matches!(b, b'0'..=b'7')).count();
        if digits > 0 {
            bytes.push(rest[..digits].iter().fold(0u8, |n, b| n.wrapping_mul(8).wrapping_add(b - b'0')));
            rest = &rest[digits..];
        } else if let [c, behind @ ..] = rest {
            bytes.push(match c {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'v' => 0x0b,
                b'f' => 0x0c,
                other => *other,
            });
            rest = behind;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
