//! Step 4: which backend answers.

use std::net::IpAddr;

use crate::{
    config::Scheme,
    state::State,
    upstream::{Backend, Lease},
};

/// The next healthy backend that speaks `scheme`, for this client, counted as busy while the lease lives; `None` where there
/// is none.
pub(super) fn backend(state: &State, client: IpAddr, scheme: Scheme) -> Option<(&Backend, Lease)> {
    state.pool.pick(client, |backend| backend.scheme == scheme)
}
