//! Whether connections really arrive.

use std::{fmt, time::Instant};

use serde::{Deserialize, Serialize};

use crate::state::{Fault, Finding, Interception, PathStanding};

/// What is known of the way that connections take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStatus {
    /// `proven`: connections of the daemon's own arrived. `assumed`: they are not redirected, for the daemon
    /// does not live where programs are, and all else is as it should be. `broken`. `unknown`: nobody has
    /// looked yet.
    pub standing: String,
    /// How long it has been so.
    pub since_seconds: u64,
    /// How long ago somebody looked.
    pub looked_seconds: u64,
    /// What is wrong.
    pub faults: Vec<FaultStatus>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultStatus {
    /// What it is.
    pub what: String,
    /// What is to be done about it.
    pub remedy: String,
}

impl PathStatus {
    pub(super) fn of(interception: &Interception) -> Self {
        let Finding { standing, since, looked, faults } = interception.path().finding();
        let ago = |then: Instant| then.elapsed().as_secs();
        Self {
            standing: standing.name().to_owned(),
            since_seconds: ago(since),
            looked_seconds: ago(looked),
            faults: faults.iter().map(FaultStatus::of).collect(),
        }
    }
}

impl FaultStatus {
    fn of(fault: &Fault) -> Self {
        Self { what: fault.to_string(), remedy: fault.remedy().to_owned() }
    }
}

impl fmt::Display for PathStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { standing, since_seconds, looked_seconds, faults } = self;
        write!(f, "effective path: ")?;
        if *standing == PathStanding::Broken.name() {
            write!(f, "BROKEN for {since_seconds} s")?;
        } else if *standing == PathStanding::Proven.name() {
            write!(f, "proven {looked_seconds} s ago by connections of dispa's own")?;
        } else if *standing == PathStanding::Assumed.name() {
            write!(
                f,
                "not proven, for dispa itself is not intercepted; programs, tables and doors were as they \
                 should be {looked_seconds} s ago"
            )?;
        } else {
            write!(f, "not looked at yet")?;
        }
        for FaultStatus { what, remedy } in faults {
            write!(f, "\n  {what}: {remedy}")?;
        }
        Ok(())
    }
}
