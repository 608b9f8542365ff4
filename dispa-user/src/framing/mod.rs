//! Where the messages of an HTTP/1 stream begin and end, by RFC 9112 and nothing looser.
//!
//! Floor 1: pure. hyper parses the messages; what stands here only has to agree with it, byte for
//! byte, about where each of them ends. Where the RFC lets a recipient be lenient, two recipients
//! may differ, and what is a body for one is a request for the other: so nothing lenient passes.

mod body;
mod chunked;
mod fault;
mod field;
mod frames;
mod request;
mod response;

pub use body::BodyFrame;
pub use fault::Fault;
pub use frames::{FloodLimits, FrameFault, Frames};
pub use request::{RequestHead, RequestScan};
pub use response::{ResponseHead, ResponseScan};

/// What the head of a message may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes, from the first of the first line to the last of the empty one.
    pub bytes: usize,
    /// Fields.
    pub fields: usize,
    /// Bytes of a request's target.
    pub target: usize,
}

#[cfg(test)]
mod tests;
