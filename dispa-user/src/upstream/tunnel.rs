//! What is left of an upstream connection, or of a stream on one, that has left HTTP.

use std::{any::Any, fmt};

use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// Bytes to and from a backend. It counts as a connection, or a stream, until it is dropped.
pub struct Tunnel {
    stream: Box<dyn Duplex>,
    _counted: Box<dyn Any>,
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").finish_non_exhaustive()
    }
}

impl Tunnel {
    pub(super) fn new(stream: impl Duplex + 'static, counted: impl Any) -> Self {
        Self { stream: Box::new(stream), _counted: Box::new(counted) }
    }

    /// What follows on it.
    pub fn stream(&mut self) -> &mut Box<dyn Duplex> {
        &mut self.stream
    }
}
