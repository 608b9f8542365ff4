//! Step 4: which backend answers.

use crate::{
    config::Scheme,
    state::State,
    upstream::{Backend, Lease},
};

/// The next healthy backend that speaks `scheme`, counted as busy while the lease lives; `None` where there
/// is none.
pub(super) fn backend(state: &State, scheme: Scheme) -> Option<(&Backend, Lease)> {
    state.pool.pick(|backend| backend.scheme == scheme)
}
