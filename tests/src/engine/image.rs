//! The image of the tests: one static program, from no registry.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Engine, IMAGE, program, run};

/// What a container may start.
const COMMANDS: [&str; 8] = ["cat", "echo", "id", "ls", "sh", "sleep", "touch", "true"];

/// A busybox that needs no library.
pub fn busybox() -> Option<PathBuf> {
    let file = program("busybox")?;
    // A program that is linked to libraries names its loader near its beginning.
    let bytes = fs::read(&file).ok()?;
    let head = bytes.get(..4096)?;
    let dynamic = head.windows(9).any(|window| window == b"ld-linux-" || window == b"/ld-musl-");
    (!dynamic).then_some(file)
}

/// Makes it, and hands it to the engine.
pub fn import(engine: &Engine) -> Result<()> {
    let (root, archive) = (engine.dir().join("image"), engine.dir().join("root.tar"));
    fill(&root)?;
    run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg("."))?;
    let changes = ["--change", "ENV PATH=/bin", "--change", r#"CMD ["sleep", "600"]"#];
    engine.docker(&[&["import"], &changes[..], &[&archive.to_string_lossy(), IMAGE]].concat()).map(drop)
}

fn fill(root: &Path) -> Result<()> {
    for folder in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy(busybox().context("no static busybox")?, root.join("bin/busybox"))?;
    for command in COMMANDS {
        symlink("busybox", root.join("bin").join(command))?;
    }
    Ok(())
}
