//! What is counted for those who watch: the numbers of traffic, and how numbers are written down.
//!
//! Floor 2, no I/O. [`Metrics`] is what exchanges, connections and DNS add to, a few relaxed atomics each;
//! [`Families`] is what one scrape answers with. What is a matter of the state is read from there when
//! somebody asks, by whoever answers.
//!
//! Labels come from the configuration and from closed enums, never from what a client says. Where a
//! configuration has very many names, the last ones share [`OVERFLOW`].

mod encode;
mod families;
mod latency;
mod rules;
mod sharded;
mod traffic;

pub use encode::Format;
pub use families::{Families, Samples};
pub use latency::Latency;
pub use sharded::Metrics;
pub use traffic::{OpenConnection, Transport};

/// The label of what is beyond the last name that has one of its own.
pub const OVERFLOW: &str = "(other)";

/// Names of one kind that have a label of their own. More would cost whoever stores them more than they
/// tell.
pub const MOST_NAMES: usize = 500;
