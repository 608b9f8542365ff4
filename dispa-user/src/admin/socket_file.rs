//! The socket's file: made, taken over from a dead daemon, and removed.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use socket2::{Domain, SockAddr, Socket, Type};

/// Anyone may see that the socket is there; who may use it, its own mode says.
const DIRECTORY_MODE: u32 = 0o755;

/// The owner and the group.
const SOCKET_MODE: u32 = 0o660;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 32;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    #[error("another daemon answers at {}", path.display())]
    InUse { path: PathBuf },
    #[error("{} is there and is no socket", path.display())]
    NoSocket { path: PathBuf },
    #[error("cannot {action} {}: {source}", path.display())]
    System { action: &'static str, path: PathBuf, source: io::Error },
}

/// A socket's file, removed when dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode: what else may be there by then is not ours.
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    /// Makes the file, and its directory if that is missing, and listens.
    pub(super) fn create(path: &Path) -> Result<(UnixListener, Self), SocketError> {
        make_directory(path)?;
        clear(path)?;
        let socket = bound(path)?;
        let file = Self { path: path.to_owned(), identity: identity(path) };
        // Before it listens nobody can connect, whatever mode the file was made with.
        fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))
            .and_then(|()| socket.listen(BACKLOG))
            .map_err(failed("listen on", path))?;
        Ok((socket.into(), file))
    }

    /// Goes on with a predecessor's listener, if its file is still at `path`.
    pub(super) fn adopt(path: &Path, listener: UnixListener) -> Option<(UnixListener, Self)> {
        let address = listener.local_addr().ok()?;
        let is_there = address.as_pathname() == Some(path) && identity(path).is_some();
        let file = Self { path: path.to_owned(), identity: identity(path) };
        if let (false, Some(other)) = (is_there, address.as_pathname()) {
            // The predecessor leaves it to us, who are elsewhere. It may be gone already.
            let _ = fs::remove_file(other);
        }
        is_there.then_some((listener, file))
    }

    /// The file is somebody else's from now on.
    pub(super) fn leave(mut self) {
        self.identity = None;
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some()
            && identity(&self.path) == self.identity
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the admin socket stays");
        }
    }
}

fn bound(path: &Path) -> Result<Socket, SocketError> {
    let bound = || {
        let socket = stream_socket()?;
        socket.bind(&SockAddr::unix(path)?)?;
        Ok(socket)
    };
    bound().map_err(failed("bind", path))
}

fn stream_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn make_directory(path: &Path) -> Result<(), SocketError> {
    let Some(directory) = path.parent().filter(|directory| !directory.exists()) else {
        return Ok(());
    };
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(directory)
        // The process' mask may have taken something off.
        .and_then(|()| fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE)))
        .map_err(failed("make the directory", directory))
}

/// Removes the socket that a dead daemon left; whether there was one.
#[must_use]
pub fn clear_socket(path: &Path) -> bool {
    path.exists() && clear(path).is_ok()
}

/// Removes the socket that a dead daemon left. One that still answers is none of ours.
fn clear(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed("look at", path)(source)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(SocketError::NoSocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    let connected = stream_socket().and_then(|socket| socket.connect(&SockAddr::unix(path)?));
    match connected {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed("replace the stale socket", path))
        }
        // A full backlog is a daemon's, too.
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            Err(failed("connect to", path)(error))
        }
        Ok(()) | Err(_) => Err(SocketError::InUse { path: path.to_owned() }),
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |source| SocketError::System { action, path, source }
}
