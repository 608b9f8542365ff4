//! What a lab keeps apart, and what it leaves.

use std::{
    fs,
    net::{IpAddr, TcpListener, ToSocketAddrs as _},
    panic,
};

use anyhow::Result;

use super::Lab;

/// The namespaces of the calling thread.
fn namespaces() -> Result<Vec<String>> {
    let link = |kind| fs::read_link(format!("/proc/thread-self/ns/{kind}"));
    Ok(vec![link("net")?.display().to_string(), link("mnt")?.display().to_string()])
}

#[test]
fn a_lab_has_namespaces_of_its_own_and_leaves_none() -> Result<()> {
    let outside = namespaces()?;
    let (inside, directory) = Lab::run(|lab| Ok((namespaces()?, lab.directory().to_owned())))?;
    assert_ne!(inside[0], outside[0]);
    assert_ne!(inside[1], outside[1]);
    assert_eq!(namespaces()?, outside);
    assert!(!directory.exists());
    Ok(())
}

#[test]
fn added_addresses_can_be_listened_on() -> Result<()> {
    Lab::run(|lab| {
        for text in ["198.51.100.10", "2001:db8:10::10"] {
            let address: IpAddr = text.parse()?;
            assert!(TcpListener::bind((address, 0)).is_err(), "{text} is there already");
            lab.address(address)?;
            TcpListener::bind((address, 0))?;
        }
        Ok(())
    })
}

#[test]
fn names_come_from_the_labs_own_hosts_file() -> Result<()> {
    Lab::run(|lab| {
        lab.hosts("198.51.100.77 from-the-lab\n")?;
        let found: Vec<_> = ("from-the-lab", 80).to_socket_addrs()?.collect();
        assert_eq!(found, ["198.51.100.77:80".parse()?]);
        Ok(())
    })
}

#[test]
fn a_panic_inside_reaches_the_caller() {
    let outcome = panic::catch_unwind(|| Lab::run(|_| -> Result<()> { panic!("as planned") }));
    let cause = outcome.err().and_then(|cause| cause.downcast::<&str>().ok());
    assert_eq!(cause.as_deref(), Some(&"as planned"));
}
