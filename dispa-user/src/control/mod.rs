//! What the daemon hears while it runs: signals, DNS answers, the kernel's events.

mod events;
mod learn;
mod signals;
mod watch;

pub use events::log_events;
pub use learn::Learner;
pub use signals::Signals;
pub use watch::watch_backends;
