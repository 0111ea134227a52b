//! What a flush is about to publish, written down beside the data, so that a restart finds the files of a flush all there, or
//! removes those that are and lets the lane write their rows again.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::file_names::safe;
use crate::{Progress, SinkError, private};

/// Longest part of the file's name that is the sink's.
const NAME_BYTES_MAX: usize = 64;

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

/// Where it is written down: nothing that a reader's glob for `*.parquet` takes.
fn path(dir: &Path, sink: &str) -> PathBuf {
    dir.join(format!(".{}.generation.json", safe(sink, NAME_BYTES_MAX)))
}

/// Writes it down, durably.
pub(super) fn store(
    dir: &Path,
    sink: &str,
    progress: &Progress,
    files: Vec<PathBuf>,
    published: bool,
) -> io::Result<()> {
    let path = path(dir, sink);
    let temporary = path.with_extension("tmp");
    let generation = Generation { progress: progress.clone(), files, published };
    let mut file = private::create(&temporary, private::owner_of_directory(&path)?)?;
    file.write_all(&serde_json::to_vec(&generation)?)?;
    file.sync_all()?;
    fs::rename(&temporary, &path)?;
    File::open(dir)?.sync_all()
}

/// How far the data goes: as far as the last flush if all its files are there; else what is there of them goes.
pub(super) fn recover(dir: &Path, sink: &str) -> Result<Option<Progress>, SinkError> {
    let path = path(dir, sink);
    let failed = |error: io::Error| SinkError::Retry(format!("look at the last files in {}: {error}", dir.display()));
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let generation: Generation = serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?;
    let inside = |file: &&PathBuf| file.components().all(|c| matches!(c, std::path::Component::Normal(_)));
    let files: Vec<PathBuf> = generation.files.iter().filter(inside).map(|file| dir.join(file)).collect();
    let there: Vec<&PathBuf> = files.iter().filter(|file| file.exists()).collect();
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
    there.iter().rev().try_for_each(fs::remove_file).map_err(failed)?;
    Ok(None)
}
