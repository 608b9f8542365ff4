//! `[admin]`: where the daemon answers questions about itself.

use std::path::PathBuf;

use super::section::Section;
use super::value::{Reading, Value, parsed};

/// Where it is unless the configuration says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/dispa/dispa.sock";
/// What a socket's address holds, less its final NUL (`sun_path`, unix(7)).
const MAX_SOCKET_BYTES: usize = 107;

/// Where the daemon answers questions about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The file of its unix socket, an absolute path; none if it has no such socket.
    pub socket: Option<PathBuf>,
}

impl Admin {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self { socket: section.key_or("socket", socket, Some(DEFAULT_SOCKET.into())) }
    }
}

fn socket(value: &Value<'_>) -> Reading<Option<PathBuf>> {
    let parse = |text: &str| match text {
        "" => Ok(None),
        path if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') => {
            Err("not the absolute path of a file".to_owned())
        }
        path if path.len() > MAX_SOCKET_BYTES => Err(format!(
            "a socket's path has at most {MAX_SOCKET_BYTES} bytes, this one has {}",
            path.len()
        )),
        path => Ok(Some(path.into())),
    };
    parsed(parse, "write a path such as \"/run/dispa/dispa.sock\", or \"\" for no socket")(value)
}
