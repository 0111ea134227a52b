//! Names of users, from the host's own user database.
//!
//! Only the file is read: directory services would block, and no event waits for a name. It is read again when it changes.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use foldhash::fast::FixedState;

use crate::errand::Errand;
use crate::texts::{TextId, Texts};

/// The host's database, also from inside a container that shares the host's processes.
const OF_HOST: &str = "/proc/1/root/etc/passwd";
const OWN: &str = "/etc/passwd";

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Bytes of the file that are read.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Names by user id.
type ById = HashMap<u32, String, FixedState>;

/// Users by id.
#[derive(Default)]
pub struct Users {
    names: ById,
    /// Texts of those that were asked for; none where nobody has the id.
    texts: HashMap<u32, TextId, FixedState>,
    asked: Option<Instant>,
    /// Before somebody else looks at it.
    database: Option<Database>,
    /// Looks at the database.
    look: Option<Errand<Option<ById>>>,
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

    /// Reads the database. Whoever calls may wait for files.
    pub fn load(&mut self) {
        let mut database = Database::find();
        if let Some(names) = database.look() {
            self.renew(names);
        }
        self.database = Some(database);
    }

    /// From here on a thread looks whether the loaded database has changed, so that nobody else opens a file for it.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn watch(&mut self) -> io::Result<()> {
        if let Some(mut database) = self.database.take() {
            self.look = Some(Errand::start("users", move || database.look())?);
        }
        Ok(())
    }

    /// Takes the database if it has changed, and asks for another look now and then. Returns whether it has.
    pub fn refresh(&mut self, now: Instant) -> bool {
        let Some(look) = &mut self.look else { return false };
        let found = look.take().flatten();
        if self.asked.is_none_or(|at| now.duration_since(at) >= LOOK_EVERY) {
            self.asked = Some(now);
            look.ask();
        }
        let has_changed = found.is_some();
        if let Some(names) = found {
            self.renew(names);
        }
        has_changed
    }

    fn renew(&mut self, names: ById) {
        self.names = names;
        self.texts.clear();
    }

    /// User ids that no name was found for, each counted once per version of the database.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Texts are looked up again; who has no name was counted, and has none until the database changes.
    pub fn forget_texts(&mut self) {
        self.texts.retain(|_, text| text.is_none());
    }
}

/// The file, and when it was changed as it was read last.
struct Database {
    /// Chosen once: the right to look at the host's from a container is given up behind the start.
    path: PathBuf,
    changed: Option<SystemTime>,
}

impl Database {
    /// The host's; by its own name where that is the same file, so that it can be read again later.
    fn find() -> Database {
        let file = |path: &str| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
        let path = match (file(OF_HOST), file(OWN)) {
            (Ok(host), Ok(own)) if host != own => OF_HOST,
            (Ok(_), Err(_)) => OF_HOST,
            _ => OWN,
        };
        Database { path: path.into(), changed: None }
    }

    /// The names, if the file has changed since the last look.
    fn look(&mut self) -> Option<ById> {
        let changed = fs::metadata(&self.path).and_then(|metadata| metadata.modified()).ok();
        if changed.is_none() || changed == self.changed {
            return None;
        }
        let text = read_bounded(&self.path).ok()?;
        self.changed = changed;
        Some(parse(&text))
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut text = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

/// passwd(5): `name:password:uid:...`. The first of several names of an id counts, as for getpwuid(3).
fn parse(text: &[u8]) -> ById {
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
        let mut database = Database { path: file.path().into(), changed: None };
        fs::write(file.path(), "root:x:0:\n").expect("write");
        users.renew(database.look().expect("it is new"));
        assert!(database.look().is_none());
        let root = users.name(0, &mut texts);
        assert_eq!(texts.get(root), "root");
        assert!(users.name(7, &mut texts).is_none() && users.name(7, &mut texts).is_none());
        assert_eq!(users.unknown(), 1);
        fs::write(file.path(), "seven:x:7:\n").expect("write");
        database.changed = None;
        users.database = Some(database);
        users.watch().expect("a thread");
        let mut now = Instant::now();
        while !users.refresh(now) {
            std::thread::yield_now();
            now += LOOK_EVERY;
        }
        let seven = users.name(7, &mut texts);
        assert_eq!(texts.get(seven), "seven");
        assert!(users.name(0, &mut texts).is_none());
    }
}
