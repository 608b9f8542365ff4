//! The command `dispa`.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Of what thousands of connections needed, it gives back to the system what they need no more; glibc's
/// keeps most of it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    dispa_user::cli::main()
}
