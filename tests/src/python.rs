//! The Python that reads what weir wrote.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::skip::skipped;

/// The interpreter that has these modules: `WEIR_TEST_PYTHON`, else the one that `./x test` makes; `None`, with the reason
/// printed, where there is none.
pub fn with(modules: &str) -> Option<PathBuf> {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin/python");
    let python = std::env::var_os("WEIR_TEST_PYTHON").map_or(made, PathBuf::from);
    let imported = Command::new(&python).args(["-c", &format!("import {modules}")]).output();
    let ready = imported.is_ok_and(|output| output.status.success());
    if !ready {
        skipped(modules, &format!("{} does not have them: ./x test makes it", python.display()));
    }
    ready.then_some(python)
}
