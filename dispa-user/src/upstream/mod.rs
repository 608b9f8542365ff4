//! Backends: which there are, which is next, and the connections to them. Knows nothing of rules.

mod backend;
mod connections;
mod error;
mod pooled;
mod request_body;

pub use crate::balance::Lease;
pub use backend::{Backend, Pool};
pub use connections::{Connections, Mark};
pub use error::UpstreamError;
pub use pooled::PooledBody;
