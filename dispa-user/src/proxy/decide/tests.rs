//! What a name that was proven once means later.

use std::sync::Arc;

use super::request;
use crate::{
    attribution::Attributed,
    config::{Config, Overrides},
    kernel::{Assigned, SlotTable},
    proxy::{origin::Arrival, serve::Client},
    state::State,
    types::HostName,
};

/// Two names with rules, neither of which owns any address.
fn state() -> Arc<State> {
    let text = r#"
        [domains]
        intercept_domains = ["a.test", "b.test"]
        [[targets.targets]]
        name = "one"
        url = "http://127.0.0.1:1"
    "#;
    let config = Config::parse(text, "c.toml", &Overrides::default()).expect("valid");
    State::new(&config, None, Arc::default())
}

fn arrival() -> Arrival {
    let mut slots = SlotTable::default();
    let destination = "198.51.100.10:80".parse().expect("an address");
    let Assigned::New(slot) = slots.assign(destination) else { panic!("the first slot is new") };
    let client = "127.0.0.1:40000".parse().expect("an address");
    let lease = slots.lease(slot).expect("it was assigned");
    Arrival::new(client, Attributed::default(), lease, &state().capacity)
}

#[test]
fn the_name_a_connection_was_made_for_keeps_its_rule_when_its_address_is_forgotten() {
    let state = state();
    let name = |text| HostName::parse(text).expect("a name");
    let client = Client::transparent(arrival(), Some(name("a.test")));
    assert!(request(&name("a.test"), &client, &state).is_some());
    assert!(request(&name("b.test"), &client, &state).is_none());
    assert!(request(&name("c.test"), &client, &state).is_none());
}
