//! The failures of a table, told all together.

use std::{
    fmt::{Display, Write as _},
    thread,
};

use anyhow::{Result, anyhow, bail};

/// What became of the cells of a table.
#[derive(Debug, Default)]
pub struct Cells {
    count: usize,
    failures: Vec<String>,
}

impl Cells {
    /// No cell yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a cell; a failure is kept for the end.
    pub fn run(&mut self, name: impl Display, cell: impl FnOnce() -> Result<()>) {
        self.note(name, cell());
    }

    /// Runs all cells of a list at once, each on a thread of its own.
    pub fn at_once(list: &[(&'static str, &(dyn Fn() -> Result<()> + Sync))]) -> Result<()> {
        let mut cells = Self::new();
        thread::scope(|scope| {
            let started: Vec<_> =
                list.iter().map(|(name, cell)| (name, scope.spawn(cell))).collect();
            for (name, cell) in started {
                let outcome = cell.join().unwrap_or_else(|_| Err(anyhow!("it panicked")));
                cells.note(name, outcome);
            }
        });
        cells.verdict()
    }

    /// Keeps a failure for the end.
    pub fn note(&mut self, name: impl Display, outcome: Result<()>) {
        self.count += 1;
        if let Err(error) = outcome {
            self.failures.push(format!("{name}: {error:#}"));
        }
    }

    /// Fails, with all that went wrong, if anything did or nothing was run.
    pub fn verdict(self) -> Result<()> {
        let Self { count, failures } = self;
        if count > 0 && failures.is_empty() {
            return Ok(());
        }
        let list = failures.iter().fold(String::new(), |mut text, failure| {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n  {failure}");
            text
        });
        bail!("{} of {count} cells failed:{list}", failures.len())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::Cells;

    #[test]
    fn all_failures_are_told() {
        let mut cells = Cells::new();
        cells.run("one", || Ok(()));
        cells.run("two", || bail!("bad"));
        cells.run("three", || bail!("worse"));
        let told = cells.verdict().err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(told, "2 of 3 cells failed:\n  two: bad\n  three: worse");
        assert!(Cells::new().verdict().is_err());
        assert!(Cells::at_once(&[("one", &|| Ok(())), ("two", &|| bail!("bad"))]).is_err());
    }
}
