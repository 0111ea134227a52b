//! What a flush is about to publish, written down beside the data, so that a restart finds the files of a flush all there, or
//! removes those that are and lets the lane write their rows again.

use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use weir_files::Dir;

use super::names::FINISHED;
use crate::file_names::safe;
use crate::{Progress, SinkError};

/// Longest part of the file's name that is the sink's.
const NAME_BYTES_MAX: usize = 64;
/// Longest note that is believed.
const BYTES_MAX: u64 = 16 << 20;

/// One flush.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Generation {
    /// How far the data goes with it.
    progress: Progress,
    /// Below the data directory.
    files: Vec<PathBuf>,
    /// All of them were there: what is missing since was removed on purpose.
    published: bool,
}

#[cfg(test)]
impl Generation {
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

/// Where it is written down: nothing that a reader's glob for `*.parquet` takes.
fn name(sink: &str) -> String {
    format!(".{}.generation.json", safe(sink, NAME_BYTES_MAX))
}

/// Whether a file below the data directory can be one of a flush.
fn is_published(file: &Path) -> bool {
    let mut parts = file.components();
    let is_class = matches!(parts.next(), Some(Component::Normal(top)) if top.to_string_lossy().starts_with("class="));
    is_class && parts.all(|part| matches!(part, Component::Normal(_))) && file.to_string_lossy().ends_with(FINISHED)
}

/// Writes it down, durably.
pub(super) fn store(
    dir: &Dir,
    sink: &str,
    progress: &Progress,
    files: Vec<PathBuf>,
    published: bool,
) -> io::Result<()> {
    let generation = Generation { progress: progress.clone(), files, published };
    dir.replace(name(sink), &serde_json::to_vec(&generation)?)
}

/// What is written down; `None`: nothing is.
///
/// # Errors
/// When it cannot be read, with its path and what to do.
pub(super) fn read(dir: &Dir, sink: &str) -> io::Result<Option<Generation>> {
    let name = name(sink);
    match dir.read(&name, BYTES_MAX).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?)) {
        Ok(generation) => Ok(Some(generation)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        // A refusal has words of its own.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(error),
        Err(error) => {
            let advice = "remove it; rows of the last files may then be there twice";
            Err(io::Error::new(error.kind(), format!("{}: {error}; {advice}", dir.path_of(&name).display())))
        }
    }
}

/// How far the data goes: as far as the last flush if all its files are there; else what is there of them goes.
pub(super) fn recover(dir: &Dir, sink: &str) -> Result<Option<Progress>, SinkError> {
    let path = dir.path().display();
    let failed = |error: io::Error| SinkError::Retry(format!("look at the last files in {path}: {error}"));
    let Some(generation) = read(dir, sink).map_err(failed)? else { return Ok(None) };
    let files: Vec<&PathBuf> = generation.files.iter().filter(|file| is_published(file)).collect();
    let mut there = vec![];
    for file in &files {
        there.extend(dir.stat(file).map_err(failed)?.map(|_| *file));
    }
    if generation.published || there.len() == files.len() {
        return Ok(Some(generation.progress));
    }
    if !there.is_empty() {
        tracing::info!(
            files = there.len(),
            "files of a flush that was killed are removed; their rows are written again"
        );
    }
    // The last one first, as after a flush that failed: class `loss` has the checkpoints.
    there.iter().rev().try_for_each(|file| dir.remove(file)).map_err(failed)?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn written(dir: &Dir, files: &[&str]) {
        let files = files.iter().map(PathBuf::from).collect();
        store(dir, "parquet", &Progress::begins("log", 0), files, false).unwrap();
    }

    #[test]
    fn what_a_note_names_outside_of_the_data_is_never_removed() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("elsewhere")).unwrap();
        let outside = [scratch.path().join("outside.parquet"), scratch.path().join("elsewhere/x.parquet")];
        outside.iter().for_each(|path| fs::write(path, "outside").unwrap());
        let dir = Dir::create_given(&scratch.path().join("data"), None).unwrap();
        dir.replace("beside", b"not a file of a flush").unwrap();
        let absolute = outside[0].display().to_string();
        let named = ["../outside.parquet", "class=file/../../outside.parquet", absolute.as_str(), "beside", "missing"];
        for name in named {
            written(&dir, &[name, "class=file/missing.parquet"]);
            assert!(recover(&dir, "parquet").unwrap().is_none(), "{name}");
        }
        std::os::unix::fs::symlink(scratch.path().join("elsewhere"), dir.path_of("class=file")).unwrap();
        written(&dir, &["class=file/x.parquet", "class=file/missing.parquet"]);
        let refused = recover(&dir, "parquet").unwrap_err().to_string();
        assert!(refused.contains("class=file") && refused.contains("link"), "{refused}");
        outside.iter().for_each(|path| assert_eq!(fs::read(path).unwrap(), b"outside"));
        assert!(dir.stat("beside").unwrap().is_some());
    }

    #[test]
    fn a_damaged_note_is_named_with_what_to_do() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = Dir::create_given(scratch.path(), None).unwrap();
        for bytes in [&b""[..], b"\xff\x00random", b"{}", b"[1]"] {
            dir.replace(".parquet.generation.json", bytes).unwrap();
            let error = recover(&dir, "parquet").unwrap_err().to_string();
            let named = error.matches("/.parquet.generation.json: ").count();
            assert!(named == 1 && error.contains("remove it"), "{error}");
        }
    }

    #[test]
    fn a_link_in_place_of_the_note_or_its_temporary_leads_nowhere() {
        let scratch = tempfile::tempdir().unwrap();
        let outside = scratch.path().join("outside");
        fs::write(&outside, "outside").unwrap();
        let dir = Dir::create_given(&scratch.path().join("data"), None).unwrap();
        for ending in ["generation.json", "generation.json.tmp", "generation.tmp"] {
            std::os::unix::fs::symlink(&outside, dir.path_of(format!(".parquet.{ending}"))).unwrap();
        }
        written(&dir, &["class=file/a.parquet"]);
        assert!(fs::symlink_metadata(dir.path_of(".parquet.generation.json")).unwrap().is_file());
        assert_eq!(fs::read(&outside).unwrap(), b"outside");
    }
}
