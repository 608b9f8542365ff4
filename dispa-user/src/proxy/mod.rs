//! The walk of one connection, one file a step:
//!
//! `origin` -> `peek` -> `decide` -> `check` -> `pick` -> `forward` or `passthrough` -> `finish`; `walk.rs`
//! calls them in this order. A connection or datagram to a resolver takes `dns_tcp` or `dns_udp`,
//! one of the daemon's own `probed`.

mod check;
mod decide;
mod dns_tcp;
mod dns_udp;
mod dns_waiting;
mod finish;
mod forward;
mod forwarded;
mod headers;
mod http1;
mod http2;
mod inbound;
mod interim;
mod origin;
mod passthrough;
mod peek;
mod pick;
mod probed;
mod reply;
mod seats;
mod serve;
mod upgrade;
mod walk;
mod worker;

pub use worker::{Listeners, Worker, WorkerStart};
