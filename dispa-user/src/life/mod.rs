//! The life of tasks and of the process: spawning, draining, stopping, heartbeats.

mod descriptors;
mod memory;
mod pulse;
mod rarely;
mod stop;
mod tasks;

pub use descriptors::{descriptor_limit, open_descriptors};
pub use memory::{memory_is_short, memory_limit, note_memory, own_memory};
pub use pulse::Pulse;
pub use rarely::Rarely;
pub use stop::{Phase, StopHandle, Stopped, stop_signal};
pub use tasks::Tasks;
