//! `dispa reload`: has the running daemon read its configuration again.

use std::path::Path;

use super::{CliError, runtime, say, write_out};
use crate::admin::{self, ReloadAnswer, UpgradeAnswer};

/// Asks for it; waits for the end of it, if that is wanted. The exit code.
pub(super) fn run(socket: &Path, waits: bool) -> Result<u8, CliError> {
    let ReloadAnswer { generation, needs_restart, warnings, upgrade_due } =
        match runtime()?.block_on(admin::reload(socket, waits)) {
            Err(admin::AskError::Refused { reason, .. }) => {
                say(format_args!("{reason}\ndispa: refused: the daemon goes on as before"));
                return Ok(1);
            }
            answer => answer?,
        };
    if upgrade_due {
        return upgrade(socket);
    }
    for warning in warnings {
        say(format_args!("{warning}\n"));
    }
    let mut told = match generation {
        Some(generation) => format!("reloaded: configuration {generation} counts\n"),
        None => "asked for; `dispa status` tells how it went\n".to_owned(),
    };
    if !needs_restart.is_empty() {
        told.push_str(&["as before until a restart: ", &needs_restart.join(", "), "\n"].concat());
    }
    write_out(told.as_bytes()).map(|_| 0)
}

/// Has the program that is at the daemon's path take over. The exit code.
pub(super) fn upgrade(socket: &Path) -> Result<u8, CliError> {
    match runtime()?.block_on(admin::upgrade(socket))? {
        UpgradeAnswer::Upgraded(pid) => {
            write_out(format!("upgraded: process {pid} has taken over\n").as_bytes()).map(|_| 0)
        }
        UpgradeAnswer::Refused(reason) => {
            say(format_args!("{reason}\ndispa: the daemon goes on as before"));
            Ok(1)
        }
    }
}
