//! `dispa explain`: what would happen to a connection, asked of the daemon, else read off the file.

use std::{
    io::{self, Write as _},
    path::Path,
};

use super::{CliError, runtime};
use crate::{
    admin::{Explanation, Setup, Subject, ask, explain},
    config::Config,
};

/// What to ask, and how to show the answer.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) subject: &'a Subject,
    pub(super) file_only: bool,
    pub(super) json: bool,
}

/// Explains to standard output; why no daemon could be asked goes to standard error.
pub(super) fn run(question: &Question<'_>, config: &Config, file: &Path) -> Result<(), CliError> {
    let explanation = match ask_daemon(question, config, file)? {
        Some(explanation) => explanation,
        None => explain(question.subject, &Setup::of(config), None),
    };
    let text = if question.json {
        let text = serde_json::to_string_pretty(&explanation);
        text.map_err(io::Error::from).map_err(CliError::Output)? + "\n"
    } else {
        explanation.to_string()
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(CliError::Output),
    }
}

fn ask_daemon(
    question: &Question<'_>,
    config: &Config,
    file: &Path,
) -> io::Result<Option<Explanation>> {
    let Some(socket) = config.admin.socket.as_deref().filter(|_| !question.file_only) else {
        return Ok(None);
    };
    match runtime()?.block_on(ask(socket, question.subject)) {
        Ok(explanation) => Ok(Some(explanation)),
        Err(error) => {
            eprintln!("dispa: {error}; explained from {} alone", file.display());
            Ok(None)
        }
    }
}
