//! Manual pages: one for weir, one for each command, made from the command line itself.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Command;
use clap_mangen::Man;
use weir_files::Dir;

use crate::host::Caller;

/// The page of weir, or of one command (`run`, `capture-info`), as roff.
pub(super) fn page(name: Option<&str>) -> Result<String> {
    let root = super::command();
    let Some(name) = name else {
        return render(root);
    };
    let pages = commands(&root);
    match pages.into_iter().find(|page| page.get_name() == format!("weir-{name}")) {
        Some(page) => render(page),
        None => bail!("no command `{name}`; see `weir --help`"),
    }
}

/// Writes `weir.1`, `weir-run.1`, ...
pub(super) fn write_all(directory: &Path) -> Result<()> {
    let is_new = !directory.exists();
    let dir = Dir::create_given(directory, Caller::owner());
    let dir = dir.with_context(|| format!("make the directory {}", directory.display()))?;
    if is_new {
        dir.let_others_read().with_context(|| format!("let others read {}", directory.display()))?;
    }
    let root = super::command();
    for page in commands(&root).into_iter().chain([root]) {
        let name = format!("{}.1", page.get_name());
        let text = render(page)?;
        let written = dir.create(&name).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.set_permissions(Permissions::from_mode(0o644))
        });
        written.with_context(|| format!("write {}", directory.join(&name).display()))?;
    }
    Ok(())
}

/// The commands that are not hidden and theirs, named as their pages are: `weir-capture`, `weir-capture-info`. Flags that the
/// help hides are hidden there too.
fn commands(root: &Command) -> Vec<Command> {
    let mut pages = vec![];
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = format!("{}-{}", root.get_name(), command.get_name());
        let page = command.clone().name(name).version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
        pages.extend(commands(&page));
        pages.push(page);
    }
    pages
}

fn render(command: Command) -> Result<String> {
    let mut page = Vec::new();
    Man::new(command.disable_help_flag(true)).manual("weir").render(&mut page).context("render the page")?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
