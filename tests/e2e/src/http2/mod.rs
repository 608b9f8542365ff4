//! HTTP/2 with prior knowledge, for tests whose own code blocks: a client, a backend that does what
//! a test tells it to, and bare frames for what no library would send.

mod backend;
mod client;
mod driver;
mod exchange;
pub mod frames;

pub use backend::{Backend, Load, Seen};
pub use client::{Answer, Client, Request, Stream};
pub use exchange::{End, Exchange};

#[cfg(test)]
mod tests;
