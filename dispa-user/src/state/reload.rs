//! Another configuration takes the place of the present one: nothing is closed, nothing is lost, and a
//! file that is wrong changes nothing.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::time::sleep;

use super::{Live, State};
use crate::config::{Config, ConfigError, Overrides};

/// How long workers may take to follow. They do within a turn of their loop; one that hangs does not
/// hold up the others.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(2);

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub struct ConfigSource {
    /// The file.
    pub path: PathBuf,
    /// What the command line says.
    pub overrides: Overrides,
}

/// Reads the configuration again, one at a time.
#[derive(Debug)]
pub struct Reloader {
    source: ConfigSource,
    live: Arc<Live>,
    one_at_a_time: tokio::sync::Mutex<()>,
    last: Mutex<Last>,
}

/// How the last reload went.
#[derive(Clone, Debug, Default)]
pub struct Last {
    /// When; none as long as there was none.
    pub at: Option<SystemTime>,
    /// What was wrong with it.
    pub error: Option<String>,
    /// How many were refused.
    pub refused: u64,
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
        Arc::new(Self { source, live, one_at_a_time, last })
    }

    /// Where it reads from.
    #[must_use]
    pub fn source(&self) -> &ConfigSource {
        &self.source
    }

    /// How the last one went.
    #[must_use]
    pub fn last(&self) -> Last {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the configuration and goes by it, if there is nothing wrong with it. When this returns,
    /// every worker does. `why` is for the log.
    pub async fn reload(&self, why: &'static str) -> Result<Reloaded, ConfigError> {
        let _turn = self.one_at_a_time.lock().await;
        let result = self.replace().await;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.at = Some(SystemTime::now());
        last.error = result.as_ref().err().map(ToString::to_string);
        match &result {
            Ok(Reloaded { generation, needs_restart, warnings }) => {
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
        let ConfigSource { path, overrides } = &self.source;
        let config = Config::from_file(path, overrides)?;
        let old = self.live.state();
        let (config, mut needs_restart) = config.in_place_of(&old.config);
        config.refuse_door(config.server.bind_address)?;
        let interception = old.interception.as_ref();
        let goes_by_process = config.pools.iter().any(|it| it.balancing.goes_by_process());
        if goes_by_process && interception.is_some_and(|it| it.clients().is_none()) {
            needs_restart.push("load_balancing by process");
        }
        let new = old.next(&config);
        if let Some(interception) = interception {
            let numbers = new.backends.all().iter().map(|backend| backend.number);
            if interception.why_not_counted().is_none()
                && let Err(error) = interception.watch_backends(numbers)
            {
                tracing::warn!(%error, "the kernel does not count for a target");
            }
        }
        self.live.replace(Arc::clone(&new));
        self.applied(&new).await;
        if let Some(interception) = interception {
            let is_ruled = |name: &_| new.rules.find(name).is_some();
            interception.follow(config.backend_addresses(), is_ruled, Instant::now());
            let gone = old.backends.all().iter().filter(|it| !new.backends.has(it.number));
            for backend in gone {
                // Whether it was counted for or not.
                let _ = interception.forget_backend(backend.number);
            }
        }
        Ok(Reloaded { generation: new.generation, needs_restart, warnings: config.warnings })
    }

    async fn applied(&self, state: &State) {
        let end = Instant::now() + PATIENCE;
        while !self.live.is_applied(state.generation) {
            if Instant::now() >= end {
                tracing::warn!("a worker does not follow the new configuration");
                return;
            }
            sleep(LOOK).await;
        }
    }
}
