//! What one scrape answers with.

use std::collections::{BTreeMap, btree_map::Entry};

use prometheus::{
    core::Collector,
    proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};

use super::{Format, Latency, encode, latency};

/// Metrics of one moment, in the order in which they are written.
#[derive(Debug, Default)]
pub struct Families(Vec<MetricFamily>);

/// One metric that is being given its values.
#[derive(Debug)]
pub struct Samples<'f>(&'f mut MetricFamily);

impl Families {
    /// A count that only grows; its name ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str) -> Samples<'_> {
        self.begin(name, help, MetricType::COUNTER)
    }

    /// A value that comes and goes.
    pub fn gauge(&mut self, name: &str, help: &str) -> Samples<'_> {
        self.begin(name, help, MetricType::GAUGE)
    }

    /// How long something takes.
    pub fn histogram(&mut self, name: &str, help: &str) -> Samples<'_> {
        self.begin(name, help, MetricType::HISTOGRAM)
    }

    /// All that `collector` has, in the order of its labels.
    pub(super) fn collect(&mut self, collector: &impl Collector) {
        for mut family in collector.collect() {
            family.mut_metric().sort_by_cached_key(values);
            self.0.push(family);
        }
    }

    /// All of another one, after this one's.
    pub(super) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Adds up, series by series, what has the same names and labels.
    pub(super) fn add(&mut self, other: Self) {
        for mut family in other.0 {
            let Some(sum) = self.0.iter_mut().find(|it| it.name() == family.name()) else {
                self.0.push(family);
                continue;
            };
            let kind = sum.get_field_type();
            let mut series: BTreeMap<Vec<String>, Metric> =
                sum.take_metric().into_iter().map(|it| (values(&it), it)).collect();
            for metric in family.take_metric() {
                match series.entry(values(&metric)) {
                    Entry::Vacant(place) => drop(place.insert(metric)),
                    Entry::Occupied(mut sum) => add(sum.get_mut(), &metric, kind),
                }
            }
            sum.set_metric(series.into_values().collect());
        }
    }

    /// The text that is answered.
    #[must_use]
    pub fn text(&self, format: Format) -> String {
        encode::text(&self.0, format)
    }

    fn begin(&mut self, name: &str, help: &str, kind: MetricType) -> Samples<'_> {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        Samples(self.0.push_mut(family))
    }
}

impl Samples<'_> {
    /// A value under these labels. What comes right after another one with the same labels is added to
    /// that: names that share a label are summed up.
    pub fn add(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        let labels = pairs(labels);
        let kind = self.0.get_field_type();
        let metrics = self.0.mut_metric();
        let mut metric = Metric::from_label(labels);
        if kind == MetricType::COUNTER {
            metric.set_counter(counter(value));
        } else {
            metric.set_gauge(gauge(value));
        }
        match metrics.last_mut().filter(|it| it.get_label() == metric.get_label()) {
            Some(before) => add(before, &metric, kind),
            None => metrics.push(metric),
        }
        self
    }

    /// A count under these labels.
    pub fn count(&mut self, labels: &[(&str, &str)], value: u64) -> &mut Self {
        self.add(labels, float(value))
    }

    /// The counts of `latency` under these labels.
    pub fn latency(&mut self, labels: &[(&str, &str)], latency: &Latency) -> &mut Self {
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_histogram(latency.reading());
        self.0.mut_metric().push(metric);
        self
    }
}

/// What tells the series of one family apart.
fn values(metric: &Metric) -> Vec<String> {
    metric.get_label().iter().map(|label| label.value().to_owned()).collect()
}

/// Adds one series to another of the same kind.
fn add(sum: &mut Metric, more: &Metric, kind: MetricType) {
    match kind {
        MetricType::COUNTER => {
            sum.set_counter(counter(
                sum.get_counter().get_value() + more.get_counter().get_value(),
            ));
        }
        MetricType::HISTOGRAM => {
            sum.set_histogram(latency::sum(sum.get_histogram(), more.get_histogram()));
        }
        MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => {
            sum.set_gauge(gauge(sum.get_gauge().get_value() + more.get_gauge().get_value()));
        }
    }
}

fn counter(value: f64) -> Counter {
    let mut counter = Counter::default();
    counter.set_value(value);
    counter
}

fn gauge(value: f64) -> Gauge {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    gauge
}

fn pairs(labels: &[(&str, &str)]) -> Vec<LabelPair> {
    let pair = |&(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a scraper's numbers are floats, exact up to 2^53")]
fn float(value: u64) -> f64 {
    value as f64
}
