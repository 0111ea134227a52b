//! Where the kernel's own file systems are mounted.

use std::path::PathBuf;

/// Mount points; `None` where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounts {
    /// tracefs: names of system call arguments.
    pub tracefs: Option<PathBuf>,
    /// bpffs: pinning.
    pub bpffs: Option<PathBuf>,
    /// cgroup v2: closes of sockets, filters by cgroup.
    pub cgroup2: Option<PathBuf>,
    /// cgroup v1 with the pids controller, then that with the memory controller: containers are there, if they are.
    pub pids: Option<PathBuf>,
    /// See `pids`.
    pub memory: Option<PathBuf>,
}

impl Mounts {
    /// From the text of `/proc/self/mounts`. The usual place wins over others, then the first.
    pub fn parse(text: &str) -> Mounts {
        let of = |kind: &str, usual: &str| {
            let points: Vec<PathBuf> = text.lines().filter_map(|line| mount_point(line, kind)).collect();
            points.iter().find(|point| point.as_os_str() == usual).or(points.first()).cloned()
        };
        Mounts {
            tracefs: of("tracefs", "/sys/kernel/tracing"),
            bpffs: of("bpf", "/sys/fs/bpf"),
            cgroup2: of("cgroup2", "/sys/fs/cgroup"),
            pids: controller(text, "pids"),
            memory: controller(text, "memory"),
        }
    }
}

/// A hierarchy of v1 names its controllers among the options of the mount.
fn controller(text: &str, name: &str) -> Option<PathBuf> {
    let has_it = |line: &&str| line.split(' ').nth(3).is_some_and(|options| options.split(',').any(|o| o == name));
    text.lines().filter(has_it).find_map(|line| mount_point(line, "cgroup"))
}

fn mount_point(line: &str, kind: &str) -> Option<PathBuf> {
    let mut fields = line.split(' ');
    let (_, point, found) = (fields.next()?, fields.next()?, fields.next()?);
    (found == kind).then(|| PathBuf::from(unescape(point)))
}

/// The kernel writes space, tab, line end and backslash of a mount point as `\` and three octal digits.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        match after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = &after[3..];
            }
            None => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_at_the_usual_place_first() {
        let text = "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n\
                    cgroup /sys/fs/cgroup/pids cgroup rw,nosuid,pids 0 0\n\
                    cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
                    tracefs /sys/kernel/debug/tracing tracefs rw 0 0\n\
                    tracefs /sys/kernel/tracing tracefs rw 0 0\n\
                    bpf /mnt/a\\040b\\134c bpf rw 0 0\n";
        let mounts = Mounts::parse(text);
        assert_eq!(mounts.tracefs, Some("/sys/kernel/tracing".into()));
        assert_eq!((mounts.pids, mounts.memory), (Some("/sys/fs/cgroup/pids".into()), None));
        assert_eq!(mounts.cgroup2, Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(mounts.bpffs, Some("/mnt/a b\\c".into()));
        assert_eq!(Mounts::parse("tmpfs /tracefs tmpfs rw 0 0\n\nx\n"), Mounts::default());
    }
}
