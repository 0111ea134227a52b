//! How a process ended, in words.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};

use super::letters::short;

/// Last words that are looked at, bytes.
const WORDS_BYTES_MAX: usize = 4096;
/// How the standard library begins its last words when there is no memory.
const NO_MEMORY: &str = "memory allocation of";

/// Waits for the end of a process that is over or was killed, and says how it ended.
pub fn reap(child: &mut Child) -> String {
    let status = child.wait();
    let words = last_words(child);
    let how = match status {
        Ok(status) => describe(status),
        Err(error) => format!("and cannot be waited for: {error}"),
    };
    match words {
        Some(words) if words.contains(NO_MEMORY) => {
            format!("{how}, out of memory ({words}): what it got from the network, or a too low `sink_memory_max`")
        }
        Some(words) => format!("{how} ({words})"),
        None => how,
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("with status {code}"),
        (None, Some(signal)) => format!("by {}", name_of(signal)),
        _ => "somehow".to_owned(),
    }
}

fn name_of(signal: i32) -> String {
    let name = signal_hook::low_level::signal_name(signal);
    name.map_or_else(|| format!("signal {signal}"), |name| format!("signal {signal} ({name})"))
}

/// What it wrote to standard error: nothing, or the reason of its end.
fn last_words(child: &mut Child) -> Option<String> {
    let mut bytes = vec![];
    // The writer is gone, so this ends.
    child.stderr.take()?.take(WORDS_BYTES_MAX as u64).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let words = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(3).collect::<Vec<_>>().join("; ");
    (!words.is_empty()).then(|| short(&words))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn ended(script: &str) -> String {
        let mut shell = Command::new("sh");
        reap(&mut shell.args(["-c", script]).stderr(Stdio::piped()).spawn().unwrap())
    }

    #[test]
    fn an_end_is_told_by_signal_status_and_last_words() {
        assert_eq!(ended("kill -9 $$"), "by signal 9 (SIGKILL)");
        assert_eq!(ended("exit 3"), "with status 3");
        assert_eq!(ended("printf 'a\\033[2J\\n\\nb\\n' >&2; exit 101"), "with status 101 (a\\x1b[2J; b)");
        let text = ended("echo 'memory allocation of 99 bytes failed' >&2; kill -6 $$");
        assert!(
            text.starts_with("by signal 6 (SIGABRT), out of memory (memory allocation of 99 bytes failed)"),
            "{text}"
        );
    }
}
