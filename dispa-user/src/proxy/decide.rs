//! Step 3: what a rule says about a connection, or about one request on it.

use super::{origin::Arrival, serve::Client};
use crate::{rules::Pattern, sniff::Verdict, state::State, types::HostName};

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Its requests are served, each by its own decision.
    Serve,
    /// It goes to its original destination, unread.
    Relay,
}

/// A connection is served if its first request is for an intercepted domain; everything else is
/// none of our business.
pub(super) fn connection(verdict: &Verdict, arrival: &Arrival, state: &State) -> Way {
    match verdict {
        Verdict::Http1(head) if rule_at(&head.host, arrival, state).is_some() => Way::Serve,
        Verdict::Http1(_) | Verdict::Opaque | Verdict::More => Way::Relay,
    }
}

/// The rule that applies to a request for `host`.
pub(super) fn request<'a>(
    host: &HostName,
    client: &Client,
    state: &'a State,
) -> Option<&'a Pattern> {
    match client.arrival() {
        Some(arrival) => rule_at(host, arrival, state),
        None => state.rules.find(host),
    }
}

/// A rule applies only where the address the program asked for belongs to that very name: a shared
/// or poisoned address brings nobody else's traffic to the backends.
fn rule_at<'a>(host: &HostName, arrival: &Arrival, state: &'a State) -> Option<&'a Pattern> {
    let rule = state.rules.find(host)?;
    let interception = state.interception.as_ref()?;
    interception.owns(host, arrival.origin.0.ip()).then_some(rule)
}
