//! Backends: which there are, which is next, and the connections to them. Knows nothing of rules.
//!
//! `connections` sends a request and finds it a connection, `pool` keeps them, `http1` and `http2`
//! are one of them; `outbound` judges what an HTTP/1 backend says before anyone believes it.

mod backend;
mod connections;
mod driven;
mod error;
mod go_ahead;
mod health;
mod http1;
mod http2;
mod outbound;
mod pool;
mod probe;
mod request_body;
mod response_body;
mod stall;
mod tunnel;

pub use crate::balance::Lease;
pub use backend::{Backend, Pool as BackendPool};
pub use connections::{Connections, Mark, Outgoing, Sending, absolute_form, rename};
pub use error::UpstreamError;
pub use outbound::Interim;
pub use probe::{ProbeError, probe};
pub use response_body::{ResponseBody, ResponseBodyError};
pub use tunnel::{Duplex, Tunnel};
