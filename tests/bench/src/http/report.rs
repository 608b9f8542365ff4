//! The table.

use super::{
    Size,
    peer::Peer,
    row::{Figure, Row},
};
use crate::statistics::median;

/// What each proxy showed in one round.
type Round = Vec<(Peer, Vec<Figure>)>;

/// All turns.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// One for each round of each row.
    rounds: Vec<(Row, Round)>,
}

impl Report {
    pub(super) fn add(&mut self, row: Row, round: Round) {
        self.rounds.push((row, round));
    }

    /// Prints the table as Markdown.
    pub(super) fn print(&self, size: &Size) {
        println!(
            "Medians of {} rounds of {} s; in brackets the median ratio to nginx in the same round.\n",
            size.rounds, size.seconds
        );
        let peers = size.peers();
        let names: Vec<_> = peers.iter().map(|peer| peer.name()).collect();
        println!("| | | {} |", names.join(" | "));
        println!("|---|---|{}", "---|".repeat(peers.len()));
        for row in size.rows() {
            for (index, unit) in self.units(row).into_iter().enumerate() {
                let cells: Vec<_> = peers.iter().map(|peer| self.cell(row, *peer, index)).collect();
                let name = if index == 0 { row.name() } else { "" };
                println!("| {name} | {unit} | {} |", cells.join(" | "));
            }
        }
    }

    fn of(&self, row: Row) -> impl Iterator<Item = &Round> {
        self.rounds.iter().filter(move |(of, _)| *of == row).map(|(_, round)| round)
    }

    fn units(&self, row: Row) -> Vec<&'static str> {
        let first = self.of(row).next().and_then(|round| round.first());
        first.map_or_else(Vec::new, |(_, figures)| figures.iter().map(|(unit, _)| *unit).collect())
    }

    fn cell(&self, row: Row, peer: Peer, index: usize) -> String {
        let figure = |round: &Round, peer: Peer| {
            let (_, figures) = round.iter().find(|(of, _)| *of == peer)?;
            figures.get(index).map(|(_, value)| *value)
        };
        let mut values: Vec<f64> = self.of(row).filter_map(|round| figure(round, peer)).collect();
        let ratios = self
            .of(row)
            .filter_map(|round| Some(figure(round, peer)? / figure(round, Peer::Nginx)?));
        let mut ratios: Vec<f64> = ratios.collect();
        if values.is_empty() {
            return "-".to_owned();
        }
        let value = median(&mut values);
        if peer == Peer::Nginx || ratios.is_empty() {
            return shown(value);
        }
        format!("{} ({:.2})", shown(value), median(&mut ratios))
    }
}

fn shown(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}
