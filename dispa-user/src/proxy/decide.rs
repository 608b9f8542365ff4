//! Step 3: what a rule says about a connection, or about one request on it.

use super::{origin::Arrival, peek::Peeked, serve::Client};
use crate::{
    config::Scheme,
    rules::Rule,
    sniff::{ClientHello, Verdict},
    state::State,
    types::HostName,
};

/// What becomes of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Its requests are served, each by its own decision.
    Serve {
        /// The name that decided.
        host: HostName,
    },
    /// The same, over HTTP/2. No name has decided yet where no request was made yet.
    ServeHttp2 {
        /// The name that decided.
        host: Option<HostName>,
    },
    /// It goes, unread, to a backend that speaks what it speaks.
    Backend {
        /// The rule that matched it.
        rule: Rule,
    },
    /// It goes to its original destination, unread.
    Relay,
}

/// A connection is served if its first request is for an intercepted domain, and handed on to a
/// backend if it begins TLS with one; everything else is none of our business.
pub(super) fn connection(peeked: &Peeked, arrival: &Arrival, state: &State) -> Way {
    match &peeked.verdict {
        Verdict::Http1(head) if is_served(&head.host, arrival, state) => {
            Way::Serve { host: head.host.clone() }
        }
        Verdict::Http2 => http2(peeked.http2_host.as_ref(), arrival, state),
        Verdict::Tls(hello) => tls(hello, arrival, state),
        Verdict::Http1(_) | Verdict::Opaque | Verdict::More => Way::Relay,
    }
}

fn is_served(host: &HostName, arrival: &Arrival, state: &State) -> bool {
    rule_at(host, arrival, state).is_some_and(|rule| state.answers(rule, Scheme::Http))
}

/// A client that waits for the server's first word has not said for whom it is there. It is served
/// if the address is any intercepted domain's: each request is then decided by itself, and one for
/// somebody else goes on to where the connection was going.
fn http2(host: Option<&HostName>, arrival: &Arrival, state: &State) -> Way {
    match host {
        Some(host) if is_served(host, arrival, state) => {
            Way::ServeHttp2 { host: Some(host.clone()) }
        }
        None if speaks_http(state) && is_somebodys(arrival, state) => {
            Way::ServeHttp2 { host: None }
        }
        Some(_) | None => Way::Relay,
    }
}

fn speaks_http(state: &State) -> bool {
    state.backends.all().iter().any(|backend| backend.scheme == Scheme::Http)
}

fn is_somebodys(arrival: &Arrival, state: &State) -> bool {
    let address = arrival.origin.0.ip();
    state.interception.as_ref().is_some_and(|it| it.is_learned(address))
}

/// Without a certificate TLS can only be handed on, to a backend that has one. What counts is the
/// name in the clear: a hello that hides another one inside (ECH) cannot be told from one that only
/// pretends to, as browsers do in every hello (GREASE, RFC 9849 section 6.2), and the name in
/// the clear of one that really does is its provider's.
fn tls(hello: &ClientHello, arrival: &Arrival, state: &State) -> Way {
    let Some(host) = &hello.server_name else { return Way::Relay };
    match rule_at(host, arrival, state) {
        Some(rule) if state.answers(rule, Scheme::Https) => Way::Backend { rule: rule.clone() },
        Some(_) => {
            state.note_tls_passed();
            Way::Relay
        }
        None => Way::Relay,
    }
}

/// The rule that applies to a request for `host`.
pub(super) fn request<'a>(host: &HostName, client: &Client, state: &'a State) -> Option<&'a Rule> {
    match client.arrival() {
        Some(arrival) if !client.has_proven(host) => rule_at(host, arrival, state),
        Some(_) | None => state.rules.find(host),
    }
}

/// A rule applies only where the address the program asked for belongs to that very name: a shared
/// or poisoned address brings nobody else's traffic to the backends.
fn rule_at<'a>(host: &HostName, arrival: &Arrival, state: &'a State) -> Option<&'a Rule> {
    let rule = state.rules.find(host)?;
    let interception = state.interception.as_ref()?;
    interception.concerns(host, arrival.origin.0.ip()).then_some(rule)
}

#[cfg(test)]
mod tests;
