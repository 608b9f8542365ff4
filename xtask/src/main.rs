//! `cargo xtask`: the one door to building, checking and testing dispa.
//!
//! Each command is a file of its name. It says every step and why (`==> what (why)`), streams what
//! the step prints, and ends with one clear line when something fails.

mod bench;
mod build;
mod cargo;
mod checks;
mod ci;
mod demo;
mod ebpf;
mod failure;
mod fuzz;
mod package;
mod service;
mod setup;
mod shell;
mod test;
mod tidy;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// dispa's own commands
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what this machine lacks to build and test dispa (Debian 12, root)
    Setup,
    /// Compile the kernel programs to target/ebpf/dispa-ebpf.o, unless they are up to date
    BuildEbpf,
    /// Build the daemon, kernel programs included
    Build {
        /// Optimised, as it is shipped
        #[arg(long)]
        release: bool,
    },
    /// Check format, floors and lints, then run every test, the lab included (root)
    Test {
        /// Run only the tests whose name contains one of these, and none of the checks
        filters: Vec<String>,
    },
    /// All of `test`, the docs, the dependencies' licences and sources, and a short `fuzz` (root)
    Ci,
    /// Attack every parser of what the network sends with made-up input
    Fuzz {
        /// How long to attack each
        #[arg(default_value_t = fuzz::SECONDS)]
        seconds: u32,
    },
    /// Show the main job working: an unmodified curl, the kernel's hook, a chosen backend (root)
    Demo,
    /// Measure what dispa costs, against a limit or a peer in the same run (root)
    #[command(after_help = "Example: cargo xtask bench connect")]
    Bench {
        /// The benchmark's name and options; --help lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Make what is installed elsewhere, in target/package: a .deb, a static tarball, or both (Debian 12)
    Package {
        /// Only this
        form: Option<package::Form>,
        /// Pack this program, instead of building one
        #[arg(long, value_name = "FILE", requires = "form")]
        binary: Option<PathBuf>,
    },
    /// Try the package in a booted Debian 12 with systemd, emulated; not part of `ci` (root)
    TestService {
        /// Try this program, instead of building one
        #[arg(long, value_name = "FILE")]
        binary: Option<PathBuf>,
    },
    /// Check the floors of the house and the habits no compiler checks
    Tidy,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return failure::usage(&error),
    };
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Setup => setup::everything(),
        Command::BuildEbpf => ebpf::build(),
        Command::Build { release } => build::build(release),
        Command::Test { filters } => test::test(&filters),
        Command::Ci => ci::ci(),
        Command::Fuzz { seconds } => fuzz::fuzz(seconds),
        Command::Demo => show(),
        Command::Bench { arguments } => bench::bench(&arguments),
        Command::Package { form, binary } => package::package(form, binary.as_deref()),
        Command::TestService { binary } => service::test(binary.as_deref()),
        Command::Tidy => tidy::tidy(),
    }
}

/// Builds what the demo shows, then shows it.
fn show() -> Result<()> {
    failure::require_root("the demo needs network namespaces, cgroups and eBPF")?;
    setup::ensure(setup::DEMO)?;
    ebpf::build()?;
    build::daemon(true)?;
    demo::run(&build::released_daemon())
}
