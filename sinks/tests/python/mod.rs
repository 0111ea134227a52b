//! The Python of tests that read what was written with other people's readers.

use std::path::{Path, PathBuf};

/// The interpreter that has pyarrow and duckdb.
pub fn python() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin/python");
    let python = std::env::var_os("WEIR_TEST_PYTHON").map_or(installed, PathBuf::from);
    assert!(
        python.exists(),
        "no Python with pyarrow and duckdb at {}: `./x test` installs it, or set WEIR_TEST_PYTHON",
        python.display()
    );
    python
}
