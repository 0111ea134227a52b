//! The last column of the table: what an event of each class is about.

use std::fmt::Write;

use weir_schema::{ClassId, Reason};

use super::read::Columns;
use crate::loss_rows::LossAction;
use crate::text::push_visible;

/// Nanoseconds of one millisecond.
const NS_PER_MS: f64 = 1e6;

/// Characters of a container's id that are shown, as Docker shows them.
const SHORT_ID_CHARS: usize = 12;

/// Appends the detail of an event.
pub(super) fn event(class: ClassId, columns: &Columns<'_>, row: usize, line: &mut String) {
    match class {
        ClassId::Process => process(columns, row, line),
        ClassId::File => file(columns, row, line),
        ClassId::Network => network(columns, row, line),
        ClassId::Memory => {
            fields(columns, row, &["path", "name", "length", "prot_text", "flags_text", "target_pid"], line)
        }
        ClassId::Kernel => {
            fields(columns, row, &["name", "params", "path", "kind_text", "flags_text", "target_pid"], line)
        }
        ClassId::Syscall => syscall(columns, row, line),
        ClassId::Container => fields(
            columns,
            row,
            &["container_id", "container_name", "container_image", "runtime", "pod_name", "cgroup_path"],
            line,
        ),
        ClassId::Loss => {}
    }
}

/// exec: the arguments alone, as execsnoop shows them; the other actions by name.
fn process(columns: &Columns<'_>, row: usize, line: &mut String) {
    let action = columns.text("action", row).unwrap_or("-");
    if action == "exec" {
        return exec(columns, row, line);
    }
    line.push('[');
    push_visible(line, action);
    line.push_str("] ");
    match action {
        "running" => push_visible(line, columns.text("cmdline", row).or(columns.text("exe", row)).unwrap_or("")),
        "fork" => fields(columns, row, &["child_pid"], line),
        "exit" => {
            fields(columns, row, &["exit_code", "exit_signal"], line);
            if let Some(ns) = columns.int("duration_ns", row) {
                let _ = write!(line, "after {:.3} ms", ns as f64 / NS_PER_MS);
            }
        }
        _ => fields(
            columns,
            row,
            &["target_pid", "signal_text", "request_text", "flags_text", "requested", "ruid", "euid", "rgid", "egid"],
            line,
        ),
    }
}

fn exec(columns: &Columns<'_>, row: usize, line: &mut String) {
    match columns.list("args", row) {
        Some(args) => args.for_each(|arg| {
            // Marks where an argument ends that has spaces inside or nothing at all.
            let quote = if arg.is_empty() || arg.contains(char::is_whitespace) { "'" } else { "" };
            line.push_str(quote);
            push_visible(line, arg);
            line.push_str(quote);
            line.push(' ');
        }),
        None => push_visible(line, columns.text("path", row).unwrap_or("")),
    }
    if columns.bool("args_truncated", row) {
        line.push_str("...");
    }
}

fn file(columns: &Columns<'_>, row: usize, line: &mut String) {
    push_visible(line, columns.text("path", row).unwrap_or("-"));
    if let Some(new) = columns.text("new_path", row) {
        line.push_str(" -> ");
        push_visible(line, new);
    }
    line.push(' ');
    for (bit, word) in [
        ("created", "(created) "),
        ("truncated", "(emptied) "),
        ("path_truncated", "(path cut) "),
        ("path_folded", "(folded) "),
    ] {
        if columns.bool(bit, row) {
            line.push_str(word);
        }
    }
    let more = [
        "path_state",
        "flags_text",
        "length",
        "fs_type",
        "new_uid",
        "new_gid",
        "attributes_set",
        "attributes_cleared",
        "propagation",
    ];
    fields(columns, row, &more, line);
    if let Some(mode) = columns.int("mode", row).filter(|m| *m != 0) {
        let _ = write!(line, "mode={mode:#o} ");
    }
}

fn network(columns: &Columns<'_>, row: usize, line: &mut String) {
    match (columns.text("unix_path", row), columns.text("unix_peer_path", row)) {
        (None, None) => {
            end(columns, row, ["local_ip", "local_port"], line);
            line.push_str(" -> ");
            end(columns, row, ["remote_ip", "remote_port"], line);
        }
        (path, peer) => {
            push_visible(line, path.unwrap_or("-"));
            line.push_str(" -> ");
            push_visible(line, peer.unwrap_or("-"));
        }
    }
    line.push(' ');
    push_visible(line, columns.text("protocol", row).or(columns.text("family", row)).unwrap_or(""));
    line.push(' ');
    fields(columns, row, &["bytes_sent", "bytes_received", "length", "backlog", "peer_pid"], line);
}

/// `192.0.2.1:80`, `[2001:db8::1]:80`, or `-`.
fn end(columns: &Columns<'_>, row: usize, [ip, port]: [&str; 2], line: &mut String) {
    let Some(ip) = columns.text(ip, row) else { return line.push('-') };
    let (open, close) = if ip.contains(':') { ("[", "]") } else { ("", "") };
    line.push_str(open);
    push_visible(line, ip);
    line.push_str(close);
    if let Some(port) = columns.int(port, row) {
        let _ = write!(line, ":{port}");
    }
}

fn syscall(columns: &Columns<'_>, row: usize, line: &mut String) {
    match columns.text("syscall", row) {
        Some(name) => push_visible(line, name),
        None => drop(write!(line, "{}", columns.int("nr", row).unwrap_or(-1))),
    }
    line.push('(');
    push_visible(line, columns.text("args_text", row).unwrap_or(""));
    line.push_str(") ");
    if let Some(ns) = columns.int("duration_ns", row) {
        let _ = write!(line, "{:.3} ms", ns as f64 / NS_PER_MS);
    }
}

/// Where it happened: `container=web`, or the first characters of an id without a name.
pub(super) fn container(columns: &Columns<'_>, row: usize, line: &mut String) {
    let Some(id) = columns.text("container_id", row) else { return };
    if !line.ends_with(' ') {
        line.push(' ');
    }
    line.push_str("container=");
    push_visible(line, columns.text("container_name", row).unwrap_or(id.get(..SHORT_ID_CHARS).unwrap_or(id)));
}

/// `name=value ` for each of these columns that has a value in the row.
fn fields(columns: &Columns<'_>, row: usize, names: &[&str], line: &mut String) {
    for name in names {
        if let Some(text) = columns.text(name, row) {
            let _ = write!(line, "{}=", name.trim_end_matches("_text"));
            push_visible(line, text);
            line.push(' ');
        } else if let Some(n) = columns.int(name, row) {
            let _ = write!(line, "{name}={n} ");
        }
    }
}

/// Appends a gap that people should know of; false for every other row of class loss.
pub(super) fn gap(columns: &Columns<'_>, row: usize, line: &mut String) -> bool {
    let reason = columns.text("reason", row).unwrap_or("unknown");
    if columns.text("action", row) != Some(LossAction::Gap.name()) || reason == Reason::NotSelected.name() {
        return false;
    }
    let _ = write!(line, "*** LOST {} events", columns.int("count", row).unwrap_or(0));
    if let Some(cpu) = columns.int("gap_cpu", row) {
        let _ = write!(line, " of CPU {cpu}");
    }
    line.push_str(": ");
    push_visible(line, reason);
    if let Some(by_action) = columns.text("by_action", row) {
        line.push_str(" (");
        push_visible(line, by_action);
        line.push(')');
    }
    line.push_str(" ***");
    true
}
