//! Percentiles of durations in little memory.

use std::collections::BTreeMap;

/// The bounds of neighbouring steps are 2 % apart: so exact are the percentiles.
const STEP: f64 = 1.02;

/// Durations in milliseconds, by steps.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    steps: BTreeMap<i32, u64>,
    count: u64,
}

impl Histogram {
    pub(super) fn add(&mut self, milliseconds: f64) {
        #[expect(clippy::cast_possible_truncation, reason = "some thousand steps reach all floats")]
        let step = milliseconds.max(0.001).log(STEP).ceil() as i32;
        *self.steps.entry(step).or_default() += 1;
        self.count += 1;
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// Milliseconds that so many of a hundred did not exceed.
    pub(super) fn percentile(&self, percent: u64) -> f64 {
        let rank = self.count.saturating_mul(percent).div_ceil(100);
        let mut counted = 0;
        let reaches = |(_, count): &(&i32, &u64)| {
            counted += **count;
            counted >= rank
        };
        let step = self.steps.iter().find(reaches).map_or(0, |(step, _)| *step);
        if self.count == 0 { 0.0 } else { (STEP.powi(step) * 1e3).round() / 1e3 }
    }
}

#[cfg(test)]
mod tests {
    use super::Histogram;

    #[test]
    fn percentiles_are_exact_to_two_percent() {
        let mut times = Histogram::default();
        assert_eq!((times.count(), times.percentile(99).to_string()), (0, "0".to_owned()));
        for millisecond in 1..=1_000 {
            times.add(f64::from(millisecond));
        }
        for (percent, exact) in [(50, 500.0), (95, 950.0), (99, 990.0)] {
            let told = times.percentile(percent);
            assert!((exact..exact * 1.021).contains(&told), "p{percent}: {told}");
        }
    }
}
