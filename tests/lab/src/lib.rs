//! The lab: a private piece of network in which the real daemon meets real clients and servers.
//!
//! [`Lab::run`] opens a network and mount namespace for one thread and everything it starts. A
//! [`Cgroup`] is what the daemon is attached to; clients are started inside it. Whatever the lab
//! makes is undone when its owner goes out of scope, panics or is killed.
//!
//! The lab knows the daemon as a user does: by its binary, its configuration file, its signals and
//! its log. It links nothing of it. It needs root, `ip`, and whatever client a test asks for; what
//! is missing is an error and never a skipped test.

mod cgroup;
mod client;
mod config;
mod dispa;
mod dns;
mod echo;
mod edited;
mod http;
mod janitor;
mod lab;
mod log;
mod neighbour;
mod poll;
mod postgres;
mod process;
mod python;
mod resolver;
mod responder;
mod scratch;
mod tcp;
mod terminal;
mod wild;
pub mod wire;

pub use cgroup::Cgroup;
pub use client::Client;
pub use config::Config;
pub use dispa::{Dispa, Stopped};
pub use dns::DnsServer;
pub use echo::EchoServer;
pub use http::{HttpServer, Seen};
pub use lab::Lab;
pub use log::Record;
pub use neighbour::Neighbour;
pub use poll::until;
pub use postgres::Postgres;
pub use process::{Finished, Line, Process, Stream, run};
pub use python::python;
pub use resolver::Resolver;
pub use responder::{Asking, Responder};
pub use tcp::{Connection, TcpServer};
pub use terminal::Terminal;
pub use wild::Wild;
