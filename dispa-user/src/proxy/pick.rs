//! Step 4: which backend answers.

use std::{net::IpAddr, sync::Arc};

use http::Request;

use super::{origin::Arrival, serve::Client};
use crate::{
    balance::key_of,
    config::{HashKey, Scheme},
    upstream::{Backend, BackendPool, Connections, Lease, Wanted, cookie},
};

/// The next fit backend for a request of this client, counted as busy while the lease lives; `None`
/// where there is none. Also for whom it is, in case another one is to be picked.
pub(super) fn for_request<'p, B>(
    pool: &'p BackendPool,
    client: &Client,
    request: &Request<B>,
    connections: &Connections,
) -> (Wanted, Option<(&'p Arc<Backend>, Lease)>) {
    let key = match pool.key() {
        None => fastrand::u64(..),
        Some(key) => {
            let process = client.process().map(|process| process.pid);
            let own = key_of_request(key, request).or_else(|| key_of_process(key, process));
            own.unwrap_or_else(|| key_of_client(client.ip()))
        }
    };
    let wanted = Wanted { key, wish: pool.wish(request.headers()) };
    let picked = pool.pick(
        wanted,
        |backend| backend.scheme == Scheme::Http,
        |backend| connections.has_room(backend),
    );
    (wanted, picked)
}

/// For whom a connection is that nobody reads: its process, if that counts, or the client's address.
pub(super) fn for_connection(pool: &BackendPool, arrival: &Arrival) -> Wanted {
    let key = match pool.key() {
        None => fastrand::u64(..),
        Some(key) => {
            key_of_process(key, arrival.pid()).unwrap_or_else(|| key_of_client(arrival.client.ip()))
        }
    };
    Wanted { key, wish: None }
}

fn key_of_process(key: &HashKey, process: Option<u32>) -> Option<u64> {
    process.filter(|_| *key == HashKey::Process).map(|process| key_of(&process.to_le_bytes()))
}

/// `None`: it has not what it is to be hashed by.
fn key_of_request<B>(key: &HashKey, request: &Request<B>) -> Option<u64> {
    let bytes = match key {
        HashKey::Source | HashKey::Process => return None,
        HashKey::Header(name) => request.headers().get(name)?.as_bytes(),
        HashKey::Cookie(name) => cookie(request.headers(), name)?,
        HashKey::Path => request.uri().path().as_bytes(),
    };
    Some(key_of(bytes))
}

fn key_of_client(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(address) => key_of(&address.octets()),
        IpAddr::V6(address) => key_of(&address.octets()),
    }
}
