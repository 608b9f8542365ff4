//! Resolves the exact names, again and again, each when its answer runs out.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{
    Resolver, TokioResolver,
    config::{LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, sleep_until, timeout},
};

use super::Lesson;
use crate::types::HostName;

/// Bounds of the time to the next query for a name.
const SOONEST: Duration = Duration::from_secs(5);
const LATEST: Duration = Duration::from_mins(5);

/// The longest one query may take, its retries included.
const LIMIT: Duration = Duration::from_secs(10);

/// What a query for a name found.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The name that was asked for.
    pub name: HostName,
    /// Its addresses of both families, or why there are none.
    pub addresses: Result<Vec<IpAddr>, NoAnswer>,
    /// How long they hold.
    pub ttl: Duration,
}

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Its zone says so.
    #[error("there is no such name")]
    NoName,
    /// Its zone says so.
    #[error("it has no address")]
    NoAddress,
    /// Nobody could be asked, or nobody answered.
    #[error("{0}")]
    Unknown(String),
}

impl From<&NetError> for NoAnswer {
    fn from(error: &NetError) -> Self {
        if error.is_nx_domain() {
            Self::NoName
        } else if error.is_no_records_found() {
            Self::NoAddress
        } else {
            Self::Unknown(error.to_string())
        }
    }
}

impl Answer {
    /// What it teaches, if anything.
    #[must_use]
    pub fn lesson(&self) -> Option<Lesson> {
        let addresses = self.addresses.clone().ok()?;
        Some(Lesson { name: self.name.clone(), addresses, ttl: self.ttl })
    }
}

/// Asks for `name` for ever, sending each answer. Ends when nobody receives any more.
///
/// The system's configuration (`/etc/resolv.conf`, `/etc/hosts`) is read for every query, so that
/// a host that changes networks is followed. `turn` bounds the queries under way.
pub async fn poll(name: HostName, turn: Arc<Semaphore>, answers: mpsc::Sender<Answer>) {
    let mut failures = 0;
    loop {
        let Ok(permit) = turn.acquire().await else { return };
        let asked = Instant::now();
        let answer = resolve(&name).await;
        drop(permit);
        failures = if answer.addresses.is_ok() { 0 } else { failures + 1 };
        let wait = if failures == 0 { answer.ttl } else { back_off(failures) };
        if answers.send(answer).await.is_err() {
            return;
        }
        sleep_until(asked + wait.clamp(SOONEST, LATEST)).await;
    }
}

/// Twice as long after each failure in a row.
fn back_off(failures: u32) -> Duration {
    SOONEST.saturating_mul(1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX))
}

/// Asks for `name` once.
pub async fn resolve(name: &HostName) -> Answer {
    if let Some(address) = name.ip() {
        return Answer { name: name.clone(), addresses: Ok(vec![address]), ttl: LATEST };
    }
    let (addresses, ttl) = match timeout(LIMIT, lookup(name)).await {
        Ok(Ok((addresses, ttl))) => (Ok(addresses), ttl),
        Ok(Err(error)) => (Err(NoAnswer::from(&error)), Duration::ZERO),
        Err(_) => (Err(NoAnswer::Unknown(format!("no answer within {LIMIT:?}"))), Duration::ZERO),
    };
    Answer { name: name.clone(), addresses, ttl }
}

async fn lookup(name: &HostName) -> Result<(Vec<IpAddr>, Duration), NetError> {
    // The final dot keeps search domains out.
    let answer = resolver()?.lookup_ip(format!("{name}.")).await?;
    let ttl = answer.valid_until().saturating_duration_since(std::time::Instant::now());
    Ok((answer.iter().collect(), ttl))
}

/// Without a usable `/etc/resolv.conf` the resolver of this host is asked, as resolv.conf(5) has it;
/// `/etc/hosts` counts either way.
fn resolver() -> Result<TokioResolver, NetError> {
    let mut builder = Resolver::builder_tokio().unwrap_or_else(|_| {
        let local = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
        let config = ResolverConfig::from_name_servers(vec![local]);
        Resolver::builder_with_config(config, TokioRuntimeProvider::default())
    });
    let options = builder.options_mut();
    options.cache_size = 0;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build()
}
