//! What may be written on the command line.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand};

/// A transparent interception proxy: programs that connect to the domains you name are answered
/// by the backends you choose.
#[derive(Debug, Parser)]
#[command(
    name = "dispa",
    version,
    args_conflicts_with_subcommands = false,
    after_help = "Example: dispa -c config/minimal.toml\n         \
                  dispa exec -c config/minimal.toml -- curl http://example.com/"
)]
pub(super) struct Args {
    /// Configuration file.
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        env = "DISPA_CONFIG",
        default_value = "config/config.toml"
    )]
    pub(super) config: PathBuf,

    /// Address of the explicit door, instead of the configuration's `server.bind_address`.
    #[arg(short, long, value_name = "ADDR", env = "DISPA_BIND")]
    pub(super) bind: Option<SocketAddr>,

    /// Log debug messages, each connection seen by the kernel among them.
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,

    /// Check the configuration and start nothing; as `dispa check`.
    #[arg(long)]
    pub(super) validate: bool,

    /// Print the version, and what this binary is made for.
    #[arg(long)]
    pub(super) version_info: bool,

    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run one command with its connections intercepted, and exit as it does.
    ///
    /// Only this command and what it starts are affected; nothing else on the host is.
    #[command(after_help = "Example: dispa exec -c dispa.toml -- curl http://example.com/")]
    Exec {
        /// The command and its arguments.
        #[arg(required = true, last = true, value_name = "CMD")]
        command: Vec<OsString>,
    },
    /// Tell what would happen to a connection or request, and why: rule, addresses, slot, pool.
    ///
    /// The running daemon is asked, by the socket that the configuration names; where none answers,
    /// the configuration file alone is explained.
    #[command(after_help = "Example: dispa explain https://www.example.com/\n         \
                            dispa explain 203.0.113.10 --json")]
    Explain {
        /// A host name, an IP address, or an http:// or https:// URL.
        #[arg(value_name = "NAME|IP|URL")]
        subject: String,
        /// Print JSON, for machines.
        #[arg(long)]
        json: bool,
        /// Ask no daemon.
        #[arg(long)]
        file_only: bool,
    },
    /// Check a configuration file: all that is wrong with it, and what is odd.
    ///
    /// Names are asked for, for two seconds: one that has a target's own address is not intercepted.
    /// Exit code 0: it may be used, 1: it may not.
    #[command(after_help = "Example: dispa check /etc/dispa/dispa.toml")]
    Check {
        /// The file, instead of that of `--config`.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Print JSON, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Print the configuration's schema, its reference, or what counts in the end.
    #[command(after_help = "Example: dispa config show --origin -c /etc/dispa/dispa.toml")]
    Config {
        #[command(subcommand)]
        what: ConfigCommand,
    },
    /// Print what makes a shell complete dispa's commands and options.
    #[command(after_help = "Example: dispa completion bash > /etc/bash_completion.d/dispa")]
    Completion {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    #[command(after_help = "Example: dispa man | man -l -")]
    Man,
    /// Tell how the running daemon's targets are: health, load, answers, bytes.
    ///
    /// The daemon is asked by the socket that the configuration names. Exit code 69: none answers.
    #[command(after_help = "Example: dispa status -c /etc/dispa/dispa.toml\n         \
                            dispa status --json | jq '.pools[].targets[].state'")]
    Status {
        /// Print JSON, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Have the running daemon read its configuration again.
    ///
    /// A file that is wrong changes nothing. What cannot change while the daemon runs is named. SIGHUP,
    /// SIGUSR1 and a change of the file do the same. Exit code 1: refused; 69: no daemon answers.
    #[command(after_help = "Example: dispa reload --wait -c /etc/dispa/dispa.toml")]
    Reload {
        /// Wait until the new configuration counts, and tell what is wrong if it does not.
        #[arg(long)]
        wait: bool,
    },
    /// Check that this host has what interception needs, and say how to mend what is missing.
    #[command(after_help = "Example: dispa doctor -c /etc/dispa/dispa.toml")]
    Doctor,
    /// Join a cgroup and become a command.
    #[command(name = "__enter", hide = true)]
    Enter {
        cgroup: PathBuf,
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print what every key is set to: by the file, the environment, an option, or by default.
    ///
    /// Secrets are not shown. Exit code 1: the configuration is not valid.
    #[command(after_help = "Example: dispa config show --origin\n         \
                            DISPA__SERVER__WORKERS=8 dispa config show | grep workers")]
    Show {
        /// Tell of each value where it came from.
        #[arg(long)]
        origin: bool,
        /// Print JSON, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of the file, for editors that complete and check.
    #[command(after_help = "Example: dispa config schema > dispa.schema.json")]
    Schema,
    /// Print a file with every key, its meaning and its default.
    #[command(after_help = "Example: dispa config reference > /etc/dispa/dispa.toml")]
    Reference,
}
