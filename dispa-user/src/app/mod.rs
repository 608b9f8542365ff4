//! Puts the daemon together, runs it, and takes it apart again, in the order that is safe.

mod daemon;
mod doors;
mod error;
mod exec;
mod log;
mod prepared;
mod service;
mod sockets;
mod succession;

pub use daemon::{Daemon, Plan, run};
pub use error::StartError;
pub use exec::{Execution, enter, stale_cgroups};
pub use log::{Log, colours, start_log};
pub use prepared::Prepared;
pub use sockets::Sockets;
pub use succession::Inheritance;
