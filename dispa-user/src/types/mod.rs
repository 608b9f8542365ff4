//! The words of the project as types: parsed once at the border, valid from then on.
//!
//! Floor 0: knows no other room, does no I/O.

mod door;
mod host_name;
mod original_destination;
mod outcome;
mod percent;

pub use door::Door;
pub use host_name::{HostName, HostNameError};
pub use original_destination::OriginalDestination;
pub use outcome::Outcome;
pub use percent::{percent_decoded, percent_encoded};
