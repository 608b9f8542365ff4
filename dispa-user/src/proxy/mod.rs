//! The walk of one connection, one file a step:
//!
//! [`origin`] -> [`peek`] -> [`decide`] -> [`pick`] -> [`forward`] or [`passthrough`] ->
//! [`finish`]; `walk.rs` calls them in this order.

mod decide;
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
