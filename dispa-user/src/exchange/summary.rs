//! Many exchanges in a few numbers.

use std::time::Duration;

use super::Exchange;

/// Each factor of two is cut into 2 to the power of this many equal steps: a quantile is right to an
/// eighth.
const STEP_BITS: u32 = 3;
const STEPS: usize = 1 << STEP_BITS;

/// From a microsecond to over an hour.
const OCTAVES: usize = 32;

/// A latency histogram and sums.
#[derive(Clone, Debug)]
pub struct Summary {
    /// How many.
    pub count: u64,
    /// How many of them were errors ([`Exchange::is_error`]).
    pub errors: u64,
    /// Bytes of request bodies.
    pub request_bytes: u64,
    /// Bytes of response bodies.
    pub response_bytes: u64,
    buckets: Box<[u32]>,
}

impl Default for Summary {
    fn default() -> Self {
        let buckets = vec![0; STEPS * OCTAVES].into_boxed_slice();
        Self { count: 0, errors: 0, request_bytes: 0, response_bytes: 0, buckets }
    }
}

impl Summary {
    /// Takes one more.
    pub fn add(&mut self, exchange: &Exchange) {
        self.count += 1;
        self.errors += u64::from(exchange.is_error());
        self.request_bytes = self.request_bytes.saturating_add(exchange.request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(exchange.response_bytes);
        if let Some(bucket) = self.buckets.get_mut(bucket_of(exchange.duration)) {
            *bucket = bucket.saturating_add(1);
        }
    }

    /// The time within which so many of a thousand of them were over; none of none.
    #[must_use]
    pub fn quantile(&self, of_thousand: u32) -> Option<Duration> {
        let all: u64 = self.buckets.iter().map(|&count| u64::from(count)).sum();
        let mut left = all.saturating_mul(of_thousand.into()).div_ceil(1_000).max(1);
        for (bucket, &count) in self.buckets.iter().enumerate() {
            if left <= u64::from(count) {
                return Some(upper_end(bucket));
            }
            left -= u64::from(count);
        }
        None
    }
}

fn bucket_of(duration: Duration) -> usize {
    let microseconds = duration.as_micros().max(1);
    let octave = microseconds.ilog2();
    // The bits below the highest one, as far as they count.
    let step = (microseconds << STEP_BITS >> octave) as usize % STEPS;
    (octave as usize * STEPS + step).min(STEPS * OCTAVES - 1)
}

fn upper_end(bucket: usize) -> Duration {
    let (octave, step) = (bucket / STEPS, bucket % STEPS);
    let microseconds = ((STEPS + step + 1) as u64) << octave >> STEP_BITS;
    Duration::from_micros(microseconds.max(1))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Summary, bucket_of, upper_end};

    #[test]
    fn a_quantile_is_right_to_an_eighth() {
        for micros in [8_u64, 9, 15, 16, 1_000, 123_456, 60_000_000, 3_600_000_000] {
            let duration = Duration::from_micros(micros);
            let said = upper_end(bucket_of(duration)).as_secs_f64();
            let off = said / duration.as_secs_f64();
            assert!((1.0..=1.126).contains(&off), "{micros} us: {off}");
        }
    }

    #[test]
    fn quantiles_are_told_of_what_was_added() {
        let mut summary = Summary::default();
        assert_eq!(summary.quantile(500), None);
        for (bucket, count) in [(8, 98), (80, 1), (160, 1)] {
            summary.buckets[bucket] = count;
        }
        assert_eq!(summary.quantile(500), Some(upper_end(8)));
        assert_eq!(summary.quantile(990), Some(upper_end(80)));
        assert_eq!(summary.quantile(1_000), Some(upper_end(160)));
    }

    #[test]
    fn nothing_is_too_long_or_too_short() {
        assert_eq!(bucket_of(Duration::ZERO), 0);
        assert_eq!(bucket_of(Duration::MAX), 255);
    }
}
