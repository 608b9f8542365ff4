//! The kernel side as the daemon sees it: loading, attaching, and the maps.
//!
//! The only room with `unsafe` and the only one that knows aya. It decides nothing: which
//! destinations are intercepted is told to it.

mod address;
mod backends;
mod cgroup;
mod cgroup_paths;
mod clients;
mod clock;
mod doors;
mod error;
mod events;
mod greedy;
mod handles;
mod interceptor;
mod links;
mod netns;
mod object;
mod privileges;
mod programs;
mod require;
mod seccomp;
mod selected;
mod slots;

pub use cgroup::{Cgroup2, CgroupError};
pub use cgroup_paths::CgroupPaths;
pub use clients::Clients;
pub use clock::monotonic_ns;
pub use doors::Doors;
pub use error::KernelError;
pub use events::{ConnectEvent, Events};
pub use greedy::Greedy;
pub use handles::{Heartbeat, OutcomeCounts, OwnSockets, prioritize};
pub use interceptor::{Interceptor, Options};
pub use links::link_programs;
pub use privileges::give_up_privileges;
pub use programs::{AttachedProgram, LoadedProgram, attached_programs, programs_of_ours};
pub use require::{OLDEST_KERNEL, kernel_release, missing_capabilities, require};
pub use selected::{SelectedCgroups, Selection};
pub use slots::{Assigned, SlotLease, SlotTable};
