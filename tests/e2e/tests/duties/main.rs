//! What a proxy owes to those on either side of it, as a backend and a client see it that look at
//! every byte.

mod bodies;
mod fields;
mod forwarded;
mod http2_requests;
mod interim;
mod methods;
mod recorder;
mod responses;
mod targets;
