//! How long something takes, as a histogram.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, proto};

/// Bounds in seconds for what takes a round trip or a request: from what loopback takes to the longest time
/// limit by default, each about twice the one before.
const QUICK: [f64; 16] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0,
];

/// For connections that may last for days.
const LONG: [f64; 9] = [0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0];

/// How long something takes, as a histogram. Clones count together.
#[derive(Clone, Debug)]
pub struct Latency(Histogram);

impl Default for Latency {
    fn default() -> Self {
        Self::quick()
    }
}

impl Latency {
    /// Of a round trip or a request.
    #[must_use]
    pub fn quick() -> Self {
        Self::with(&QUICK)
    }

    /// Of a connection.
    #[must_use]
    pub fn long() -> Self {
        Self::with(&LONG)
    }

    fn with(bounds: &[f64]) -> Self {
        let options = HistogramOpts::new("latency", "latency").buckets(bounds.to_vec());
        Self(Histogram::with_opts(options).expect("the bounds rise, the name is one"))
    }

    /// It took so long once more.
    pub fn observe(&self, took: Duration) {
        self.0.observe(took.as_secs_f64());
    }

    /// The counts so far.
    pub(super) fn reading(&self) -> proto::Histogram {
        let family = prometheus::core::Collector::collect(&self.0).into_iter().next();
        let metric = family.and_then(|mut family| family.take_metric().into_iter().next());
        metric.map(|metric| metric.get_histogram().clone()).unwrap_or_default()
    }
}

/// Both together, which have the same bounds.
pub(super) fn sum(one: &proto::Histogram, other: &proto::Histogram) -> proto::Histogram {
    let mut sum = proto::Histogram::default();
    sum.set_sample_count(one.get_sample_count() + other.get_sample_count());
    sum.set_sample_sum(one.get_sample_sum() + other.get_sample_sum());
    let buckets = one.get_bucket().iter().zip(other.get_bucket()).map(|(one, other)| {
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(one.upper_bound());
        bucket.set_cumulative_count(one.cumulative_count() + other.cumulative_count());
        bucket
    });
    sum.set_bucket(buckets.collect());
    sum
}
