//! Backends: which there are, which is next, and the connections to them. Knows nothing of rules.
//!
//! `connections` sends a request and finds it a connection, `pool` keeps them, `http1` and `http2`
//! are one of them; `outbound` judges what an HTTP/1 backend says before anyone believes it.

mod backend;
mod backend_pool;
mod backends;
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
mod retry_budget;
mod sending;
mod stall;
mod sticky;
mod tally;
mod tunnel;

pub use crate::balance::Lease;
pub use backend::Backend;
pub use backend_pool::{BackendPool, Wanted};
pub use backends::{Backends, Standing};
pub use connections::{Connections, Mark};
pub use error::UpstreamError;
pub use health::Worth;
pub use outbound::Interim;
pub use probe::{ProbeError, probe};
pub use request_body::Progress;
pub use response_body::{ResponseBody, ResponseBodyError};
pub use retry_budget::RetryBudget;
pub use sending::{Outgoing, Sending, absolute_form, head_of, rename};
pub use sticky::cookie;
pub use tally::Totals;
pub use tunnel::{Duplex, Tunnel};
