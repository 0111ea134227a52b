//! Whether a row says what happened, column by column.

use serde_json::Value;
use weir_schema::{Action, CLASSES, Class};

use crate::capture::{Capture, Row, number, text};

/// Ticks of `/proc/PID/stat` are this long; a start time there is rounded down to one.
const TICK_NS: i64 = 10_000_000;
/// Bits of a process key below its start time, and how far that is shifted.
const KEY_PID_BITS: u32 = 22;
const KEY_TIME_SHIFT: u32 = 17;

/// Whether a value is as expected: equal, or within what an object of `any`, `min`, `max`, `one_of`, `contains` says.
pub fn agrees(expected: &Value, got: Option<&Value>) -> bool {
    let got = got.unwrap_or(&Value::Null);
    let Value::Object(rule) = expected else { return same(expected, got) };
    rule.iter().all(|(name, bound)| match name.as_str() {
        "any" => !got.is_null(),
        "min" => integer(got) >= integer(bound) && integer(got).is_some(),
        "max" => integer(got) <= integer(bound) && integer(got).is_some(),
        "one_of" => bound.as_array().is_some_and(|list| list.iter().any(|v| agrees(v, Some(got)))),
        "contains" => got.as_str().is_some_and(|text| text.contains(bound.as_str().unwrap_or("\0"))),
        other => panic!("no rule {other}"),
    })
}

fn same(expected: &Value, got: &Value) -> bool {
    expected == got || (got.is_string() && expected.is_number() && integer(expected) == integer(got))
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        _ => value.as_i64(),
    }
}

/// Class and action of a name with a dot.
pub fn find(name: &str) -> (&'static Class, &'static Action) {
    let (class, action) = name.split_once('.').expect("class.action");
    let class = CLASSES.iter().find(|c| c.name == class).expect("the class");
    (class, class.actions.iter().find(|a| a.name == action).expect("the action"))
}

/// Asserts that every fact is exactly one row, right in every column.
pub fn check(capture: &Capture, facts: &[&Row]) {
    let mut wrong = vec![];
    for fact in facts {
        let (class, action) = find(&text(fact, "action"));
        let rows = capture.rows_of(fact);
        let step = text(fact, "step");
        if rows.len() != 1 {
            wrong.push(format!("{step}: {} rows instead of one: {rows:?}", rows.len()));
        }
        for row in rows.iter().take(1) {
            let found = differences(class, action, row, fact);
            wrong.extend(found.into_iter().map(|d| format!("{step}: {d}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every column of the row that the action can set, and every other one, against what the trigger wrote down; a column that
/// it says nothing of must be null. Returns what differs.
pub fn differences(class: &Class, action: &Action, row: &Row, fact: &Row) -> Vec<String> {
    let expect = fact["expect"].as_object().expect("an object");
    for column in expect.keys() {
        assert!(action.has(column), "{}.{} cannot set {column}", class.name, action.name);
    }
    let mut wrong = who_differs(row, &fact["who"]);
    for column in class.columns {
        if NAMESPACES.contains(&column.name) && action.has(column.name) && !expect.contains_key(column.name) {
            let own = fact["who"].get(column.name);
            // A fork that failed has no child, and so no namespaces.
            let none = row.contains_key("error") && action.name == "fork";
            if !none && own.is_some_and(|own| !agrees(own, row.get(column.name))) {
                wrong.push(format!("{}: expected {own:?}, got {:?}", column.name, row.get(column.name)));
            }
            continue;
        }
        let default = if column.name == "text_escaped" { Value::Bool(false) } else { Value::Null };
        let expected = expect.get(column.name).unwrap_or(&default);
        if !agrees(expected, row.get(column.name)) {
            wrong.push(format!("{}: expected {expected}, got {:?}", column.name, row.get(column.name)));
        }
    }
    wrong
}

/// Columns of class process that are the caller's own.
const NAMESPACES: [&str; 7] = ["mnt_ns", "pid_ns", "net_ns", "user_ns", "uts_ns", "ipc_ns", "cgroup_ns"];
/// Columns of the context that /proc tells too, if it is there.
const CONTEXT: [&str; 7] =
    ["cwd", "user_name", "session_id", "login_uid", "parent_comm", "parent_exe", "parent_cmdline"];

/// The columns that say who, against what /proc said.
pub fn who_differs(row: &Row, who: &Value) -> Vec<String> {
    let mut wrong = vec![];
    for column in ["pid", "tid", "ppid", "uid", "gid", "comm", "exe", "cmdline", "cgroup_id"] {
        if !agrees(&who[column], row.get(column)) {
            wrong.push(format!("{column}: expected {}, got {:?}", who[column], row.get(column)));
        }
    }
    // Facts of a process that another one writes down have the context of that one.
    let is_own = who["context_of"] == who["pid"];
    for column in CONTEXT.iter().filter(|_| is_own) {
        if let Some(expected) = who.get(*column)
            && !agrees(expected, row.get(*column))
        {
            wrong.push(format!("{column}: expected {expected}, got {:?}", row.get(*column)));
        }
    }
    for (column, pid, start) in [("process_key", "pid", "start_ticks"), ("parent_key", "ppid", "parent_start_ticks")] {
        // A parent outside the pid namespace has neither.
        let (Some(pid), Some(start)) = (who[pid].as_i64(), who[start].as_i64()) else { continue };
        let key = number(row, column);
        if !is_key(key, pid, start) {
            wrong.push(format!("{column}: {key} is not the key of {pid}, started at tick {start}"));
        }
    }
    for column in ["host", "boot_id", "time"] {
        if text(row, column).is_empty() {
            wrong.push(format!("{column} is null"));
        }
    }
    for column in ["container_id", "container_name", "container_image"] {
        if row.contains_key(column) {
            wrong.push(format!("{column} is not null"));
        }
    }
    wrong
}

/// Whether this is the key of the process that started at this tick.
pub fn is_key(key: i64, pid: i64, start_ticks: i64) -> bool {
    let started_ns = key >> KEY_PID_BITS << KEY_TIME_SHIFT;
    let earliest = start_ticks * TICK_NS - (1 << KEY_TIME_SHIFT);
    key & ((1 << KEY_PID_BITS) - 1) == pid && (earliest..(start_ticks + 1) * TICK_NS).contains(&started_ns)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_agree_by_value_or_by_rule() {
        for (expected, got, agree) in [
            (json!(5), json!("5"), true),
            (json!(5), json!(6), false),
            (json!("5"), json!(5), false),
            (json!(null), json!(0), false),
            (json!({"any": true}), json!(0), true),
            (json!({"any": true}), json!(null), false),
            (json!({"min": 2, "max": 3}), json!(3), true),
            (json!({"min": 2, "max": 3}), json!(4), false),
            (json!({"min": 2}), json!(null), false),
            (json!({"one_of": [null, "/"]}), json!("/"), true),
            (json!({"one_of": [null, "/"]}), json!("/x"), false),
        ] {
            assert_eq!(agrees(&expected, Some(&got)), agree, "{expected} {got}");
        }
        assert!(agrees(&json!(null), None) && !agrees(&json!(1), None));
    }

    #[test]
    fn a_key_is_of_its_process_and_start_only() {
        let key = |start_ns: i64, pid: i64| start_ns >> KEY_TIME_SHIFT << KEY_PID_BITS | pid;
        assert!(is_key(key(12_345_678_900, 77), 77, 1234));
        assert!(!is_key(key(12_345_678_900, 77), 78, 1234) && !is_key(key(12_345_678_900, 77), 77, 1236));
    }
}
