//! The life of tasks and of the process: spawning, draining, stopping, heartbeats.

mod pulse;
mod stop;
mod tasks;

pub use pulse::Pulse;
pub use stop::{Phase, StopHandle, Stopped, stop_signal};
pub use tasks::Tasks;
