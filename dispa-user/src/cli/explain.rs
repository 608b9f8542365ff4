//! `dispa explain`: what would happen to a connection, asked of the daemon, else read off the file.

use std::{io, path::Path};

use super::{CliError, runtime, say, write_answer};
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
    write_answer(&explanation, question.json)
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
            say(format_args!("dispa: {error}; explained from {} alone", file.display()));
            Ok(None)
        }
    }
}
