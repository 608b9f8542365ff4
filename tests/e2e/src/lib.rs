//! What the end-to-end tests share: a site that is intercepted, clients in its cgroup, a way to see
//! what a daemon leaves behind, and HTTP spoken by the byte.

mod browser;
mod cells;
mod clock;
mod echo;
mod foreign;
mod gate;
mod holder;
pub mod http1;
pub mod http2;
mod moments;
mod scrape;
mod script;
mod server;
mod site;
mod sockets;
mod stage;
mod traces;
mod traffic;
pub mod unwell;
mod ways;
mod zeros;

pub use browser::{BROWSER_TIMEOUT, PAGE, browse};
pub use cells::Cells;
pub use clock::Clock;
pub use echo::{EchoSocket, echo_backend};
pub use foreign::{Attachment, ForeignProgram};
pub use gate::Gate;
pub use holder::{Counts, Holder};
pub use moments::{Answer, Answers, Probe, now_ns};
pub use scrape::Scrape;
pub use script::Script;
pub use server::{Paused, Server};
pub use site::{Site, direct};
pub use sockets::{open_at, sockets_of};
pub use stage::Stage;
pub use traces::Traces;
pub use traffic::{Accounts, Traffic};
pub use ways::{at_both_doors, behind_both_doors, long_bodies_pass, only_good_exchanges};
pub use zeros::ZeroServer;
