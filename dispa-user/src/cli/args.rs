//! What may be written on the command line.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args as Group, Parser, Subcommand};
use jiff::Timestamp;

use super::logs::{duration, moment};
use crate::{
    admin::group_by,
    exchange::{Filter, statuses},
    rules::Pattern,
    sink::GroupBy,
    types::Outcome,
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
    /// Print the manual page, or write those of all commands.
    #[command(after_help = "Example: dispa man | man -l -")]
    Man {
        /// Where to write `dispa.1`, and one page for each command, instead.
        #[arg(long, value_name = "DIRECTORY")]
        all_into: Option<PathBuf>,
    },
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
    /// Show the exchanges of the running daemon as they end.
    ///
    /// Exit code 69: no daemon answers, or it is gone.
    #[command(after_help = "Example: dispa tail --host '*.example.com' --status 5xx\n         \
                            dispa tail --slower-than 200ms --json | jq .path")]
    Tail {
        #[command(flatten)]
        wanted: Wanted,
        /// Print JSON, one exchange a line, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Show what goes on in the running daemon: requests, errors and latency by domain, target, process.
    ///
    /// Where the output is no terminal it tells of one second. Exit code 69: no daemon answers, or it
    /// is gone.
    #[command(after_help = "Example: dispa top\n         \
                            dispa top --json | jq .total.requests")]
    Top {
        /// Tell of one second, and end.
        #[arg(long)]
        once: bool,
        /// Print JSON, one second a line, for machines.
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
    /// Have the program that is at the daemon's path by now take over from the running daemon.
    ///
    /// It is started beside the old one, with the same options, and intercepts before that stops to: no
    /// connection is refused, none goes direct. The old one ends when its exchanges have, or after
    /// `upgrade_timeout`. If the new one does not start, nothing changes. Exit code 1: it did not; 69: no
    /// daemon answers.
    #[command(after_help = "Example: dispa upgrade -c /etc/dispa/dispa.toml")]
    Upgrade,
    /// Take away what killed daemons have left: routes, cgroups, the admin socket.
    ///
    /// What a running daemon needs stays. Exit code 0: nothing is left that is nobody's; 1: something is, or
    /// it could not be looked at.
    #[command(after_help = "Example: dispa cleanup")]
    Cleanup {
        /// Print JSON, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Check that this host has what interception needs, and say how to mend what is missing.
    #[command(after_help = "Example: dispa doctor -c /etc/dispa/dispa.toml")]
    Doctor {
        /// Print JSON, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Join a cgroup, wait for a byte from a descriptor, and become a command.
    #[command(name = "__enter", hide = true)]
    Enter {
        cgroup: PathBuf,
        gate: i32,
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Keep the capabilities of the daemon at the other end of the standard input.
    #[command(name = "__keep", hide = true)]
    Keep {
        program: Option<PathBuf>,
        #[arg(long)]
        command: Option<i32>,
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
}

/// What of the traffic log.
#[derive(Debug, Group)]
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

/// Which exchanges are wanted; all that is said must be true of one.
#[derive(Debug, Group)]
pub(super) struct Wanted {
    /// The host that was asked for, as a name or as `*.example.com`.
    #[arg(long, value_name = "PATTERN", value_parser = Pattern::parse)]
    host: Option<Pattern>,
    /// The status: 503, 5xx or 400-499.
    #[arg(long, value_parser = statuses)]
    status: Option<(u16, u16)>,
    /// The target that answered.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// The process that connected, by its name or number.
    #[arg(long, value_name = "NAME|PID")]
    process: Option<String>,
    /// How it ended: `ok`, `relayed`, `no_backend`, `timeout` and so on.
    #[arg(long, value_name = "LABEL", value_parser = Outcome::ALL.map(Outcome::name))]
    outcome: Option<String>,
    /// It took longer than this: 200ms, 1.5s, 2m.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    slower_than: Option<Duration>,
}

impl Wanted {
    pub(super) fn filter(&self) -> Filter {
        Filter {
            host: self.host.clone(),
            status: self.status,
            target: self.target.clone(),
            process: self.process.clone(),
            outcome: self.outcome.clone(),
            slower_than: self.slower_than,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Args;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn look(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let shown = command.get_subcommands().filter(|it| !it.is_hide_set());
            if command.get_subcommands().next().is_none() || command.get_name() == "dispa" {
                assert!(help.starts_with("Example: dispa"), "{}: {help:?}", command.get_name());
            }
            shown.for_each(look);
        }
        look(&Args::command());
    }
}
