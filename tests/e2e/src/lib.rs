//! What the end-to-end tests share: a site that is intercepted, clients in its cgroup, and a way to
//! see what a daemon leaves behind.

mod foreign;
mod moments;
mod site;
mod traces;

pub use foreign::{Attachment, ForeignProgram};
pub use moments::{Answer, Answers, Probe, now_ns};
pub use site::{Site, direct};
pub use traces::Traces;
