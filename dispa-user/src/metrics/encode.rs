//! Metrics as text: version 0.0.4 of Prometheus' format, or `OpenMetrics` 1.0.

use std::fmt::{self, Display, Write as _};

use prometheus::proto::{Metric, MetricFamily, MetricType};

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own, version 0.0.4.
    Text,
    /// <https://github.com/prometheus/OpenMetrics>, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The one that a request with this `Accept` field likes best. Whoever does not say gets the older one,
    /// as does whoever wants another version (RFC 9110 section 12.5.1).
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let (mut open_metrics, mut text) = (0.0_f32, 0.0_f32);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let (mut weight, mut ours) = (1.0, true);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim().to_ascii_lowercase().as_str() {
                    // A weight (RFC 9110 section 12.4.2); what is none weighs nothing.
                    "q" => weight = value.trim().parse().unwrap_or(0.0),
                    "version" => ours = value.trim_matches('"') == "1.0.0",
                    _ => {}
                }
            }
            if kind.eq_ignore_ascii_case("application/openmetrics-text") && ours {
                open_metrics = open_metrics.max(weight);
            } else if kind.eq_ignore_ascii_case("text/plain") {
                text = text.max(weight);
            }
        }
        if open_metrics > 0.0 && open_metrics >= text { Self::OpenMetrics } else { Self::Text }
    }

    /// The `Content-Type` of a text in it.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The families that have values.
pub(super) fn text(families: &[MetricFamily], format: Format) -> String {
    let mut text = String::new();
    for family in families.iter().filter(|family| !family.get_metric().is_empty()) {
        // Writing to a string cannot fail.
        let _ = write_family(&mut text, family, format);
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn write_family(text: &mut String, family: &MetricFamily, format: Format) -> fmt::Result {
    let (name, kind) = (family.name(), family.get_field_type());
    // In OpenMetrics `_total` belongs to the sample, not to the family.
    let called = match format {
        Format::OpenMetrics => name.strip_suffix("_total").unwrap_or(name),
        Format::Text => name,
    };
    let word = match kind {
        MetricType::COUNTER => "counter",
        MetricType::HISTOGRAM => "histogram",
        MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => "gauge",
    };
    writeln!(text, "# HELP {called} {}", Escaped(family.help()))?;
    writeln!(text, "# TYPE {called} {word}")?;
    for metric in family.get_metric() {
        match kind {
            MetricType::COUNTER => {
                write_sample(text, name, metric, None, metric.get_counter().get_value())?;
            }
            MetricType::HISTOGRAM => write_histogram(text, name, metric)?,
            MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => {
                write_sample(text, name, metric, None, metric.get_gauge().get_value())?;
            }
        }
    }
    Ok(())
}

fn write_histogram(text: &mut String, name: &str, metric: &Metric) -> fmt::Result {
    let histogram = metric.get_histogram();
    let bucket = format!("{name}_bucket");
    for it in histogram.get_bucket() {
        // With a point, as OpenMetrics wants it: the same in both formats.
        let bound = format!("{:?}", it.upper_bound());
        write_sample(text, &bucket, metric, Some(&bound), it.cumulative_count())?;
    }
    let count = histogram.get_sample_count();
    write_sample(text, &bucket, metric, Some("+Inf"), count)?;
    write_sample(text, &format!("{name}_sum"), metric, None, histogram.get_sample_sum())?;
    write_sample(text, &format!("{name}_count"), metric, None, count)
}

fn write_sample(
    text: &mut String,
    name: &str,
    metric: &Metric,
    bound: Option<&str>,
    value: impl Display,
) -> fmt::Result {
    text.push_str(name);
    let mut separator = '{';
    let labels = metric.get_label().iter().map(|label| (label.name(), label.value()));
    for (name, value) in labels.chain(bound.map(|bound| ("le", bound))) {
        write!(text, "{separator}{name}=\"{}\"", Escaped(value))?;
        separator = ',';
    }
    if separator == ',' {
        text.push('}');
    }
    writeln!(text, " {value}")
}

/// In quotation marks or not: no help of ours has any.
struct Escaped<'t>(&'t str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '"' => f.write_str("\\\"")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Format;
    use crate::metrics::{Families, Latency};

    fn families() -> Families {
        let mut families = Families::default();
        families.counter("a_total", "Things.").count(&[("x", "q\"\\\n")], 3);
        families.gauge("b", "Others.").add(&[], 0.5);
        families.gauge("unused", "Nothing.");
        families
    }

    #[test]
    fn a_counter_is_called_by_its_name_less_total_in_openmetrics() {
        assert_eq!(
            families().text(Format::Text),
            "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"q\\\"\\\\\\n\"} 3\n\
             # HELP b Others.\n# TYPE b gauge\nb 0.5\n"
        );
        assert_eq!(
            families().text(Format::OpenMetrics),
            "# HELP a Things.\n# TYPE a counter\na_total{x=\"q\\\"\\\\\\n\"} 3\n\
             # HELP b Others.\n# TYPE b gauge\nb 0.5\n# EOF\n"
        );
    }

    #[test]
    fn buckets_add_up() {
        let latency = Latency::long();
        latency.observe(Duration::from_millis(500));
        latency.observe(Duration::from_secs(100_000));
        let mut families = Families::default();
        families.histogram("t_seconds", "Times.").latency(&[("d", "x")], &latency);
        let text = families.text(Format::Text);
        for line in [
            "t_seconds_bucket{d=\"x\",le=\"0.1\"} 0\n",
            "t_seconds_bucket{d=\"x\",le=\"1.0\"} 1\n",
            "t_seconds_bucket{d=\"x\",le=\"86400.0\"} 1\n",
            "t_seconds_bucket{d=\"x\",le=\"+Inf\"} 2\n",
            "t_seconds_sum{d=\"x\"} 100000.5\n",
            "t_seconds_count{d=\"x\"} 2\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }

    #[test]
    fn names_that_share_a_label_are_summed_up() {
        let mut families = Families::default();
        let mut samples = families.counter("a_total", "Things.");
        samples
            .count(&[("n", "one")], 1)
            .count(&[("n", "(other)")], 2)
            .count(&[("n", "(other)")], 3);
        assert!(
            families
                .text(Format::Text)
                .ends_with("a_total{n=\"one\"} 1\na_total{n=\"(other)\"} 5\n")
        );
    }

    #[test]
    fn the_format_is_what_is_liked_best() {
        let prometheus = "application/openmetrics-text;version=1.0.0,\
                          application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (prometheus, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "text/plain, Application/OpenMetrics-Text; version=\"1.0.0\"; q=1",
                Format::OpenMetrics,
            ),
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/plain;q=0.9,application/openmetrics-text;version=1.0.0;q=0.8", Format::Text),
            ("application/openmetrics-text;version=2.0.0", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=x", Format::Text),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }
}
