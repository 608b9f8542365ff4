//! Another configuration takes the place of the present one: nothing is closed, nothing is lost, and a
//! file that is wrong changes nothing.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{Live, State};
use crate::config::{Config, ConfigError, Overrides, text_of};

/// How long workers may take to follow. They do within a turn of their loop; one that hangs does not
/// hold up the others.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the file may take to be read.
const LONGEST_READ: Duration = Duration::from_secs(2);

/// Bytes of the file: many thousands of domains.
const LONGEST_FILE: u64 = 64 * 1024 * 1024;

/// Who may wait for a turn at once; those who gave up waiting count too.
const MOST_IN_QUEUE: usize = 64;

/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(2);

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub struct ConfigSource {
    path: PathBuf,
    overrides: Overrides,
    /// The file before it was read.
    print: Option<Print>,
}

impl ConfigSource {
    /// The file at `path` as it is now, and what the command line and the environment say.
    #[must_use]
    pub fn new(path: PathBuf, overrides: Overrides) -> Self {
        let print = Print::of(&path).ok();
        // What comes of a reload is for logs and machines.
        let overrides = Overrides { styled: false, ..overrides };
        Self { path, overrides, print }
    }
}

/// By what a file is told from another one, or from itself with other contents: device, inode, size and
/// times of change in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Print {
    /// That of the file at `path`, links followed.
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|it| Self::in_short(&it))
    }

    fn in_short(it: &fs::Metadata) -> Self {
        Self {
            device: it.dev(),
            inode: it.ino(),
            size: it.size(),
            modified: (it.mtime(), it.mtime_nsec()),
            changed: (it.ctime(), it.ctime_nsec()),
        }
    }
}

/// Reads the configuration again, one at a time.
#[derive(Debug)]
pub struct Reloader {
    source: ConfigSource,
    live: Arc<Live>,
    one_at_a_time: tokio::sync::Mutex<()>,
    /// Who waits for a turn, or has it.
    queue: AtomicUsize,
    /// The file as it was last read.
    read: Mutex<Option<Print>>,
    last: Mutex<Last>,
}

/// How the last reload went.
#[derive(Clone, Debug, Default)]
pub struct Last {
    /// When; none as long as there was none.
    pub at: Option<SystemTime>,
    /// What was wrong with it.
    pub error: Option<String>,
    /// The keys that have changed and need a restart: they count as before.
    pub needs_restart: Vec<&'static str>,
    /// How many were refused.
    pub refused: u64,
    /// How many were not.
    pub succeeded: u64,
    /// When the configuration that counts was read; none if that was at the start.
    pub succeeded_at: Option<SystemTime>,
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The configuration's number.
    pub generation: u64,
    /// The keys that have changed and need a restart: they count as before.
    pub needs_restart: Vec<&'static str>,
    /// What is odd about it.
    pub warnings: Vec<String>,
}

impl Reloader {
    /// Reads from `source` what takes the place of what is in `live`.
    #[must_use]
    pub fn new(source: ConfigSource, live: Arc<Live>) -> Arc<Self> {
        let (one_at_a_time, last) = (tokio::sync::Mutex::new(()), Mutex::default());
        let (queue, read) = (AtomicUsize::new(0), Mutex::new(source.print));
        Arc::new(Self { source, live, one_at_a_time, queue, read, last })
    }

    /// The file that it reads.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// The file as it was last read; `None`: it was not there.
    #[must_use]
    pub fn last_read(&self) -> Option<Print> {
        *lock(&self.read)
    }

    /// Whether one is to come that has not begun to read: another one would read the same.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.queue.load(Ordering::Relaxed) > 1
    }

    /// Whether so many wait that nobody else is to be let in.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.queue.load(Ordering::Relaxed) >= MOST_IN_QUEUE
    }

    /// How the last one went.
    #[must_use]
    pub fn last(&self) -> Last {
        lock(&self.last).clone()
    }

    /// Reads the configuration and goes by it, if there is nothing wrong with it. When this returns,
    /// every worker does, unless a warning says that one does not. `why` is for the log.
    pub async fn reload(&self, why: &'static str) -> Result<Reloaded, ConfigError> {
        let _place = Place::take(&self.queue);
        let _turn = self.one_at_a_time.lock().await;
        // Whoever moved its files away said so by this signal.
        if let Some(log) = self.live.state().ledger.traffic_log() {
            log.reopen();
        }
        let result = self.replace().await;
        let mut last = lock(&self.last);
        last.at = Some(SystemTime::now());
        last.error = result.as_ref().err().map(ToString::to_string);
        if let Ok(reloaded) = &result {
            last.needs_restart.clone_from(&reloaded.needs_restart);
        }
        match &result {
            Ok(Reloaded { generation, needs_restart, warnings }) => {
                last.succeeded += 1;
                last.succeeded_at = last.at;
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
                let needs_restart = needs_restart.join(", ");
                tracing::info!(why, generation, needs_restart, "reloaded");
            }
            Err(error) => {
                last.refused += 1;
                tracing::error!(why, "the configuration stays as it is: {error}");
            }
        }
        result
    }

    async fn replace(&self) -> Result<Reloaded, ConfigError> {
        let config = self.read_file().await?;
        let old = self.live.state();
        let (config, mut needs_restart) = config.in_place_of(&old.config);
        config.refuse_door(config.server.bind_address)?;
        let interception = old.interception.as_ref();
        let goes_by_process = config.pools.iter().any(|it| it.balancing.goes_by_process());
        if goes_by_process && interception.is_some_and(|it| it.attribution().is_none()) {
            needs_restart.push("load_balancing by process");
        }
        let new = old.next(&config);
        if let Some(interception) = interception {
            for backend in old.backends.all().iter().filter(|it| !new.backends.has(it.number)) {
                // Whether it was counted for or not.
                let _ = interception.forget_backend(backend.number);
            }
            let numbers = new.backends.all().iter().map(|backend| backend.number);
            if interception.why_not_counted().is_none()
                && let Err(error) = interception.watch_backends(numbers)
            {
                tracing::warn!(%error, "the kernel does not count for a target");
            }
        }
        if config.server != old.config.server {
            new.capacity.limit(&config.server);
        }
        self.live.replace(Arc::clone(&new));
        let mut warnings = config.warnings.clone();
        if !self.is_applied(&new).await {
            warnings.push("a worker does not follow the new configuration".to_owned());
        }
        if let Some(interception) = interception {
            interception.follow(&new.rules, config.backend_addresses(), Instant::now());
        }
        Ok(Reloaded { generation: new.generation, needs_restart, warnings })
    }

    /// Reads the file, apart from everything else: who knows what it is by now, and how long it takes.
    async fn read_file(&self) -> Result<Config, ConfigError> {
        let ConfigSource { path, overrides, .. } = self.source.clone();
        let unreadable = |source| ConfigError::Unreadable { path: path.clone(), source };
        let file = path.clone();
        let read = timeout(LONGEST_READ, spawn_blocking(move || read(&file))).await;
        let late = || io::Error::new(io::ErrorKind::TimedOut, "it takes too long");
        let read = read.map_err(|_| late()).and_then(|read| read.map_err(io::Error::other));
        let (bytes, print) = read.flatten().map_err(unreadable)?;
        *lock(&self.read) = Some(print);
        let file = path.clone();
        let parse =
            move || Config::parse(text_of(&bytes, &file)?, &file.to_string_lossy(), &overrides);
        let parsed = spawn_blocking(parse).await;
        parsed.map_err(|error| unreadable(io::Error::other(error)))?
    }

    async fn is_applied(&self, state: &State) -> bool {
        let end = Instant::now() + PATIENCE;
        while !self.live.is_applied(state.generation) {
            if Instant::now() >= end {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }
}

/// A place in a queue, until it is dropped.
struct Place<'q>(&'q AtomicUsize);

impl<'q> Place<'q> {
    fn take(queue: &'q AtomicUsize) -> Self {
        queue.fetch_add(1, Ordering::Relaxed);
        Self(queue)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The bytes of a regular file that is not being written just now, and what it is told by.
fn read(path: &Path) -> io::Result<(Vec<u8>, Print)> {
    // Whatever it is, it must not keep us.
    let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    if metadata.len() > LONGEST_FILE {
        return Err(io::Error::other("it is too large"));
    }
    let print = Print::in_short(&metadata);
    let mut bytes = Vec::new();
    (&file).take(LONGEST_FILE).read_to_end(&mut bytes)?;
    if Print::in_short(&file.metadata()?) != print {
        return Err(io::Error::other("it is being written"));
    }
    if bytes.trim_ascii().is_empty() {
        return Err(io::Error::other("it is empty"));
    }
    Ok((bytes, print))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
