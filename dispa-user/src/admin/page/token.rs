//! What opens the page: a secret in a file that its owner alone can read.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Bytes of chance in a token that is made here.
const RANDOM: usize = 32;

/// The shortest and the longest token that somebody may have written into the file himself, in bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 16..=512;

/// Who may read the file, and who may enter its directory.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o755;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// The system refuses.
    #[error("cannot {action} {path}: {source}; choose another file with admin.token_file")]
    System {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// What is in the file cannot be one.
    #[error(
        "{path} holds no token, which is {} to {} letters and digits: remove it, and the next start \
         makes one",
        LENGTHS.start(), LENGTHS.end()
    )]
    NoToken {
        /// The file.
        path: PathBuf,
    },
}

/// The secret.
pub(super) struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// What is in the file; one that is not there is made, and the log says this once what it holds.
    pub(super) fn read_or_make(path: &Path, address: SocketAddr) -> Result<Self, TokenError> {
        match Self::read(path) {
            Err(TokenError::System { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Self::make(path)?;
                // Another daemon may have been faster.
                let token = Self::read(path)?;
                let url = format!("http://{address}/#{}", token.0);
                tracing::info!(file = %path.display(), url, "a token was made for the page");
                Ok(token)
            }
            read => read,
        }
    }

    /// Whether this is it. It takes as long wherever the first wrong byte is.
    pub(super) fn is(&self, said: &str) -> bool {
        // A key of any length will do.
        let Ok(keyed) = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()) else { return false };
        let right = keyed.clone().chain_update(&self.0).finalize().into_bytes();
        keyed.chain_update(said).verify(&right).is_ok()
    }

    fn read(path: &Path) -> Result<Self, TokenError> {
        let file = File::open(path).map_err(failed("open", path))?;
        let metadata = file.metadata().map_err(failed("look at", path))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            tracing::warn!(file = %path.display(), "others may read the token of the page");
        }
        let mut text = String::new();
        let longest = u64::try_from(*LENGTHS.end()).unwrap_or(u64::MAX).saturating_add(2);
        file.take(longest).read_to_string(&mut text).map_err(failed("read", path))?;
        let token = text.trim();
        let is_token = LENGTHS.contains(&token.len())
            && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
        if !is_token {
            return Err(TokenError::NoToken { path: path.to_owned() });
        }
        Ok(Self(token.to_owned()))
    }

    /// The file appears whole or not at all: a start that is cut off leaves no half of it.
    fn make(path: &Path) -> Result<(), TokenError> {
        if let Some(directory) = path.parent() {
            let mut builder = DirBuilder::new();
            let made = builder.recursive(true).mode(DIRECTORY_MODE).create(directory);
            made.map_err(failed("make the directory", directory))?;
        }
        let token = random().map_err(failed("read chance for", path))?;
        let unfinished = path.with_added_extension(std::process::id().to_string());
        let linked = write(&unfinished, &token).and_then(|()| fs::hard_link(&unfinished, path));
        // It may not be there.
        let _ = fs::remove_file(&unfinished);
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(failed("make", path)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn random() -> io::Result<String> {
    let mut bytes = [0; RANDOM];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

fn write(path: &Path, token: &str) -> io::Result<()> {
    // What a killed daemon of the same number left.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    writeln!(file, "{token}")?;
    file.sync_all()
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TokenError {
    let path = path.to_owned();
    move |source| TokenError::System { action, path, source }
}
