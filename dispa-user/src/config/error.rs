//! Why there is no configuration.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

/// Why there is no configuration. The person who wrote it, or the one who started the daemon, is
/// at fault; trying again changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "cannot read the configuration {}: {source}; write one (config/minimal.toml is a start) or name another with -c",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is no text.
    #[error("line {line} of the configuration {} is not UTF-8: save it as UTF-8", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The first line that is not, from 1.
        line: usize,
    },
    /// A target is dispa itself.
    #[error(
        "target {name} is dispa's own explicit door, {door}, which would ask itself for ever: \
         change the target's url, or server.bind_address"
    )]
    OwnDoor {
        /// The target.
        name: Arc<str>,
        /// The door.
        door: SocketAddr,
    },
    /// The file says something that it must not.
    #[error("{report}")]
    Invalid {
        /// Every error with its place and fix, ready to be shown; the last line counts them.
        report: String,
        /// How many errors there are.
        count: usize,
    },
}
