//! `match`: what finding the rule for a host costs, whatever the number of domains.

use std::{hint::black_box, time::Instant};

use anyhow::Result;
use clap::Args;
use dispa_user::{
    rules::{Pattern, Rule, Rules},
    types::HostName,
};

use crate::statistics::median;

/// How much is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Size {
    /// Domains that are intercepted, half of them wildcards.
    #[arg(long, default_value_t = 10_000)]
    domains: usize,
    /// Turns of every row; the figures are medians over them.
    #[arg(long, default_value_t = 21)]
    rounds: usize,
}

/// Look-ups of one turn, at least.
const LOOKUPS: usize = 200_000;

/// Measures and prints the table.
pub(crate) fn run(size: Size) -> Result<()> {
    let pattern = |number: usize| match number % 2 {
        0 => format!("www.site-{number}.example.com"),
        _ => format!("*.site-{number}.example.com"),
    };
    let rule = |number| Ok(Rule { pattern: Pattern::parse(&pattern(number))?, pool: 0 });
    let rules = (0..size.domains).map(rule).collect::<Result<Vec<_>>>()?;
    let rules = Rules::new(rules, []);
    let rows = [
        ("an exact name", hosts(&size, |number| format!("www.site-{}.example.com", number & !1))?),
        (
            "a name under a wildcard",
            hosts(&size, |number| format!("a.b.site-{}.example.com", number | 1))?,
        ),
        ("a name of no rule", hosts(&size, |number| format!("www.shop-{number}.example.org"))?),
    ];
    println!("Medians of {} rounds, {} domains.\n\n| | ns |\n|---|---|", size.rounds, size.domains);
    let mut taken = vec![Vec::new(); rows.len()];
    for _ in 0..size.rounds {
        for ((_, hosts), taken) in rows.iter().zip(&mut taken) {
            taken.push(each(&rules, hosts));
        }
    }
    for ((name, _), taken) in rows.iter().zip(&mut taken) {
        println!("| {name} | {:.0} |", median(taken));
    }
    Ok(())
}

fn hosts(size: &Size, name: impl Fn(usize) -> String) -> Result<Vec<HostName>> {
    (0..size.domains).map(|number| Ok(HostName::parse(&name(number))?)).collect()
}

/// The time of one look-up in nanoseconds.
fn each(rules: &Rules, hosts: &[HostName]) -> f64 {
    let turns = LOOKUPS.div_ceil(hosts.len().max(1));
    let begun = Instant::now();
    for _ in 0..turns {
        for host in hosts {
            black_box(rules.find(black_box(host)));
        }
    }
    let lookups = u32::try_from(turns * hosts.len()).unwrap_or(u32::MAX);
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(lookups)
}
