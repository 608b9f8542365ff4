//! What follows a head, and where it ends.

use super::{Fault, HeadLimits, chunked::Chunked};

/// A body of which so much is still to come.
#[derive(Debug, PartialEq, Eq)]
pub struct BodyFrame(Kind);

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// So many bytes.
    Known(u64),
    Chunked(Box<Chunked>),
    UntilClose,
}

impl BodyFrame {
    pub(super) const fn known(length: u64) -> Self {
        Self(Kind::Known(length))
    }

    pub(super) fn chunked(limits: HeadLimits) -> Self {
        Self(Kind::Chunked(Box::new(Chunked::new(limits))))
    }

    pub(super) const fn until_close() -> Self {
        Self(Kind::UntilClose)
    }

    /// How many of `bytes`, which come next on the stream, belong to the body.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        match &mut self.0 {
            Kind::Known(left) => {
                let taken =
                    usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left = left.saturating_sub(taken as u64);
                Ok(taken)
            }
            Kind::Chunked(chunked) => chunked.advance(bytes),
            Kind::UntilClose => Ok(bytes.len()),
        }
    }

    /// Whether nothing more belongs to it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match &self.0 {
            Kind::Known(left) => *left == 0,
            Kind::Chunked(chunked) => chunked.is_done(),
            Kind::UntilClose => false,
        }
    }

    /// Whether the end of the stream is its end.
    #[must_use]
    pub const fn ends_with_stream(&self) -> bool {
        matches!(self.0, Kind::UntilClose)
    }
}
