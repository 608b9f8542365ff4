//! `dispa status`: how the running daemon's pools are.

use std::path::Path;

use super::{CliError, runtime, write_answer};
use crate::admin;

/// Prints it to standard output.
pub(super) fn run(socket: &Path, json: bool) -> Result<(), CliError> {
    let status = runtime()?.block_on(admin::status(socket))?;
    write_answer(&status, json)
}
