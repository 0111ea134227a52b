//! `weir status` and `weir reload`: one question to a running weir, and its answer.

use anyhow::{Result, bail};

use super::{RunningArgs, StatusArgs, complain, print};
use crate::control::{Client, ControlCommand, Reply, Selector, reload_text, status_text};
use crate::terminal::json;

pub(super) fn status(args: StatusArgs) -> u8 {
    let text = ask(&args.running, ControlCommand::Status).and_then(|(_, reply)| match reply {
        Reply::Status { status } if args.json => Ok(json(&status)?),
        Reply::Status { status } => Ok(status_text(&status)),
        other => unexpected(other),
    });
    text.map_or_else(|error| complain(format!("{error:#}")), |text| print(&text))
}

pub(super) fn reload(args: RunningArgs) -> u8 {
    let text = ask(&args, ControlCommand::Reload).and_then(|(pid, reply)| match reply {
        Reply::Reloaded { done } => Ok(reload_text(pid, &done)),
        other => unexpected(other),
    });
    text.map_or_else(|error| complain(format!("{error:#}")), |text| print(&text))
}

fn ask(which: &RunningArgs, command: ControlCommand) -> Result<(Option<u32>, Reply)> {
    let selector = Selector { socket: which.socket.clone(), pid: which.pid.or(which.process) };
    let mut client = Client::find(&selector)?;
    let reply = client.ask(command)?;
    Ok((client.pid(), reply))
}

fn unexpected(reply: Reply) -> Result<String> {
    match reply {
        Reply::Failed { error } => bail!(error),
        _ => bail!("the answer is none to what was asked: is it another version of weir?"),
    }
}
