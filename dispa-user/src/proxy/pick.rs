//! Step 4: which backend answers.

use crate::{
    state::State,
    upstream::{Backend, Lease},
};

/// The next backend, counted as busy while the lease lives; `None` where there is none.
pub(super) fn backend(state: &State) -> Option<(&Backend, Lease)> {
    state.pool.pick()
}
