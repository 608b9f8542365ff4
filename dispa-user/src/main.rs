//! The command `dispa`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dispa_user::cli::main()
}
