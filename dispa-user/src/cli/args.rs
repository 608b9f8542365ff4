//! What may be written on the command line.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};
use jiff::Timestamp;

use super::logs::{duration, moment};
use crate::{
    admin::{group_by, statuses},
    rules::Pattern,
    sink::GroupBy,
};

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
    /// Exit code 0: it may be used, 1: it may not.
    #[command(after_help = "Example: dispa check /etc/dispa/dispa.toml")]
    Check {
        /// The file, instead of that of `--config`.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
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
    /// Search the traffic log, or count what is in it.
    ///
    /// The running daemon is asked, by the socket that the configuration names; where none answers, the
    /// database, or the files, of the configuration are read.
    #[command(
        after_help = "Example: dispa logs --since 1h --host '*.example.com' --status 5xx\n         \
                            dispa logs --since 1d --process curl --slower-than 200ms --json\n         \
                            dispa logs --since 1d --stats target"
    )]
    Logs(LogArgs),
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

/// What of the traffic log.
#[derive(Debug, clap::Args)]
pub(super) struct LogArgs {
    /// Began then or later: a time (2024-01-31T12:00:00Z, 2024-01-31) or how long ago (1h, 2d).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) since: Option<Timestamp>,
    /// Began before that time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) until: Option<Timestamp>,
    /// Asked for this host: example.com, or *.example.com for those below it.
    #[arg(long, value_name = "PATTERN", value_parser = Pattern::parse)]
    pub(super) host: Option<Pattern>,
    /// Answered so: 404, 5xx or 400-499.
    #[arg(long, value_name = "STATUS", value_parser = statuses)]
    pub(super) status: Option<(u16, u16)>,
    /// Made by a process of this name.
    #[arg(long, value_name = "NAME")]
    pub(super) process: Option<String>,
    /// Took longer than this: 200ms, 2s.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) slower_than: Option<Duration>,
    /// The newest so many of them.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub(super) limit: usize,
    /// Count them instead: how many, how many failed, how long they took, by host or by target.
    #[arg(
        long,
        value_name = "host|target",
        value_parser = group_by,
        num_args = 0..=1,
        default_missing_value = "host"
    )]
    pub(super) stats: Option<GroupBy>,
    /// Print JSON, a record a line, for machines.
    #[arg(long)]
    pub(super) json: bool,
    /// Ask no daemon.
    #[arg(long)]
    pub(super) no_daemon: bool,
}
