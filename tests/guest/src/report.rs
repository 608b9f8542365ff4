//! What the test outside reads on the console.

use std::fs;

use anyhow::Result;

/// How the steps went so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: u32,
    failed: u32,
}

impl Report {
    /// Runs a step and says how it went; what it returned, if it passed.
    pub(crate) fn step<T>(&mut self, name: &str, step: impl FnOnce() -> Result<T>) -> Option<T> {
        match step() {
            Ok(value) => {
                self.passed += 1;
                println!("GUEST PASS {name}");
                Some(value)
            }
            Err(error) => {
                self.failed += 1;
                println!("GUEST FAIL {name}: {error:#}");
                None
            }
        }
    }

    /// The last lines.
    pub(crate) fn done(&self) {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        println!("GUEST KERNEL {}", release.trim());
        println!("GUEST DONE {} passed, {} failed", self.passed, self.failed);
    }
}
