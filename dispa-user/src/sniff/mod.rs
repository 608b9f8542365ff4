//! What the first bytes of a connection are. Pure: bytes in, verdict out.

mod http1;

pub use http1::{Http1Head, Verdict, sniff};
