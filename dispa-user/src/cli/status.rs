//! `dispa status`: how the running daemon's pools are.

use super::{CliError, runtime, write_answer};
use crate::{admin, config::Config};

/// Prints it to standard output.
pub(super) fn run(config: &Config, json: bool) -> Result<(), CliError> {
    let socket = config.admin.socket.as_deref().ok_or(CliError::NoSocket)?;
    let status = runtime()?.block_on(admin::status(socket))?;
    write_answer(&status, json)
}
