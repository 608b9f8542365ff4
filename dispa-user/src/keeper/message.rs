//! What the daemon and its keeper say to one another.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the daemon asks for. None of it leads further than to what the daemon could do at its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Request {
    /// Route the IPv6 slots of the door at this port, until the daemon is gone.
    Route(u16),
    /// These are the programs, one descriptor each, with the `enum bpf_attach_type` of each, and the directory
    /// that they belong to. Once.
    Programs(Vec<u32>, PathBuf),
    /// Attach them there; the answer has the links.
    Attach,
    /// Give this socket the priority of daemons' own.
    Prioritize,
    /// The file that this process runs.
    Executable(u32),
    /// The path of the cgroup with this id, in which this process was.
    Cgroup(u64, u32),
    /// Start the program at our own path, with the descriptor as its standard input.
    Successor,
    /// End the successor: it is not wanted any more.
    Dismiss,
    /// Ask the command of `dispa exec` to end.
    Terminate,
}

/// What the keeper answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    /// It is done; with the descriptors that were asked for.
    Done,
    /// The path.
    Path(String),
    /// There is none such.
    Nothing,
    /// The process that was started.
    Started(u32),
    /// Why not.
    Failed(String),
}

/// A message with the number that its answer has too.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Numbered<T> {
    pub(super) number: u64,
    pub(super) message: T,
}
