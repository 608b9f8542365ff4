//! HTTP/1 written and read byte by byte: a client that may misbehave, and a backend that does what
//! a test tells it to and remembers what it was sent.

mod answer;
mod backend;
mod body;
mod client;
mod exchange;
mod head;

pub use answer::Answer;
pub use backend::{Backend, Seen};
pub use body::{Body, BodyReader, Framing};
pub use client::Client;
pub use exchange::Exchange;
pub use head::Head;

#[cfg(test)]
mod tests;
