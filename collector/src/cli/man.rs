//! Manual pages: one for weir, one for each command, made from the command line itself.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Command;
use clap_mangen::Man;

/// The page of weir, or of one command, as roff.
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
    fs::create_dir_all(directory).with_context(|| format!("make the directory {}", directory.display()))?;
    let root = super::command();
    for page in commands(&root).into_iter().chain([root]) {
        let path = directory.join(format!("{}.1", page.get_name()));
        fs::write(&path, render(page)?).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// The commands that are not hidden, named as their pages are. Flags that the help hides are hidden there too.
fn commands(root: &Command) -> Vec<Command> {
    let visible = root.get_subcommands().filter(|command| !command.is_hide_set());
    visible
        .map(|command| {
            let name = format!("weir-{}", command.get_name());
            command.clone().name(name).version(env!("CARGO_PKG_VERSION"))
        })
        .collect()
}

fn render(command: Command) -> Result<String> {
    let mut page = Vec::new();
    Man::new(command.disable_help_flag(true)).manual("weir").render(&mut page).context("render the page")?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
