//! Resolves the exact names, again and again, each when its answer runs out.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use hickory_resolver::{
    Resolver, TokioResolver,
    config::{LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

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
    /// Its addresses of both families, or why there are none, in words.
    pub addresses: Result<Vec<IpAddr>, String>,
    /// How long they hold.
    pub ttl: Duration,
}

/// Asks for `name` for ever, sending each answer. Ends when nobody receives any more.
///
/// The system's configuration (`/etc/resolv.conf`, `/etc/hosts`) is read for every query, so that
/// a host that changes networks is followed.
pub async fn poll(name: HostName, answers: mpsc::Sender<Answer>) {
    loop {
        let asked = Instant::now();
        let answer = resolve(&name).await;
        let wait = answer.ttl.clamp(SOONEST, LATEST);
        if answers.send(answer).await.is_err() {
            return;
        }
        sleep_until(asked + wait).await;
    }
}

/// Asks for `name` once.
pub async fn resolve(name: &HostName) -> Answer {
    let (addresses, ttl) = match timeout(LIMIT, lookup(name)).await {
        Ok(Ok((addresses, ttl))) => (Ok(addresses), ttl),
        Ok(Err(error)) => (Err(words(&error)), Duration::ZERO),
        Err(_) => (Err(format!("no answer within {LIMIT:?}")), Duration::ZERO),
    };
    Answer { name: name.clone(), addresses, ttl }
}

fn words(error: &NetError) -> String {
    if error.is_nx_domain() {
        "there is no such name".to_owned()
    } else if error.is_no_records_found() {
        "it has no address".to_owned()
    } else {
        error.to_string()
    }
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
