//! Puts the daemon together, runs it, and takes it apart again, in the order that is safe.

mod daemon;
mod doors;
mod error;
mod exec;
mod log;

pub use daemon::{Daemon, Plan, run};
pub use error::StartError;
pub use exec::{enter, exec};
pub use log::{Log, colours, start_log};
