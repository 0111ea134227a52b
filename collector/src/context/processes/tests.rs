//! Trees that are forked, renamed, left by their creators, and too large.

use super::*;

const SECOND_NS: i64 = 1_000_000_000;

fn limits(processes_max: usize) -> Limits {
    Limits { processes_max, grace_ns: 10 * SECOND_NS, ancestors_max: 3, bytes_max: 64 << 20 }
}

fn comm(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

/// A table and its texts.
struct Stage {
    texts: Texts,
    processes: Processes,
}

impl Stage {
    fn new(processes_max: usize) -> Stage {
        Stage { texts: Texts::default(), processes: Processes::new(limits(processes_max)) }
    }

    fn exec(&mut self, key: i64, parent_key: i64, name: &str) {
        let exe = self.texts.plain(format!("/bin/{name}").as_bytes());
        self.processes.exec(key, parent_key, &comm(name), &mut self.texts, |p| (p.exe, p.cmdline) = (exe, exe));
    }

    fn fork(&mut self, parent_key: i64, child_key: i64) -> bool {
        self.processes.fork(parent_key, child_key, true, &mut self.texts, |_| {})
    }

    fn known(&mut self, key: i64) -> Known {
        let mut known = Known::default();
        let name_bytes = self.processes.name_bytes(key);
        let asked = Asked { process_key: key, comm: name_bytes, ..Asked::default() };
        self.processes.fill(&asked, true, &mut known, true, &mut self.texts);
        known
    }

    /// A row of this process, of a thread with this name; returns whether other rows say something else now.
    fn say(&mut self, key: i64, name: &str, by_leader: bool) -> bool {
        let asked = Asked { process_key: key, comm: comm(name), ..Asked::default() };
        self.processes.fill(&asked, by_leader, &mut Known::default(), true, &mut self.texts)
    }

    /// Of a row of this process: `exe`, `parent_comm`, `ancestors`.
    fn row(&mut self, key: i64) -> [String; 3] {
        let known = self.known(key);
        [1, 5, 8].map(|i| self.texts.get(known.texts[i]).to_owned())
    }
}

#[test]
fn a_child_runs_its_creators_program_until_its_own_exec() {
    let mut stage = Stage::new(10);
    stage.exec(1, 7, "sh");
    stage.fork(1, 2);
    assert_eq!(stage.row(2), ["/bin/sh", "sh", "sh"]);
    stage.exec(2, 99, "ls");
    assert_eq!(stage.row(2), ["/bin/ls", "sh", "sh"]);
    assert_eq!(stage.known(2).parent_key, 1, "the creator stays, whoever is the parent now");
}

#[test]
fn ancestors_go_up_to_the_limit_and_follow_a_creator_that_starts_another_program() {
    let mut stage = Stage::new(10);
    stage.exec(1, 0, "init");
    for (parent, child, name) in [(1, 2, "sshd"), (2, 3, "bash"), (3, 4, "make"), (4, 5, "cc")] {
        stage.fork(parent, child);
        stage.exec(child, parent, name);
    }
    assert_eq!(stage.row(3)[2], "sshd<init");
    assert_eq!(stage.row(5)[2], "make<bash<sshd<...");
    stage.exec(3, 2, "zsh");
    assert_eq!(stage.row(5)[2], "make<zsh<sshd<...");
    assert_eq!(stage.row(4)[1], "zsh");
}

#[test]
fn a_name_that_the_first_thread_gives_itself_is_the_name_its_children_show() {
    let mut stage = Stage::new(10);
    stage.exec(1, 0, "worker");
    stage.fork(1, 2);
    assert_eq!(stage.row(2)[1], "worker");
    assert!(stage.say(1, "renamed", true));
    assert!(!stage.say(1, "renamed", true));
    assert!(!stage.say(1, "a thread", false));
    assert_eq!(stage.row(2)[1], "renamed");
}

#[test]
fn an_ended_process_is_known_for_the_grace_time_and_its_children_know_it_longer() {
    let mut stage = Stage::new(10);
    stage.exec(1, 0, "sh");
    stage.fork(1, 2);
    stage.exec(2, 1, "ls");
    stage.processes.exit(1, SECOND_NS);
    stage.processes.exit(3, 11 * SECOND_NS);
    assert_eq!(stage.row(1)[0], "/bin/sh");
    stage.processes.exit(4, 12 * SECOND_NS);
    assert_eq!(stage.row(1)[0], "");
    stage.processes.generation += 1;
    assert_eq!(stage.row(2), ["/bin/ls", "sh", "sh"]);
}

#[test]
fn a_creator_that_is_listed_behind_its_child_is_its_creator() {
    let mut stage = Stage::new(10);
    stage.exec(3, 2, "ls");
    stage.exec(2, 1, "sh");
    assert_eq!(stage.row(3)[2], "sh");
    stage.exec(1, 0, "init");
    stage.processes.settle();
    assert_eq!(stage.row(3)[2], "sh<init");
    stage.exec(1, 0, "other");
    assert_eq!(stage.row(3)[2], "sh<other");
}

#[test]
fn a_fork_that_is_read_behind_the_listing_of_its_child_corrects_the_childs_children_too() {
    let mut stage = Stage::new(10);
    stage.exec(1, 0, "init");
    stage.exec(2, 1, "sh");
    // Adopted when it was listed.
    stage.exec(3, 1, "worker");
    stage.exec(4, 3, "tool");
    stage.processes.settle();
    assert_eq!(stage.row(4)[2], "worker<init");
    assert!(stage.fork(2, 3));
    assert_eq!(stage.row(3), ["/bin/worker", "sh", "sh<init"]);
    assert_eq!(stage.row(4)[2], "worker<sh<init");
    assert!(!stage.fork(3, 5));
    assert_eq!(stage.row(5)[2], "worker<sh<init");
}

#[test]
fn a_full_table_gives_up_the_ended_first_and_then_what_was_not_seen_for_long() {
    let mut stage = Stage::new(3);
    (1..=3).for_each(|key| stage.exec(key, 0, "a"));
    stage.processes.exit(2, SECOND_NS);
    stage.exec(4, 0, "b");
    assert_eq!(stage.processes.counts(), Counts { known: 3, evicted: 0, unknown: 0, shortened: 0 });
    assert_eq!(stage.row(2)[0], "");
    // All were used since they came; the second round finds one, and not the one that is used meanwhile.
    stage.exec(5, 0, "c");
    assert_eq!(stage.processes.counts().known, 3);
    assert_eq!(stage.processes.counts().evicted, 1);
    for key in 6..100 {
        stage.exec(key, 0, "d");
        assert_eq!(stage.row(5)[0], "/bin/c", "seen at every step");
        assert_eq!(stage.processes.counts().known, 3);
    }
}

#[test]
fn a_child_of_somebody_unknown_still_names_its_creator() {
    let mut stage = Stage::new(3);
    stage.fork(1, 2);
    assert_eq!(stage.known(2).parent_key, 1);
    assert_eq!(stage.row(2), ["", "", ""]);
}

#[test]
fn texts_are_renumbered_everywhere() {
    let mut stage = Stage::new(10);
    stage.exec(1, 0, "sh");
    stage.fork(1, 2);
    stage.exec(2, 1, "ls");
    let before = stage.row(2);
    stage.texts.plain(b"something else");
    for creator in [true, false] {
        stage.texts.begin_turn();
        stage.processes.begin_renewal();
        if creator {
            assert_eq!(stage.row(2), before, "who is met is carried over at once");
            stage.fork(1, 3);
        }
        let Stage { texts, processes } = &mut stage;
        assert!(processes.go_on_renewing(usize::MAX, usize::MAX, texts));
        texts.end_turn();
        assert_eq!(stage.row(2), before);
        assert_eq!(stage.row(3), ["/bin/sh", "sh", "sh"]);
    }
}

#[test]
fn long_texts_are_forgotten_and_short_ones_are_not() {
    let limits = Limits { bytes_max: 16 << 20, ..limits(1_000) };
    let (mut stage, kept) =
        (Stage { texts: Texts::default(), processes: Processes::new(limits) }, limits.kept_text_bytes());
    stage.exec(1, 0, "init");
    let long = |key: i64| format!("{key}{}", "x".repeat(100_000));
    for key in 2..=400 {
        let cmdline = stage.texts.plain(long(key).as_bytes());
        stage.exec(key, 1, "sh");
        stage.processes.change(key, |process| process.cmdline = cmdline);
    }
    stage.texts.begin_turn();
    stage.processes.begin_renewal();
    let Stage { texts, processes } = &mut stage;
    processes.go_on_renewing(usize::MAX, usize::MAX, texts);
    texts.end_turn();
    assert!(stage.texts.bytes() <= kept, "{} of {kept}", stage.texts.bytes());
    let whole = (2..=400).filter(|key| stage.known(*key).texts[2] != TextId::NONE).count();
    assert!(whole > 0 && whole < 399, "{whole}");
    assert_eq!(stage.processes.counts().shortened, 399 - whole as u64);
    assert!((2..=400).all(|key| stage.row(key) == ["/bin/sh", "init", "init"]));
}

#[test]
fn a_name_cannot_be_taken_for_several_creators() {
    let mut stage = Stage::new(20);
    let chain = ["init", "a<sshd<init", "\\", "b\\x3cd", "..."];
    for (i, name) in chain.iter().enumerate() {
        stage.exec(i as i64 + 1, i as i64, name);
    }
    let ancestors = |stage: &mut Stage, key| stage.row(key)[2].clone();
    assert_eq!(ancestors(&mut stage, 2), "init");
    assert_eq!(ancestors(&mut stage, 3), r"a\x3csshd\x3cinit<init");
    assert_eq!(ancestors(&mut stage, 4), r"\\<a\x3csshd\x3cinit<init");
    // The limit counts names.
    assert_eq!(ancestors(&mut stage, 5), r"b\\x3cd<\\<a\x3csshd\x3cinit<...");
    stage.exec(6, 5, "last");
    assert_eq!(ancestors(&mut stage, 6), r"\x2e..<b\\x3cd<\\<...");
}

#[test]
fn a_name_of_separators_pushes_no_creator_out() {
    let mut stage = Stage::new(20);
    stage.exec(1, 0, "init");
    stage.exec(2, 1, &"<".repeat(15));
    stage.exec(3, 2, "child");
    assert_eq!(stage.row(3)[2], format!("{}<init", r"\x3c".repeat(15)));
}
