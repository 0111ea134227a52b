//! Secrets that stand in files, read when their sink is made.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use weir_sinks::Secret;

use crate::helper::Given;

/// Bytes of a secret; a file that is larger is not one.
const BYTES_MAX: u64 = 64 << 10;

/// The secret, or the text of its file without the line end. `name` is the file's key.
pub fn of(name: &str, secret: &Option<Secret>, file: &Option<PathBuf>, given: &Given) -> Result<Option<Secret>> {
    match (secret, file) {
        (Some(secret), _) => Ok(Some(secret.clone())),
        (None, Some(file)) => read(file, given).with_context(|| format!("{name}: read {}", file.display())).map(Some),
        (None, None) => Ok(None),
    }
}

fn read(path: &Path, given: &Given) -> Result<Secret> {
    let mut text = String::new();
    match given.files.get(path) {
        Some(file) => from_start(file)?.take(BYTES_MAX + 1).read_to_string(&mut text)?,
        None => File::open(path)?.take(BYTES_MAX + 1).read_to_string(&mut text)?,
    };
    if text.len() as u64 > BYTES_MAX {
        bail!("a secret has at most {BYTES_MAX} bytes");
    }
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        bail!("the file is empty; write the secret into it");
    }
    Ok(Secret::new(text))
}

/// Two sinks can name one file.
fn from_start(mut file: &File) -> io::Result<&File> {
    file.rewind()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_from_its_file_without_the_line_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("password");
        std::fs::write(&path, " geheim \r\n").expect("written");
        let found = of("x_file", &None, &Some(path), &Given::default()).expect("read");
        assert_eq!(found.as_ref().map(Secret::reveal), Some(" geheim "));
        assert!(of("x_file", &None, &None, &Given::default()).expect("none").is_none());
    }

    #[test]
    fn a_file_that_was_opened_already_is_read_whatever_its_path_is_by_now() {
        let path = PathBuf::from("/nonexistent/password");
        let mut file = tempfile::tempfile().expect("a file");
        std::io::Write::write_all(&mut file, b"geheim\n").expect("written");
        let given = Given { text: None, files: [(path.clone(), file)].into() };
        for _ in 0..2 {
            let found = of("x_file", &None, &Some(path.clone()), &given).expect("read");
            assert_eq!(found.as_ref().map(Secret::reveal), Some("geheim"));
        }
    }

    #[test]
    fn a_file_that_holds_no_secret_is_named_with_its_key() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: String| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let large = "x".repeat(BYTES_MAX as usize + 1);
        for (path, expected) in [
            (dir.path().join("none"), "No such file"),
            (file("empty", "\n".into()), "is empty"),
            (file("large", large), "at most 65536 bytes"),
        ] {
            let error = format!(
                "{:#}",
                of("kafka.sasl_password_file", &None, &Some(path), &Given::default()).expect_err("no secret")
            );
            assert!(error.starts_with("kafka.sasl_password_file: read /") && error.contains(expected), "{error}");
        }
    }
}
