//! Questions about the daemon, and their answers: what would happen to a connection, and why.
//!
//! [`explain()`] is pure: a [`Setup`] (what the configuration says) and [`Facts`] (what the daemon
//! knows at this moment, if one was asked) in, an [`Explanation`] out. A running daemon answers over
//! a unix socket ([`Socket`]), which [`ask`] asks; [`status`] asks how its pools are ([`Status`]), [`logs()`] and
//! [`log_stats`] ask for the traffic log ([`LogQuestion`]), and [`reload`] has it read its configuration again.
//! Whoever watches it from outside asks a [`Monitor`], over TCP; a person with a browser opens its [`Page`].

mod activity;
mod client;
mod conversation;
mod explain;
mod explanation;
mod facts;
mod follow;
mod guard;
mod logs;
mod monitoring;
mod page;
mod query;
mod reach;
mod serve;
mod setup;
mod socket_file;
mod status;
mod subject;
mod text;
mod view;

pub use activity::{Activity, Figures, Named};
pub use client::{
    AskError, Following, activity, ask, exchanges, log_stats, logs, reload, status, upgrade,
};
pub use explain::explain;
pub use explanation::{Backend, Case, Explanation, Learned, Owner, Pool, Slot, Source, Verdict};
pub use facts::Facts;
pub use follow::Missed;
pub use logs::{LONGEST_PAGE, LogQuestion, group_by};
pub use monitoring::{Monitor, MonitoringPorts, Vitals};
pub use page::{Page, PagePort};
pub use serve::{ReloadAnswer, Socket, UpgradeAnswer};
pub use setup::Setup;
pub use socket_file::clear_socket;
pub use status::{
    Connections, DomainStatus, DoorStatus, Exchanges, KernelCounts, KernelStatus, PathStatus,
    PoolStatus, ReloadStatus, Status, TargetStatus,
};
pub use subject::{Protocol, Subject, SubjectError, Url};
