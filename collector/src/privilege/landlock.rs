//! Landlock: files that a thread may read; it can write none, and bind and connect no TCP port. What a kernel does not have is
//! left out and said.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, path_beneath_rules,
};

/// The newest rights that are asked for; older kernels give a part of them.
const ABI_WANTED: ABI = ABI::V5;

/// How far the rules are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landlock {
    /// All of them.
    Whole,
    /// Those that this kernel knows.
    Part,
    /// It is not in this kernel.
    Absent,
    /// It is in this kernel and not turned on (`lsm=` of its command line).
    Off,
}

impl Landlock {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Landlock::Whole => "in force",
            Landlock::Part => "in force as far as this kernel has it",
            Landlock::Absent => "not in this kernel",
            Landlock::Off => "not turned on in this kernel (`lsm=` of its command line)",
        }
    }
}

impl From<RestrictionStatus> for Landlock {
    fn from(status: RestrictionStatus) -> Landlock {
        match (status.ruleset, status.landlock) {
            (RulesetStatus::FullyEnforced, _) => Landlock::Whole,
            (RulesetStatus::PartiallyEnforced, _) => Landlock::Part,
            (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => Landlock::Off,
            (RulesetStatus::NotEnforced, _) => Landlock::Absent,
        }
    }
}

/// From now on this thread, and those that it starts, can only read what is below these paths. It cannot be undone.
///
/// # Errors
/// The kernel refuses rules that it should know.
pub fn restrict(read: &[&Path]) -> Result<Landlock, RulesetError> {
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI_WANTED))?
        .handle_access(AccessNet::from_all(ABI_WANTED))?
        .create()?
        .add_rules(path_beneath_rules(read, AccessFs::ReadFile | AccessFs::ReadDir))?;
    Ok(rules.restrict_self()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::ErrorKind;
    use std::thread;

    #[test]
    fn a_restricted_thread_reads_what_it_was_given_and_nothing_else() {
        let scratch = tempfile::tempdir().expect("a directory");
        for name in ["given", "other"] {
            fs::create_dir(scratch.path().join(name)).expect("a directory");
            fs::write(scratch.path().join(name).join("file"), "text").expect("written");
        }
        let dir = scratch.path().to_owned();
        let act = move || {
            rustix::thread::set_no_new_privs(true).expect("always allowed");
            let landlock = restrict(&[&dir.join("given")]).expect("rules that every kernel takes");
            if matches!(landlock, Landlock::Absent | Landlock::Off) {
                weir_tests::skip::skipped("rules of Landlock", landlock.text());
                return;
            }
            assert_eq!(fs::read(dir.join("given/file")).expect("given"), b"text");
            let refused = |result: std::io::Result<()>| {
                assert_eq!(result.expect_err("not given").kind(), ErrorKind::PermissionDenied);
            };
            refused(fs::read(dir.join("other/file")).map(drop));
            refused(fs::write(dir.join("given/file"), "other"));
            refused(fs::remove_file(dir.join("given/file")));
        };
        thread::spawn(act).join().expect("it ends well");
    }
}
