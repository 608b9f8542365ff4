//! The explanation itself: the walk of a connection that nobody made.

use std::net::IpAddr;

use super::{
    Facts, Protocol, Setup, Subject,
    explanation::{Case, Explanation, Source, Verdict},
    reach::{Kernel, Reach},
    setup::Answerers,
};
use crate::{config::Scheme, rules::Rule, types::HostName};

/// A verdict and what led to it.
type Ruling = (Verdict, Vec<String>);

/// What would happen to connections to `subject`, and why; `facts` are the daemon's, if one was
/// asked.
#[must_use]
pub fn explain(subject: &Subject, setup: &Setup, facts: Option<&Facts>) -> Explanation {
    let kernel = Kernel { setup, facts };
    let case = |(protocol, port)| {
        let (verdict, reasons) = rule_on(subject, protocol, port, kernel);
        Case { protocol, port, verdict, reasons }
    };
    let cases: Vec<Case> = subject.cases(&setup.intercept.ports).into_iter().map(case).collect();
    let rule = subject.host().and_then(|host| setup.rules.find(host));
    let exclusion = subject.host().and_then(|host| setup.rules.exclusion(host));
    let concerns_pool = cases.iter().any(|case| case.verdict.concerns_pool());
    Explanation {
        of: subject.to_string(),
        source: if facts.is_some() { Source::Daemon } else { Source::File },
        rule: rule.map(|rule| rule.pattern.to_string()),
        exclusion: exclusion.map(ToString::to_string),
        addresses: facts.map(|facts| facts.addresses.clone()).unwrap_or_default(),
        pool: concerns_pool.then(|| setup.pool(rule)).flatten(),
        cgroup: setup.cgroup(),
        by_program: setup.goes_by_program(),
        cases,
    }
}

fn rule_on(subject: &Subject, protocol: Protocol, port: u16, kernel: Kernel<'_>) -> Ruling {
    if let Some((verdict, why)) = kernel.by_port(port) {
        return (verdict, vec![why]);
    }
    match subject {
        Subject::Name(host) => named(host, protocol, port, kernel),
        Subject::Url(url) => named(&url.host, protocol, port, kernel),
        Subject::Address(address) => addressed(*address, protocol, port, kernel),
    }
}

/// A request for `host`, or TLS that begins with it.
fn named(host: &HostName, protocol: Protocol, port: u16, kernel: Kernel<'_>) -> Ruling {
    if protocol == Protocol::Tls && host.ip().is_some() {
        let why = "TLS to an IP address names no host that a rule could match";
        return unruled(host, port, kernel, Verdict::Direct, why.to_owned());
    }
    let Some(rule) = kernel.setup.rules.find(host) else {
        let (direct, why) = no_rule(host, kernel.setup);
        return unruled(host, port, kernel, direct, why);
    };
    let place = if rule.pool == 0 { "intercept_domains" } else { "virtual_hosts" };
    let mut reasons = vec![format!("`{}` in {place} matches it", rule.pattern)];
    match kernel.of_ruled(host, &rule.pattern, port) {
        Reach::Redirected(note) => {
            let (verdict, why) = outcome(protocol, Some(rule), kernel.setup);
            reasons.extend(note);
            reasons.push(why);
            (verdict, reasons)
        }
        Reach::Direct(why) => {
            reasons.push(why);
            (Verdict::Direct, reasons)
        }
        Reach::Unknown(why) => {
            reasons.push(why);
            (Verdict::Unknown, reasons)
        }
    }
}

/// Why no rule is for `host`, and what that makes of it.
fn no_rule(host: &HostName, setup: &Setup) -> (Verdict, String) {
    if let Some(exclusion) = setup.rules.exclusion(host) {
        return (Verdict::Excluded, format!("`{exclusion}` in exclude_domains excludes it"));
    }
    (Verdict::Direct, "no pattern in intercept_domains or virtual_hosts matches it".to_owned())
}

/// A host that no rule matches, because of `why`; `direct` if it does not even come to the daemon.
fn unruled(host: &HostName, port: u16, kernel: Kernel<'_>, direct: Verdict, why: String) -> Ruling {
    match kernel.of_unruled(host, port) {
        Reach::Redirected(note) => {
            let excluded = direct == Verdict::Excluded;
            let verdict = if excluded { direct } else { Verdict::Relayed };
            (verdict, [Some(why), note].into_iter().flatten().collect())
        }
        Reach::Direct(note) | Reach::Unknown(note) => (direct, vec![why, note]),
    }
}

/// Whatever is asked for at `address`.
fn addressed(address: IpAddr, protocol: Protocol, port: u16, kernel: Kernel<'_>) -> Ruling {
    let note = match kernel.of_address(address, port) {
        Reach::Redirected(note) => note,
        Reach::Direct(why) => return (Verdict::Direct, vec![why]),
        Reach::Unknown(why) => return (Verdict::Unknown, vec![why]),
    };
    let mut reasons: Vec<String> = note.into_iter().collect();
    let (verdict, why) = outcome(protocol, None, kernel.setup);
    if verdict.passes() {
        reasons.push(why);
        return (verdict, reasons);
    }
    reasons.push(format!("asked for an intercepted domain it belongs to, {why}"));
    reasons.push("anything else is relayed untouched".to_owned());
    (Verdict::ByName, reasons)
}

/// What becomes of a connection that a rule applies to; `None`: any of them.
fn outcome(protocol: Protocol, rule: Option<&Rule>, setup: &Setup) -> (Verdict, String) {
    let (scheme, name, answered, passed, unanswered) = match protocol {
        Protocol::Http => {
            (Scheme::Http, "http", Verdict::Backends, Verdict::HttpPasses, "a 503 is sent")
        }
        Protocol::Tls => (
            Scheme::Https,
            "https",
            Verdict::TlsToBackend,
            Verdict::TlsPasses,
            "the connection is reset",
        ),
    };
    match setup.answerers(rule, scheme) {
        Answerers::Some(names) => (answered, format!("{} answers", one_of(&names))),
        Answerers::Unpickable => {
            (Verdict::NoBackend, format!("every {name} target has weight 0: {unanswered}"))
        }
        Answerers::None => (passed, format!("no target has an {name}:// url")),
    }
}

fn one_of(names: &[String]) -> String {
    match names {
        [name] => name.clone(),
        names => format!("one of {}", names.join(", ")),
    }
}

impl Verdict {
    fn passes(self) -> bool {
        matches!(self, Self::HttpPasses | Self::TlsPasses)
    }

    /// Whether a rule applies, so that the pool has a say.
    fn concerns_pool(self) -> bool {
        match self {
            Self::Backends
            | Self::TlsToBackend
            | Self::TlsPasses
            | Self::HttpPasses
            | Self::NoBackend
            | Self::ByName => true,
            Self::Relayed | Self::Excluded | Self::Direct | Self::Unknown => false,
        }
    }
}

#[cfg(test)]
mod tests;
