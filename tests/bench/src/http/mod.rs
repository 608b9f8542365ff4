//! `http`: what an exchange costs a proxy, dispa beside nginx and `HAProxy`.
//!
//! Each proxy has one worker, pinned to one core; what loads it, and the backend behind it, have
//! another. The proxies take turns in every round. What counts is the processor time that the system
//! charges to the proxy's own processes: unlike rates, other programs hardly disturb it.

mod account;
mod load;
mod logged;
mod paced;
mod peer;
mod report;
mod rig;
mod row;
mod scraped;

use anyhow::Result;
use clap::Args;
use dispa_lab::Lab;

pub(crate) use logged::{LogSize, run as run_log};
use peer::Peer;
use report::Report;
use rig::Rig;
use row::Row;
pub(crate) use scraped::{ScrapeSize, run_scrape};

/// What is measured, and how much.
#[derive(Clone, Debug, Args)]
pub(crate) struct Size {
    /// Turns of every proxy in every row; the figures are medians over them.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of load in each turn.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Only these rows.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<Row>,
    /// Only these proxies; nginx is what the others are compared with.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Peer>,
}

impl Size {
    fn rows(&self) -> Vec<Row> {
        if self.rows.is_empty() { Row::ALL.to_vec() } else { self.rows.clone() }
    }

    fn peers(&self) -> Vec<Peer> {
        if self.only.is_empty() { Peer::ALL.to_vec() } else { self.only.clone() }
    }
}

/// Measures and prints the table.
pub(crate) fn run(size: &Size) -> Result<()> {
    let report = Lab::run(|lab| {
        let rig = Rig::new(lab)?;
        let mut report = Report::default();
        for row in size.rows() {
            for _ in 0..size.rounds {
                let figures = size
                    .peers()
                    .into_iter()
                    .map(|peer| Ok((peer, row.measure(&rig, peer, size.seconds)?)));
                report.add(row, figures.collect::<Result<_>>()?);
            }
            eprintln!("  {} done", row.name());
        }
        Ok(report)
    })?;
    report.print(size);
    Ok(())
}
