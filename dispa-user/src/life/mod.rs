//! The life of tasks and of the process: spawning, draining, stopping, heartbeats.

mod pulse;
mod rarely;
mod stop;
mod tasks;

pub use pulse::Pulse;
pub use rarely::Rarely;
pub use stop::{Phase, StopHandle, Stopped, stop_signal};
pub use tasks::Tasks;
