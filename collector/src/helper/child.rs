//! The inside of the helper: `weir helper` with the flags of `weir run`, one thread, its socket as standard input.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{MemfdFlags, memfd_create};
use weir_files::open_to_read;

use super::wire::{ERROR_BYTES_MAX, Message, receive, send};
use crate::cli::SettingFlags;
use crate::config::{Config, DATA_DIR, KEYS, SinkSettings, text_of};
use crate::escape::whole_characters;
use crate::host::Caller;
use crate::privilege::{Role, drop_rights};

/// Arguments of `weir helper`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingFlags,
}

impl Args {
    /// Answers until the collector is gone. Returns what went wrong, if there is somebody to be told.
    ///
    /// # Errors
    /// The rights that it does not need cannot be given up, or it has no socket.
    pub fn run(self) -> Result<()> {
        // The process is named after /proc/self/exe otherwise. A name is no reason to fail.
        let _ = rustix::thread::set_name(c"weir-helper");
        drop_rights(Role::Helper).context("give up what the helper does not need")?;
        let socket = io::stdin();
        loop {
            match receive(&socket).context("the helper is not for use by hand")? {
                None => return Ok(()),
                Some((Message::Read, _)) => self.answer(socket.as_fd())?,
                Some(other) => bail!("the helper was asked for something that it does not do: {other:?}"),
            }
        }
    }

    fn answer(&self, socket: BorrowedFd<'_>) -> Result<()> {
        let last = match self.read(socket) {
            Ok(()) => Message::Done,
            Err(error) => Message::Failed { error: cut(format!("{error:#}")) },
        };
        send(socket, &last, None).context("answer the collector")
    }

    fn read(&self, socket: BorrowedFd<'_>) -> Result<()> {
        let text = self.settings.path().map(|path| read_config(&path)).transpose()?;
        let config = self.settings.clone().load_with(text.clone())?.config;
        if let Some(text) = text {
            send(socket, &Message::Config, Some(in_memory(&text)?.as_fd()))?;
        }
        for path in secrets(&config) {
            let file = open_to_read(&path).with_context(|| format!("open {}", path.display()))?;
            send(socket, &Message::File { path }, Some(file.as_fd()))?;
        }
        make_directories(&config)
    }
}

/// The longest beginning of a text that a message has room for.
fn cut(mut text: String) -> String {
    text.truncate(whole_characters(&text, ERROR_BYTES_MAX).len());
    text
}

fn read_config(path: &Path) -> Result<String> {
    open_to_read(path)
        .and_then(|file| text_of(path, file))
        .with_context(|| format!("{}: cannot be read", path.display()))
}

fn in_memory(text: &str) -> Result<File> {
    let mut file =
        File::from(memfd_create("weir-config", MemfdFlags::CLOEXEC).context("make room for the configuration")?);
    file.write_all(text.as_bytes()).and_then(|()| io::Seek::rewind(&mut file)).context("pass the configuration on")?;
    Ok(file)
}

/// Files of secrets that any sink names.
fn secrets(config: &Config) -> BTreeSet<PathBuf> {
    let mut paths = BTreeSet::new();
    for own in config.sinks.iter().map(|sink| sink.as_config(config)) {
        for key in KEYS.iter().filter(|key| !key.secret && key.twin().is_some()) {
            let value = (key.get)(&own).and_then(|text| toml::from_str::<toml::Table>(&format!("v = {text}")).ok());
            let path = value.and_then(|mut table| table.remove("v")?.as_str().map(PathBuf::from));
            paths.extend(path);
        }
    }
    paths
}

/// Makes what is missing of the directories that sinks write to.
///
/// # Errors
/// When one cannot be made, or is not to be trusted.
pub fn make_directories(config: &Config) -> Result<()> {
    directories(config).iter().try_for_each(|path| {
        weir_files::Dir::create_given(path, Caller::owner())
            .map(drop)
            .with_context(|| format!("open {}", path.display()))
    })
}

/// Directories that any sink writes to.
fn directories(config: &Config) -> BTreeSet<PathBuf> {
    let parquet = config.sinks.iter().filter_map(|sink| match &sink.settings {
        SinkSettings::Parquet(section) => Some(section.dir.clone().unwrap_or_else(|| DATA_DIR.into())),
        _ => None,
    });
    parquet.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(toml: &str) -> Config {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), toml).expect("written");
        let sources = crate::config::Sources { file: Some(file.path().into()), ..Default::default() };
        sources.load().expect("valid").config
    }

    #[test]
    fn what_is_opened_is_what_the_configuration_names() {
        let config = config(
            "[kafka]\nbrokers = [\"h:1\"]\nsasl_mechanism = \"plain\"\nsasl_username = \"u\"\nsasl_password_file = \"/a\"\n\
             [[sink]]\ntype = \"kafka\"\n[[sink]]\ntype = \"nats\"\nservers = [\"nats://h\"]\ntoken_file = \"/b\"\n\
             [[sink]]\ntype = \"parquet\"\ndir = \"/d\"\n",
        );
        assert_eq!(secrets(&config), ["/a", "/b"].map(PathBuf::from).into());
        assert_eq!(directories(&config), [PathBuf::from("/d")].into());
    }

    #[test]
    fn only_regular_files_are_opened_and_nothing_is_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .expect("a FIFO");
        for path in [fifo.as_path(), dir.path(), Path::new("/dev/null")] {
            let error = open_to_read(path).expect_err("no regular file").to_string();
            assert!(error.contains("only regular files"), "{}: {error}", path.display());
        }
        assert_eq!(cut("ä".repeat(ERROR_BYTES_MAX)).len(), ERROR_BYTES_MAX);
    }
}
