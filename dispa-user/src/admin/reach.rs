//! Whether a connection comes to the daemon at all: the kernel side's part of an explanation.

use std::net::IpAddr;

use dispa_common::DNS_PORT;

use super::{Facts, Setup, Verdict, explanation::Learned};
use crate::{
    config::{Dns, Scope},
    rules::Pattern,
    types::HostName,
};

/// Whether connections come to the daemon, and what there is to say about that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// They do.
    Redirected(Option<String>),
    /// They do not.
    Direct(String),
    /// Only a running daemon could tell.
    Unknown(String),
}

/// The kernel side as the configuration and the daemon's knowledge make it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel<'a> {
    pub(super) setup: &'a Setup,
    /// `None` where no daemon was asked.
    pub(super) facts: Option<&'a Facts>,
}

impl Kernel<'_> {
    /// What the port alone decides, whatever is asked for.
    pub(super) fn by_port(&self, port: u16) -> Option<(Verdict, String)> {
        let intercept = &self.setup.intercept;
        if !intercept.enabled {
            let door = self.setup.explicit_door;
            let why = format!(
                "intercept.enabled is false: only the explicit proxy at {door} is there, for \
                 programs that use it"
            );
            return Some((Verdict::Direct, why));
        }
        let listed = intercept.ports.contains(&port);
        if port == DNS_PORT && (listed || intercept.dns == Dns::Relay) {
            let why = format!("port {port} is the DNS's, whose questions and answers are relayed");
            return Some((Verdict::Relayed, why));
        }
        let ports: Vec<String> = intercept.ports.iter().map(u16::to_string).collect();
        let why = || format!("port {port} is not in intercept.ports ({})", ports.join(", "));
        (!listed).then(|| (Verdict::Direct, why()))
    }

    /// Connections to `host`, which `rule` matches.
    pub(super) fn of_ruled(&self, host: &HostName, rule: &Pattern, port: u16) -> Reach {
        if self.setup.intercept.scope == Scope::All {
            return self.of_caught(host.ip(), port);
        }
        let resolved_only = self.setup.intercept.dns == Dns::Resolve;
        if resolved_only && rule.is_wildcard() {
            let why = "intercept.dns is \"resolve\", which learns no addresses for wildcards";
            return Reach::Direct(why.to_owned());
        }
        let Some(facts) = self.facts else {
            return Reach::Redirected(Some("a running daemon learns its addresses".to_owned()));
        };
        let own: Vec<&Learned> = facts.addresses.iter().filter(|it| it.is_of(host)).collect();
        if !own.is_empty() {
            return self.of_own(&own, port);
        }
        if host.ip().is_some() {
            let why = "the address is not learned; loopback, link-local and multicast never are";
            return Reach::Direct(why.to_owned());
        }
        if resolved_only {
            return Reach::Direct("it is not resolved yet".to_owned());
        }
        let note = "no address is known yet: the next DNS answer that a program gets teaches them";
        Reach::Redirected(Some(note.to_owned()))
    }

    /// Connections to `host`, which no rule matches.
    pub(super) fn of_unruled(&self, host: &HostName, port: u16) -> Reach {
        if self.setup.intercept.scope == Scope::All {
            return self.of_caught(host.ip(), port);
        }
        let shared = "if its address is an intercepted domain's too, it is relayed untouched";
        let Some(address) = host.ip() else { return Reach::Direct(shared.to_owned()) };
        match self.of_address(address, port) {
            Reach::Unknown(_) => Reach::Direct(shared.to_owned()),
            reach => reach,
        }
    }

    /// Connections to `address`, whatever is asked for.
    pub(super) fn of_address(&self, address: IpAddr, port: u16) -> Reach {
        if self.setup.intercept.scope == Scope::All {
            return self.of_caught(Some(address), port);
        }
        let Some(facts) = self.facts else {
            let literal = HostName::parse(&address.to_string()).ok();
            if literal.is_some_and(|host| self.setup.rules.find(&host).is_some()) {
                return Reach::Redirected(Some("it is an intercepted domain itself".to_owned()));
            }
            let why = "which domains it belongs to, only a running daemon knows";
            return Reach::Unknown(why.to_owned());
        };
        let learned = facts.addresses.iter().find(|it| it.address == address);
        match learned.filter(|it| !it.owners.is_empty()) {
            None => Reach::Direct("the address belongs to no intercepted domain".to_owned()),
            Some(learned) if learned.has_slot(port) => {
                let names: Vec<&str> = learned.owners.iter().map(|it| it.name.as_str()).collect();
                let belongs = format!("the address belongs to {}", names.join(", "));
                Reach::Redirected(Some(belongs))
            }
            Some(_) => Reach::Direct(self.why_no_slot(address, port)),
        }
    }

    /// Every connection to the port, in scope "all".
    fn of_caught(&self, address: Option<IpAddr>, port: u16) -> Reach {
        match address {
            Some(address) if address.is_loopback() => {
                Reach::Direct("loopback is never intercepted".to_owned())
            }
            Some(IpAddr::V6(_)) if self.lacks_ipv6() => Reach::Direct(NO_IPV6.to_owned()),
            _ => {
                let note = "intercept.scope is \"all\": every connection to port";
                Reach::Redirected(Some(format!("{note} {port} is redirected")))
            }
        }
    }

    /// Connections to the addresses that a name owns, of which there are some.
    fn of_own(&self, own: &[&Learned], port: u16) -> Reach {
        let mut without = own.iter().filter(|it| !it.has_slot(port));
        let Some(first) = without.next() else { return Reach::Redirected(None) };
        let why = self.why_no_slot(first.address, port);
        let count = 1 + without.count();
        if count == own.len() {
            return Reach::Direct(why);
        }
        let note =
            format!("to {count} of its {} addresses connections go direct: {why}", own.len());
        Reach::Redirected(Some(note))
    }

    fn why_no_slot(&self, address: IpAddr, port: u16) -> String {
        if self.setup.is_target(address, port) {
            format!("{address} is a target itself")
        } else if address.is_ipv6() && self.lacks_ipv6() {
            NO_IPV6.to_owned()
        } else {
            format!("no slot was free for {address}")
        }
    }

    fn lacks_ipv6(&self) -> bool {
        self.facts.is_some_and(|facts| !facts.ipv6)
    }
}

const NO_IPV6: &str = "the daemon has no door for IPv6";
