//! The table.

use super::{
    Size,
    attribution::Question,
    kernel_time::KernelTime,
    rig::{Case, Turn},
};
use crate::statistics::median;

/// All turns of all cases.
#[derive(Debug, Default)]
pub(super) struct Report {
    turns: Vec<(Case, Turn)>,
    pub(super) kernel_times: Vec<KernelTime>,
    pub(super) questions: Vec<Question>,
}

/// One figure of a turn.
type Figure = fn(&Turn) -> f64;

impl Report {
    pub(super) fn add(&mut self, case: Case, turn: Turn) {
        self.turns.push((case, turn));
    }

    /// Prints the table as Markdown, times in µs.
    pub(super) fn print(&self, size: &Size) {
        println!(
            "Medians of {} rounds of {} connections and as many one-byte round trips, one core, µs; \
             in brackets the median difference to direct in the same round.\n",
            size.rounds, size.samples
        );
        println!("| case | connect p50 | connect p99 | round trip p50 | round trip p99 |");
        println!("|---|---|---|---|---|");
        for case in Case::ALL {
            println!(
                "| {} | {} | {} | {} | {} |",
                name(case),
                self.cell(case, |turn| turn.connect_p50),
                self.cell(case, |turn| turn.connect_p99),
                self.cell(case, |turn| turn.trip_p50),
                self.cell(case, |turn| turn.trip_p99),
            );
        }
        self.print_kernel_times();
        self.print_questions();
    }

    fn print_questions(&self) {
        println!("\n| attribution | p50, µs | p99, µs |");
        println!("|---|---|---|");
        for Question { what, p50_ns, p99_ns } in &self.questions {
            println!("| {what} | {:.2} | {:.2} |", p50_ns / 1e3, p99_ns / 1e3);
        }
    }

    fn print_kernel_times(&self) {
        println!("\n| kernel program | case | mean run time, ns | runs |");
        println!("|---|---|---|---|");
        for time in &self.kernel_times {
            let KernelTime { program, way, mean_ns, runs } = time;
            println!("| {program} | {way} | {mean_ns:.0} | {runs} |");
        }
    }

    fn cell(&self, case: Case, figure: Figure) -> String {
        let mut values = self.values(case, figure);
        let value = median(&mut values.clone()) / 1e3;
        if case == Case::Direct {
            return format!("{value:.2}");
        }
        // Turn by turn against direct: what slows a whole round down cancels out.
        let direct = self.values(Case::Direct, figure);
        for (value, direct) in values.iter_mut().zip(direct) {
            *value -= direct;
        }
        format!("{value:.2} ({:+.2})", median(&mut values) / 1e3)
    }

    fn values(&self, case: Case, figure: Figure) -> Vec<f64> {
        self.turns.iter().filter(|(of, _)| *of == case).map(|(_, turn)| figure(turn)).collect()
    }
}

/// What the table calls it.
pub(super) fn name(case: Case) -> &'static str {
    match case {
        Case::Direct => "direct",
        Case::Missed => "attached, not intercepted",
        Case::Redirected => "redirected by dispa",
        Case::Iptables => "iptables REDIRECT",
    }
}
