//! The status for people: lines, then tables.

use std::fmt;

use jiff::Timestamp;

use super::{
    AttributionCounts, ClientStatus, DomainStatus, DoorStatus, Exchanges, KernelCounts,
    KernelStatus, ReloadStatus, Status, TargetStatus,
};

/// The columns of the table for people.
const COLUMNS: [&str; 10] = [
    "target",
    "state",
    "weight",
    "under way",
    "good",
    "errors",
    "failures",
    "latency",
    "out / in",
    "rtt",
];

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generation = self.generation;
        writeln!(
            f,
            "dispa {}, up for {}, configuration {generation}",
            self.version,
            span(self.uptime_seconds)
        )?;
        if let Some(reload) = &self.last_reload {
            writeln!(f, "{reload}")?;
        }
        writeln!(f, "{}", self.doors)?;
        writeln!(f, "{}", self.clients)?;
        if let Some(kernel) = &self.kernel {
            writeln!(f, "{kernel}")?;
        }
        if let Some(path) = &self.path {
            writeln!(f, "{path}")?;
        }
        if let Some(reason) = &self.not_counted {
            writeln!(f, "bytes and round trip times are not counted: {reason}")?;
        }
        if !self.outcomes.is_empty() {
            let ended = self.outcomes.iter().map(|(name, count)| format!("{count} {name}"));
            writeln!(f, "exchanges: {}", ended.collect::<Vec<_>>().join(", "))?;
        }
        if self.retries_refused > 0 {
            writeln!(f, "not repeated, for too many were: {} requests", self.retries_refused)?;
        }
        if let Some(AttributionCounts { attributed, unknown: unknown @ 1.., .. }) = self.attribution
        {
            writeln!(f, "programs that connected: {attributed} times known, {unknown} times not")?;
        }
        for accounts in &self.traffic_log {
            writeln!(f, "traffic log, {accounts}")?;
        }
        self.domains(f)?;
        for pool in self.pools.iter().filter(|pool| !pool.targets.is_empty()) {
            writeln!(f, "\npool {} ({})", pool.name, pool.balancing)?;
            table(f, COLUMNS, pool.targets.iter().map(TargetStatus::row))?;
        }
        Ok(())
    }
}

/// Domains that are shown, and addresses of one of them; the JSON has more.
const MOST_DOMAINS: usize = 20;
const MOST_ADDRESSES: usize = 3;

impl Status {
    fn domains(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.domains.is_empty() {
            return Ok(());
        }
        writeln!(f)?;
        let shown = self.domains.iter().take(MOST_DOMAINS).map(DomainStatus::row);
        table(f, ["domain", "pool", "names", "addresses"], shown)?;
        let more = self.domains.len().saturating_sub(MOST_DOMAINS) + self.more_domains;
        if more > 0 { writeln!(f, "  and {more} more") } else { Ok(()) }
    }
}

impl DomainStatus {
    fn row(&self) -> [String; 4] {
        let shown = self.addresses.iter().take(MOST_ADDRESSES).map(ToString::to_string);
        let shown = shown.collect::<Vec<_>>().join(", ");
        let addresses = match self.addresses.len() {
            0 => "-".to_owned(),
            count if count > MOST_ADDRESSES => {
                format!("{shown} and {} more", count - MOST_ADDRESSES)
            }
            _ => shown,
        };
        [self.pattern.clone(), self.pool.clone(), self.names.to_string(), addresses]
    }
}

impl fmt::Display for ReloadStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = i64::try_from(self.at).ok().and_then(|at| Timestamp::from_second(at).ok());
        let at = at.map(|at| format!(", at {at},")).unwrap_or_default();
        if let Some(error) = &self.error {
            return write!(
                f,
                "the last reload{at} was refused, an older configuration counts:\n{error}"
            );
        }
        write!(f, "the last reload{at} was good")?;
        match self.needs_restart.as_slice() {
            [] => Ok(()),
            keys => write!(f, "; as before until a restart: {}", keys.join(", ")),
        }
    }
}

impl fmt::Display for ClientStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { open, most, level, short_of } = self;
        write!(f, "clients: {open} connections of at most {most}")?;
        if let Some(short_of) = short_of {
            return write!(f, "; new ones go direct, for want of {short_of}");
        }
        match level.as_str() {
            "full" => f.write_str("; new ones go direct"),
            "crowded" => f.write_str("; new ones of who has half of them go direct"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for DoorStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut doors = Vec::new();
        doors.extend(self.explicit.map(|it| format!("{it} explicit")));
        if let Some(cgroup) = &self.cgroup {
            let ports: Vec<String> =
                self.transparent4.iter().chain(&self.transparent6).map(u16::to_string).collect();
            let ports = ports.join(" and ");
            doors.push(format!("lo:{ports} transparent, for {}", cgroup.display()));
        }
        doors.extend(self.metrics.map(|it| format!("{it} metrics")));
        doors.extend(self.health.map(|it| format!("{it} health")));
        doors.extend(self.page.map(|it| format!("{it} page")));
        write!(f, "doors: {}", doors.join("; "))
    }
}

impl fmt::Display for KernelStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.outcomes.iter().filter(|(_, count)| **count > 0);
        let told: Vec<_> = told.map(|(name, count)| format!("{count} {name}")).collect();
        let told = if told.is_empty() { "nothing yet".to_owned() } else { told.join(", ") };
        let Self { slots_in_use, names, addresses, .. } = self;
        write!(
            f,
            "kernel: {told}; {names} names with {addresses} addresses; {slots_in_use} slots in use"
        )?;
        match self.not_learned {
            0 => Ok(()),
            count => write!(f, "; no room for {count} addresses"),
        }
    }
}

impl TargetStatus {
    fn row(&self) -> [String; COLUMNS.len()] {
        let Exchanges { good, errors, failures } = &self.exchanges;
        let nothing = || "-".to_owned();
        let kernel = self.connections.kernel.as_ref();
        let latency = |ms: f64| format!("{ms:.1} ms");
        let moved = |it: &KernelCounts| format!("{} / {}", size(it.bytes_out), size(it.bytes_in));
        [
            self.name.clone(),
            if self.backup { format!("{}, backup", self.state) } else { self.state.clone() },
            self.weight.to_string(),
            self.under_way.to_string(),
            good.to_string(),
            errors.to_string(),
            failures.to_string(),
            self.latency_ms.map_or_else(nothing, latency),
            kernel.map_or_else(nothing, moved),
            kernel
                .filter(|it| it.rtt_us > 0)
                .map_or_else(nothing, |it| format!("{} us", it.rtt_us)),
        ]
    }
}

/// Writes the rows below the names of their columns, each column as wide as need be.
fn table<const COLUMNS: usize>(
    f: &mut fmt::Formatter<'_>,
    names: [&str; COLUMNS],
    rows: impl Iterator<Item = [String; COLUMNS]>,
) -> fmt::Result {
    let rows: Vec<_> = std::iter::once(names.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..COLUMNS).filter_map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(f, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// As people say it.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days} d {} h", hours % 24),
        () if hours > 0 => format!("{hours} h {} min", minutes % 60),
        () if minutes > 0 => format!("{minutes} min {} s", seconds % 60),
        () => format!("{seconds} s"),
    }
}

/// In the largest unit of which there is one.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = UNITS.into_iter().find(|(_, unit)| bytes >= *unit);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(name, unit)| format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
    )
}
