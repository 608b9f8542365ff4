//! `[monitoring]`: where metrics and health are served.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::problem::Problem;
use super::section::Section;
use super::value::{boolean, integer, located, parsed};

/// Where metrics are unless the configuration says otherwise.
const METRICS_PORT: u16 = 9090;
/// Where health is.
const HEALTH_PORT: u16 = 8081;

/// Where metrics and health are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitoring {
    /// Whether they are served at all.
    pub enabled: bool,
    /// Where metrics are.
    pub metrics: MonitoringPort,
    /// Where health is.
    pub health: MonitoringPort,
}

/// A place to be served at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonitoringPort {
    /// Where; port 0 is whichever is free.
    pub address: SocketAddr,
    /// Whether it was asked for: nobody is held up for the want of what he knows nothing of.
    pub required: bool,
    /// The key that names its port.
    pub key: &'static str,
}

impl Monitoring {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let enabled = section.key("enabled", boolean);
        let address = section.key(
            "bind_address",
            parsed(str::parse::<IpAddr>, "write an IP address such as \"127.0.0.1\""),
        );
        let metrics = section.key("metrics_port", located(integer(0..=u16::MAX)));
        let health = section.key("health_check_port", located(integer(0..=u16::MAX)));
        let of = |port: Option<u16>, default: u16, key| MonitoringPort {
            address: (address.unwrap_or(Ipv4Addr::LOCALHOST.into()), port.unwrap_or(default))
                .into(),
            required: enabled == Some(true) || address.is_some() || port.is_some(),
            key,
        };
        let number = |port: &Option<super::value::Located<u16>>| port.as_ref().map(|it| it.value);
        let monitoring = Self {
            enabled: enabled.unwrap_or(true),
            metrics: of(number(&metrics), METRICS_PORT, "monitoring.metrics_port"),
            health: of(number(&health), HEALTH_PORT, "monitoring.health_check_port"),
        };
        let port = monitoring.metrics.address.port();
        if let Some(written) = health.or(metrics)
            && port != 0
            && port == monitoring.health.address.port()
        {
            let problem = Problem::error("metrics and health need ports of their own");
            section.report(problem.at(written.span, "this one is the other's"));
        }
        monitoring
    }
}
