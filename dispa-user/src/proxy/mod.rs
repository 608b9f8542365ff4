//! The walk of one connection, one file a step:
//!
//! `origin` -> `peek` -> `decide` -> `pick` -> `forward` or `passthrough` -> `finish`; `walk.rs`
//! calls them in this order. A connection or datagram to a resolver takes `dns_tcp` or `dns_udp`.

mod decide;
mod dns_tcp;
mod dns_udp;
mod finish;
mod forward;
mod headers;
mod origin;
mod passthrough;
mod peek;
mod pick;
mod reply;
mod serve;
mod upgrade;
mod walk;
mod worker;

pub use worker::{Listeners, Worker, WorkerStart};
