//! Names of users, from the host's own user database.
//!
//! Only the file is read: directory services would block, and no event waits for a name. It is read again when it changes.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use foldhash::fast::FixedState;

use crate::texts::{TextId, Texts};

/// The host's database, also from inside a container that shares the host's processes.
const OF_HOST: &str = "/proc/1/root/etc/passwd";
const OWN: &str = "/etc/passwd";

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Bytes of the file that are read.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Users by id.
#[derive(Default)]
pub struct Users {
    names: HashMap<u32, String, FixedState>,
    /// Texts of those that were asked for; none where nobody has the id.
    texts: HashMap<u32, TextId, FixedState>,
    looked: Option<Instant>,
    /// Chosen when it was looked at first: the right to look at the host's from a container is given up behind the start.
    database: Option<PathBuf>,
    changed: Option<SystemTime>,
    unknown: u64,
}

/// Different user ids that are kept as asked for.
const ASKED_MAX: usize = 1 << 16;

impl Users {
    /// The name of a user.
    pub fn name(&mut self, uid: u32, texts: &mut Texts) -> TextId {
        if let Some(known) = self.texts.get(&uid) {
            return *known;
        }
        let text = self.names.get(&uid).map_or(TextId::NONE, |name| texts.plain(name.as_bytes()));
        self.unknown += u64::from(text.is_none());
        if self.texts.len() < ASKED_MAX {
            self.texts.insert(uid, text);
        }
        text
    }

    /// Reads the database again if it has changed; looks at it now and then. Returns whether it has.
    pub fn refresh(&mut self, now: Instant) -> bool {
        if self.looked.is_some_and(|at| now.duration_since(at) < LOOK_EVERY) {
            return false;
        }
        self.looked = Some(now);
        let path = self.database.get_or_insert_with(database).clone();
        self.read(&path)
    }

    fn read(&mut self, path: &Path) -> bool {
        let changed = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        if changed.is_none() || changed == self.changed {
            return false;
        }
        let Ok(text) = read_bounded(path) else { return false };
        self.changed = changed;
        self.names = parse(&text);
        self.texts.clear();
        true
    }

    /// User ids that no name was found for, each counted once per version of the database.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Every text that is held, to be renumbered.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut TextId> {
        self.texts.values_mut()
    }
}

/// The host's; by its own name where that is the same file, so that it can be read again later.
fn database() -> PathBuf {
    let file = |path: &str| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    match (file(OF_HOST), file(OWN)) {
        (Ok(host), Ok(own)) if host != own => OF_HOST.into(),
        (Ok(_), Err(_)) => OF_HOST.into(),
        _ => OWN.into(),
    }
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut text = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

/// passwd(5): `name:password:uid:...`. The first of several names of an id counts, as for getpwuid(3).
fn parse(text: &[u8]) -> HashMap<u32, String, FixedState> {
    let mut names = HashMap::default();
    for line in String::from_utf8_lossy(text).lines() {
        let mut fields = line.split(':');
        let (Some(name), _, Some(uid)) = (fields.next(), fields.next(), fields.next()) else { continue };
        if let Ok(uid) = uid.parse() {
            names.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_read_line_by_line_and_nonsense_is_left_out() {
        let names = parse(b"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n\n#no\n+::\nx:y\nann:x:1000:1000:A,\xff:/home/ann:/bin/sh\n");
        assert_eq!(names.len(), 2);
        assert_eq!((names[&0].as_str(), names[&1000].as_str()), ("root", "ann"));
    }

    #[test]
    fn a_changed_database_is_read_again_and_an_unknown_user_is_counted() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let (mut users, mut texts) = (Users::default(), Texts::default());
        fs::write(file.path(), "root:x:0:\n").expect("write");
        assert!(users.read(file.path()));
        assert!(!users.read(file.path()));
        let root = users.name(0, &mut texts);
        assert_eq!(texts.get(root), "root");
        assert!(users.name(7, &mut texts).is_none() && users.name(7, &mut texts).is_none());
        assert_eq!(users.unknown(), 1);
        fs::write(file.path(), "seven:x:7:\n").expect("write");
        users.changed = None;
        assert!(users.read(file.path()));
        let seven = users.name(7, &mut texts);
        assert_eq!(texts.get(seven), "seven");
        assert!(users.name(0, &mut texts).is_none());
    }
}
