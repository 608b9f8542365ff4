//! Measures what dispa costs. Every figure is a difference or a ratio to another one of the same
//! run, taken in turns, with medians: the machines this runs on are noisy.

mod backends;
mod connect;
mod http;
mod matcher;
mod metrics;
mod statistics;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "dispa-bench")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What the kernel's counts for the backends cost.
    Backends(backends::Size),
    /// What a connection costs the program that makes it.
    Connect(connect::Size),
    /// What an exchange costs a proxy: dispa beside nginx and `HAProxy`.
    Http(http::Size),
    /// What the traffic log costs for each request, and whether all are in it.
    Log(http::LogSize),
    /// What finding the rule for a host costs.
    Match(matcher::Size),
    /// What counting for metrics costs.
    Metrics(metrics::Size),
    /// Whether requests take longer while metrics are scraped.
    Scrape(http::ScrapeSize),
    /// The measuring side of `connect`, in a process of its own.
    #[command(name = "__probe", hide = true)]
    Probe(connect::Ends),
    /// The measuring side of `backends`, in a cgroup of its own.
    #[command(name = "__backends", hide = true)]
    MeasureBackends(backends::Size),
}

fn main() -> Result<()> {
    match Args::parse().command {
        Command::Backends(size) => backends::run(size),
        Command::Connect(size) => connect::run(&size),
        Command::Http(size) => http::run(&size),
        Command::Log(size) => http::run_log(size),
        Command::Match(size) => matcher::run(size),
        Command::Metrics(size) => metrics::run(size),
        Command::Scrape(size) => http::run_scrape(size),
        Command::Probe(ends) => connect::probe(&ends),
        Command::MeasureBackends(size) => backends::measure(size),
    }
}
