//! What `--help` and the manual teach besides the flags. Paragraphs are one line each: clap wraps them.

pub(super) const ABOUT: &str = "\
What the Linux kernel sees, as columns: weir records programs, files, sockets, memory and system calls with its own eBPF \
probes, in exact kernel-time order, into Parquet files that DuckDB queries, or as rows on standard output. Every event has \
a number: what was lost is in the data, and `weir verify` proves it.";

pub(super) const AFTER: &str = "\
Examples:
  sudo weir run                          record everything to ./weir-data until Ctrl-C
  sudo weir run -- make -j2              record just this command and its children
  weir verify weir-data                  prove that nothing is missing
  duckdb -c \"select * from 'weir-data/class=process/**/*.parquet' order by ktime_ns\"

Exit status:
  0     done
  1     it failed, or the answer is no (verify: rows are missing; check: weir cannot run here)
  2     wrong usage (verify: or something unreadable)
  125   `weir run`: weir itself failed; see `weir run --help`";

pub(super) const RUN: &str = "\
Records what the kernel sees until a signal (Ctrl-C), until --duration is over, or until the command ends.

Without an output, rows go to Parquet files under ./weir-data. With a command, only it and its children are recorded; it \
runs as the user who called sudo, and starts when the probes are ready. Settings come from defaults, a TOML file \
(--config), the environment (WEIR_*) and flags, each over the one before; `weir config` shows them all.";

pub(super) const RUN_AFTER: &str = "\
Examples:
  weir run --duration 1m                             one minute of everything
  weir run --stdout table --class process            like execsnoop, with forks and exits
  weir run --stdout json --syscall openat,connect --class syscall --follow 4242
  weir run --class default,network.sendto --containers --parquet /var/lib/weir
  weir run --class file --failed --except-comm bash -- ./configure

Exit status:
  the command's own, or 128 and the number of the signal that ended it; without a command 0
  125   weir itself failed (also: wrong usage, missing capabilities, a kernel that it cannot run on)
  126   the command was found and cannot be executed
  127   the command was not found

Signals:
  SIGINT, SIGTERM   ordered stop: detach, drain, close files, balance, summary; a second one stops at once and leaves no
                    half-visible file. Ctrl-C also reaches the command, and weir ends after it.

Rights:
  CAP_BPF and CAP_PERFMON, better also CAP_NET_ADMIN, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH; root has them all. What is
  not needed any more after the start is given up. `weir check` tells what is missing here.";

pub(super) const VERIFY_AFTER: &str = "\
Exit status:
  0   complete: every number of every CPU is a row or inside a gap
  1   numbers are missing or doubled, counts do not balance, or rows are out of order; each is named
  2   something is unreadable, or wrong usage
  3   complete up to an open end: no row says that the run stopped; the last number of each CPU is named";

pub(super) const CHECK: &str = "\
Shows what this kernel offers, which probes will run with the configuration in force, and what will be missing and why. \
The probes are loaded and not attached, so the answer is the kernel's own. Takes the settings of `weir run` too.";

pub(super) const CHECK_AFTER: &str = "\
Exit status:
  0   weir can run here, perhaps with less than everything
  1   weir cannot run here, or the configuration is wrong; each reason is named, with what to do
  2   wrong usage";

/// Who is found, and who may ask; then the exit status.
macro_rules! running {
    ($exit:literal) => {
        concat!("\
With one `weir run` on this machine no argument is needed; with several, the answer lists them. Each has a control socket \
(setting `control`): in /run/weir for root, in $XDG_RUNTIME_DIR/weir for a user. Only root and the user who runs it may ask; \
the user who called sudo may ask for the status.\n\nExit status:\n", $exit)
    };
}

pub(super) const STATUS: &str = "\
Shows what a running weir is and does: since when, on which host, its classes and probes, every sink with how far it is \
behind, what was lost and why, memory with its bounds, and the rights that each of its threads holds.";

pub(super) const STATUS_AFTER: &str = running!(
    "  0   it answered
  1   none is running here, it is not to be trusted, or it gave no answer"
);

pub(super) const RELOAD: &str = "\
The running weir reads its file, its environment and its flags again, as SIGHUP makes it, and answers what it did. What is \
wrong leaves everything as it was. Settings other than filters and sinks need a restart, and the answer names them.";

pub(super) const RELOAD_AFTER: &str = running!(
    "  0   done
  1   not put in force, or no answer: the log of the running weir says more"
);

pub(super) const CONFIG: &str = "\
Prints the configuration in force as a TOML file that gives the same again; behind each value stands where it comes from. \
Takes the settings of `weir run`.";

pub(super) const CONFIG_AFTER: &str = "\
Examples:
  weir config --config weir.toml     validate a file
  weir config > weir.toml            a file to start from, with every setting explained

Exit status:
  0   valid
  1   not valid: every problem is named with its file and line
  2   wrong usage";

pub(super) const REPLAY: &str = "\
Plays a capture (`weir run --capture DIR`) or a spool into any sinks, through the same lanes as live events. Rows keep their \
identity (host, boot_id, epoch, cpu, seq), so that a consumer that has them already can drop them; --new-epoch gives them a \
new one, with a boot_id that begins with `replay-`. Takes the settings of `weir run` for its sinks.";

pub(super) const REPLAY_AFTER: &str = "\
Examples:
  weir replay /var/lib/weir/capture --parquet again      as fast as it goes, into Parquet files
  weir replay capture --kafka localhost:9092 --speed 1   at the speed at which it happened
  weir replay capture --stdout json --only-class process --since 2026-11-26T02:00:00Z --until 2026-11-26T03:00:00Z
  weir replay capture --kafka localhost:9092 --resume    go on where the replay before was interrupted
  weir replay capture --discard                          read it to its end and write nothing";
