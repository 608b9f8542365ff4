//! What the end-to-end tests share: a site that is intercepted, clients in its cgroup, a way to see
//! what a daemon leaves behind, and HTTP spoken by the byte.

mod cells;
mod clock;
mod foreign;
mod gate;
pub mod http1;
pub mod http2;
mod moments;
mod site;
mod stage;
mod traces;

pub use cells::Cells;
pub use clock::Clock;
pub use foreign::{Attachment, ForeignProgram};
pub use gate::Gate;
pub use moments::{Answer, Answers, Probe, now_ns};
pub use site::{Site, direct};
pub use stage::Stage;
pub use traces::Traces;
