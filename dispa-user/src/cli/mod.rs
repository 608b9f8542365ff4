//! The command line.

mod args;
mod check;
mod cleanup;
mod config;
mod doctor;
mod explain;
mod logs;
mod out;
mod reload;
mod status;
mod tail;
mod top;

use std::{ffi::OsString, io, path::PathBuf, process::ExitCode};

use clap::{CommandFactory as _, Parser as _};

use crate::{
    admin::{AskError, Subject, SubjectError},
    app::{self, Execution, Inheritance, Log, Plan, Prepared, StartError, colours},
    config::{Config, ConfigError, Overrides},
    keeper::{Ward, keep},
    kernel::OLDEST_KERNEL,
    sink::Unanswered,
    state::ConfigSource,
};
use args::{Args, Command, ConfigCommand};
use out::{say, write_answer, write_out};

/// The traffic log cannot be read; as where it cannot be written at the start.
const LOG_UNREADABLE: u8 = 3;

/// `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;

/// No daemon answers, `EX_UNAVAILABLE`.
const UNAVAILABLE: u8 = 69;

/// A fault of dispa itself, `EX_SOFTWARE`.
const BUG: u8 = 70;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Usage(#[from] SubjectError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Logs(#[from] Unanswered),
    #[error("`admin.socket` is \"\": no daemon can be asked; name a socket")]
    NoSocket,
    #[error("cannot start the runtime: {0}")]
    Runtime(#[from] io::Error),
    #[error("cannot write the answer: {0}")]
    Output(io::Error),
}

/// Runs what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version go to stdout and are no failure; the rest is a wrong use.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match std::panic::catch_unwind(|| run(&args)) {
        Ok(Ok(code)) => ExitCode::from(code),
        Ok(Err(error)) => {
            // A report begins with what is wrong, not with who says so.
            let who = if error.is_report() { "" } else { "dispa: " };
            say(format_args!("{who}{error}"));
            ExitCode::from(error.exit_code())
        }
        Err(_) => ExitCode::from(BUG),
    }
}

fn run(args: &Args) -> Result<u8, CliError> {
    if args.validate && args.command.is_some() {
        say("dispa: --validate takes no command; see `dispa check`");
        return Ok(USAGE);
    }
    if args.version_info {
        return write_out(version_info().as_bytes()).map(|_| 0);
    }
    match &args.command {
        Some(Command::Check { file, json }) => {
            check::run(file.as_deref().unwrap_or(&args.config), &overrides(args), *json)
        }
        None if args.validate => check::run(&args.config, &overrides(args), false),
        Some(Command::Config { what }) => {
            configuration(args, what)?;
            Ok(0)
        }
        Some(Command::Completion { shell }) => write_out(&completion(*shell)).map(|_| 0),
        Some(Command::Man { all_into: None }) => write_out(&manual()?).map(|_| 0),
        Some(Command::Man { all_into: Some(directory) }) => {
            clap_mangen::generate_to(Args::command(), directory).map_err(CliError::Output)?;
            Ok(0)
        }
        None => daemon(args),
        Some(Command::Exec { command }) => exec(args, command),
        Some(Command::Explain { subject, json, file_only }) => {
            let subject = &Subject::parse(subject)?;
            let question = explain::Question { subject, file_only: *file_only, json: *json };
            explain::run(&question, &load(args)?, &args.config)?;
            Ok(0)
        }
        Some(Command::Status { json }) => {
            status::run(&socket(args)?, *json)?;
            Ok(0)
        }
        Some(Command::Tail { wanted, json }) => {
            tail::run(&socket(args)?, &wanted.filter(), *json)?;
            Ok(0)
        }
        Some(Command::Top { once, json }) => {
            top::run(&socket(args)?, *once, *json)?;
            Ok(0)
        }
        Some(Command::Logs(logs)) => logs::run(logs, &load(args)?).map(|()| 0),
        Some(Command::Reload { wait }) => reload::run(&socket(args)?, *wait),
        Some(Command::Upgrade) => reload::upgrade(&socket(args)?),
        Some(Command::Cleanup { json }) => {
            let text = std::fs::read_to_string(&args.config).unwrap_or_default();
            cleanup::run(&Config::socket_in(&text, &overrides(args)), *json)
        }
        Some(Command::Doctor { json }) => doctor::run(&args.config, *json),
        Some(Command::Enter { cgroup, gate, command }) => Ok(app::enter(cgroup, *gate, command)),
        Some(Command::Keep { program, command, arguments }) => {
            keep(program.as_deref(), arguments, *command)?;
            Ok(0)
        }
    }
}

fn configuration(args: &Args, what: &ConfigCommand) -> Result<(), CliError> {
    match what {
        ConfigCommand::Show { origin, json } => {
            config::show(&args.config, &overrides(args), *origin, *json)
        }
        ConfigCommand::Schema => config::schema(),
        ConfigCommand::Reference => config::reference(),
    }
}

fn version_info() -> String {
    format!(
        "dispa {}\nbuilt for {} {}, Linux {}.{} or newer\nlicence {}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS,
        OLDEST_KERNEL.0,
        OLDEST_KERNEL.1,
        env!("CARGO_PKG_LICENSE"),
    )
}

fn completion(shell: clap_complete::Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "dispa", &mut text);
    text
}

fn manual() -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(Args::command()).render(&mut text)?;
    Ok(text)
}

fn daemon(args: &Args) -> Result<u8, CliError> {
    let source = ConfigSource::new(args.config.clone(), overrides(args));
    let config = load(args)?;
    let mut log = start_log(args, &config, None)?;
    let plan = Plan::of(&config, args.verbose)?;
    let mut inheritance = Inheritance::receive()?;
    let prepared = Prepared::new(&config, &plan, Ward::Daemon, inheritance.sockets())?;
    prepared.give_up_privileges()?;
    log.start_thread();
    runtime()?.block_on(app::run(&config, source, &plan, prepared, inheritance, &log))?;
    Ok(0)
}

fn exec(args: &Args, command: &[OsString]) -> Result<u8, CliError> {
    let config = load(args)?;
    // The command's own output comes first; ours only when something is wrong.
    let mut log = start_log(args, &config, Some("warn"))?;
    let execution = Execution::prepare(&config, args.verbose, command)?;
    log.start_thread();
    Ok(runtime()?.block_on(execution.run(&config))?)
}

fn load(args: &Args) -> Result<Config, ConfigError> {
    Config::from_file(&args.config, &overrides(args))
}

/// Where the daemon is asked. Where the file is wrong, what can be read of it says where the daemon is
/// that goes on by an older one.
fn socket(args: &Args) -> Result<PathBuf, CliError> {
    match load(args) {
        Ok(config) => config.admin.socket.ok_or(CliError::NoSocket),
        Err(error) => {
            let text = std::fs::read_to_string(&args.config).unwrap_or_default();
            let socket = Config::socket_in(&text, &overrides(args));
            say(format_args!("{error}\ndispa: asking at {} all the same", socket.display()));
            Ok(socket)
        }
    }
}

fn overrides(args: &Args) -> Overrides {
    let environment = std::env::vars_os();
    let environment = environment
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Overrides {
        bind_address: args.bind,
        environment: environment.filter(|(name, _)| name.starts_with("DISPA__")).collect(),
        styled: colours(&io::stderr()),
    }
}

fn start_log(args: &Args, config: &Config, quieter: Option<&str>) -> Result<Log, CliError> {
    let level = if args.verbose { Some("debug") } else { quieter };
    let log = app::start_log(&config.logging, level)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    Ok(log)
}

/// The main thread's runtime: signals, names, the kernel's events. Traffic has the workers'.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

impl CliError {
    fn is_report(&self) -> bool {
        let report = |error: &ConfigError| matches!(error, ConfigError::Invalid { .. });
        match self {
            Self::Config(error) | Self::Start(StartError::Config(error)) => report(error),
            _ => false,
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::NoSocket | Self::Logs(Unanswered::NoLog) => 1,
            Self::Ask(_) => UNAVAILABLE,
            Self::Start(error) => error.exit_code(),
            Self::Logs(_) => LOG_UNREADABLE,
            Self::Usage(_) => USAGE,
            Self::Runtime(_) | Self::Output(_) => 71,
        }
    }
}
