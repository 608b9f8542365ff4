//! The parts of the schema that load, are checked, and have no effect yet: a file written for a
//! later version says nothing wrong, and its owner is told that it says nothing yet.

use super::section::Section;
use super::value::{boolean, integer};

/// `[monitoring]`.
pub(super) fn monitoring(section: &mut Section<'_>) {
    section.inert("enabled", boolean);
    section.inert("metrics_port", integer(1..=u16::MAX));
    section.inert("health_check_port", integer(1..=u16::MAX));
}
