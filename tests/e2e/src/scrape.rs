//! What a daemon's metrics say at one moment.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use anyhow::{Context as _, Result, ensure};

use crate::http1::Client;

/// One scrape: the value of each series.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// As it was answered.
    pub text: String,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    /// Where metrics are by default.
    pub const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
    /// Where health is by default.
    pub const HEALTH: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);

    /// Asks the daemon at the default port.
    pub fn now() -> Result<Self> {
        let answer = Client::connect(Self::METRICS)?.get("localhost:9090", "/metrics")?;
        ensure!(answer.status == 200, "{answer:?}");
        Self::parse(String::from_utf8(answer.body)?)
    }

    fn parse(text: String) -> Result<Self> {
        let mut series = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
            let value = value.parse().with_context(|| line.to_owned())?;
            ensure!(series.insert(name.to_owned(), value).is_none(), "twice: {line}");
        }
        Ok(Self { text, series })
    }

    /// How many series there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The sum of all series of this metric that have these labels.
    #[must_use]
    pub fn sum(&self, metric: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let wanted = |series: &str| {
            let name = series.split('{').next();
            name == Some(metric) && labels.iter().all(|label| series.contains(label.as_str()))
        };
        self.series.iter().filter(|(series, _)| wanted(series)).map(|(_, value)| value).sum()
    }

    /// The same of what is whole.
    #[must_use]
    pub fn count(&self, metric: &str, labels: &[(&str, &str)]) -> u64 {
        whole(self.sum(metric, labels))
    }

    /// The sums of a metric by one of its labels; those that are 0 are left out.
    #[must_use]
    pub fn by(&self, metric: &str, label: &str) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        let start = format!("{label}=\"");
        for (series, value) in &self.series {
            let Some((name, labels)) = series.split_once('{') else { continue };
            let named = labels.split_once(&start).and_then(|(_, rest)| rest.split('"').next());
            if let Some(named) = named.filter(|_| name == metric && *value > 0.0) {
                *sums.entry(named.to_owned()).or_default() += whole(*value);
            }
        }
        sums
    }
}

/// A count as a number that can be compared; what is none is more than any.
fn whole(value: f64) -> u64 {
    format!("{value}").parse().unwrap_or(u64::MAX)
}
