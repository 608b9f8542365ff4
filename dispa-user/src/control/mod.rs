//! What the daemon hears while it runs: signals, another configuration, DNS answers, the kernel's
//! events.

mod events;
mod file;
mod learn;
mod path;
mod room;
mod signals;
mod watch;

pub use events::log_events;
pub use file::follow_file;
pub use learn::Learner;
pub use path::PathProver;
pub use room::watch_room;
pub use signals::{HangUp, ReloadSignals, StopSignals};
pub use watch::watch_backends;
