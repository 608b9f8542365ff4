//! Where the daemon is watched from outside: `/metrics` on one port, `/health` on another, `/-/healthy` and
//! `/-/ready` on both. Nothing can be changed by it.

mod health;
mod process;
mod scrape;
mod targets;

use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body::Body;
use tokio::{
    net::TcpListener,
    sync::Mutex,
    task::{JoinHandle, spawn_blocking},
};
use tracing_appender::non_blocking::ErrorCounter;

use super::conversation::{self, Answer, answer, json};
use crate::{
    config::{Monitoring, MonitoringPort},
    life::{Pulse, Stopped},
    metrics::Format,
    net::{self, ListenError, Listener},
    state::{Live, Reloader},
};
use health::Health;

/// What answers in words are written in.
const PLAIN: &str = "text/plain; charset=utf-8";

/// The ports, once they are open.
#[derive(Debug, Default)]
pub struct MonitoringPorts {
    metrics: Option<Listener>,
    health: Option<Listener>,
}

impl MonitoringPorts {
    /// Opens those that are wanted, or goes on with the predecessor's, for metrics and for health. One that
    /// nobody asked for may be missing.
    pub fn open(
        monitoring: &Monitoring,
        handed: [Option<Listener>; 2],
    ) -> Result<Self, ListenError> {
        if !monitoring.enabled {
            return Ok(Self::default());
        }
        let [metrics, health] = handed;
        let metrics = open(&monitoring.metrics, "metrics", metrics)?;
        let health = open(&monitoring.health, "health", health)?;
        Ok(Self { metrics, health })
    }

    /// The same listeners by other descriptors.
    pub fn share(&self) -> io::Result<[Option<Listener>; 2]> {
        let share = |it: &Option<Listener>| it.as_ref().map(Listener::try_clone).transpose();
        Ok([share(&self.metrics)?, share(&self.health)?])
    }
}

/// Opens a port, or goes on with `handed` if it is there. One that nobody asked for may be missing.
pub(super) fn open(
    port: &MonitoringPort,
    serves: &str,
    handed: Option<Listener>,
) -> Result<Option<Listener>, ListenError> {
    let MonitoringPort { address, key, .. } = *port;
    let handed = handed.filter(|listener| net::is_at(listener, address));
    match handed.map_or_else(|| net::listener(address, key), Ok) {
        Ok(listener) => {
            let address = listener.local_addr().unwrap_or(address);
            tracing::info!(serves, %address, "listening");
            Ok(Some(listener))
        }
        Err(error) if port.required => Err(error),
        Err(error) => {
            tracing::warn!(serves, %error, "not served");
            Ok(None)
        }
    }
}

/// Serves at this port, on this runtime.
pub(super) fn on_runtime(listener: Listener) -> Option<TcpListener> {
    TcpListener::from_std(listener).inspect_err(|error| tracing::error!(%error, "not served")).ok()
}

/// What is looked at by whoever watches.
#[derive(Debug)]
pub struct Vitals {
    live: Arc<Live>,
    reloader: Arc<Reloader>,
    pulse: Pulse,
    stopped: Stopped,
    /// Lines of the log that found no room.
    dropped_lines: Option<ErrorCounter>,
    started: SystemTime,
    /// Whether anybody can ask for metrics.
    serves_metrics: bool,
    /// Scrapes take turns: however many ask, one thread at most is busy with it.
    one_at_a_time: Mutex<()>,
}

impl Vitals {
    /// Of a daemon that has started.
    #[must_use]
    pub fn new(
        live: Arc<Live>,
        reloader: Arc<Reloader>,
        pulse: Pulse,
        stopped: Stopped,
        dropped_lines: Option<ErrorCounter>,
    ) -> Self {
        let age = live.state().since.elapsed();
        let started = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        let (serves_metrics, one_at_a_time) = (false, Mutex::default());
        Self {
            live,
            reloader,
            pulse,
            stopped,
            dropped_lines,
            started,
            serves_metrics,
            one_at_a_time,
        }
    }

    /// How long ago the worker that did so the longest ago showed that it turns.
    fn silence(&self) -> Duration {
        let now = crate::kernel::monotonic_ns();
        Duration::from_nanos(now.saturating_sub(self.pulse.oldest()))
    }
}

/// Answers at the ports until it is dropped.
#[derive(Debug)]
pub struct Monitor(Vec<JoinHandle<()>>);

impl Monitor {
    /// Serves the ports on this runtime.
    #[must_use]
    pub fn serve(ports: MonitoringPorts, mut vitals: Vitals) -> Self {
        vitals.serves_metrics = ports.metrics.is_some();
        let vitals = Arc::new(vitals);
        let mut tasks = Vec::new();
        for (listener, page) in [(ports.metrics, Page::Metrics), (ports.health, Page::Health)] {
            let Some(listener) = listener.and_then(on_runtime) else { continue };
            let vitals = Arc::clone(&vitals);
            tasks.push(tokio::spawn(conversation::serve(listener, move |stream| {
                let vitals = Arc::clone(&vitals);
                conversation::converse(stream, move |request| {
                    let vitals = Arc::clone(&vitals);
                    async move { page.answer(&request, vitals).await }
                })
            })));
        }
        Self(tasks)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// What one port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Metrics,
    Health,
}

impl Page {
    const fn path(self) -> &'static str {
        match self {
            Self::Metrics => "/metrics",
            Self::Health => "/health",
        }
    }

    async fn answer<B: Body>(self, request: &Request<B>, vitals: Arc<Vitals>) -> Answer {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = answer(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            refusal.headers_mut().insert(header::ALLOW, allowed);
            return refusal;
        }
        match request.uri().path() {
            "/-/healthy" => answer(StatusCode::OK, PLAIN, "dispa is healthy\n"),
            "/-/ready" if vitals.is_ready() => answer(StatusCode::OK, PLAIN, "dispa is ready\n"),
            "/-/ready" => answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "dispa is not ready\n"),
            path if path == self.path() => match self {
                Self::Metrics => metrics(request, vitals).await,
                Self::Health => {
                    let health = Health::of(&vitals);
                    json(health.status_code(), &health)
                }
            },
            _ => {
                let there_is = format!("there is only {}, /-/healthy and /-/ready\n", self.path());
                answer(StatusCode::NOT_FOUND, PLAIN, there_is)
            }
        }
    }
}

async fn metrics<B: Body>(request: &Request<B>, vitals: Arc<Vitals>) -> Answer {
    let accept = request.headers().get_all(header::ACCEPT);
    let accept: Vec<_> = accept.iter().filter_map(|it| it.to_str().ok()).collect();
    let format = Format::accepted(&accept.join(","));
    let scraped = {
        let _turn = vitals.one_at_a_time.lock().await;
        let vitals = Arc::clone(&vitals);
        // Files of /proc are read, and the kernel's maps: no matter for a runtime.
        spawn_blocking(move || scrape::families(&vitals).text(format)).await
    };
    match scraped {
        Ok(text) => answer(StatusCode::OK, format.content_type(), text),
        Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, error.to_string()),
    }
}

#[cfg(test)]
mod tests;
