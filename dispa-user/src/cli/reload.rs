//! `dispa reload`: has the running daemon read its configuration again.

use std::path::Path;

use super::{CliError, runtime};
use crate::admin::{self, ReloadAnswer};

/// Asks for it; waits for the end of it, if that is wanted. The exit code.
pub(super) fn run(socket: &Path, waits: bool) -> Result<u8, CliError> {
    let ReloadAnswer { generation, needs_restart, warnings } =
        match runtime()?.block_on(admin::reload(socket, waits)) {
            Err(admin::AskError::Refused { reason, .. }) => {
                eprintln!("{reason}\ndispa: refused: the daemon goes on as before");
                return Ok(1);
            }
            answer => answer?,
        };
    for warning in warnings {
        eprintln!("{warning}\n");
    }
    match generation {
        Some(generation) => println!("reloaded: configuration {generation} counts"),
        None => println!("asked for; `dispa status` tells how it went"),
    }
    if !needs_restart.is_empty() {
        println!("as before until a restart: {}", needs_restart.join(", "));
    }
    Ok(0)
}
