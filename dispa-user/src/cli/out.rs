//! What goes to standard output, and what to standard error: data there, messages here.

use std::{
    fmt,
    io::{self, Write as _},
    os::fd::AsFd as _,
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use super::CliError;

/// How often a command that goes on looks whether anybody reads.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// Writes `answer` to standard output, for people or for machines.
pub(super) fn write_answer<T: fmt::Display + Serialize>(
    answer: &T,
    json: bool,
) -> Result<(), CliError> {
    let text = if json {
        let text = serde_json::to_string_pretty(answer);
        text.map_err(io::Error::from).map_err(CliError::Output)? + "\n"
    } else {
        answer.to_string()
    };
    write_out(text.as_bytes()).map(drop)
}

/// Writes to standard output; whether anybody reads it still.
pub(super) fn write_out(text: &[u8]) -> Result<bool, CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true).map_err(CliError::Output),
    }
}

/// Whether the reader of standard output is gone: a pipe's other end shows it (poll(2)).
pub(super) fn reader_is_gone() -> bool {
    let out = io::stdout();
    let mut ends = [PollFd::new(out.as_fd(), PollFlags::empty())];
    let looked = poll(&mut ends, PollTimeout::ZERO);
    let [end] = &ends;
    looked.is_ok() && end.revents().is_some_and(|it| it.contains(PollFlags::POLLERR))
}

/// Says something on standard error. Where nobody listens there is nobody to tell that.
pub(super) fn say(message: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{message}");
}
