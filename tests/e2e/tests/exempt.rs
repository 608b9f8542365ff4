//! Connections that must not be redirected, though they go to an intercepted address.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use anyhow::Result;
use dispa_e2e::{Site, direct};
use dispa_lab::{Config, HttpServer, Lab, Neighbour, Process, TcpServer, run};

const BOUND_DEVICE: &str = include_str!("../clients/bound_device.py");

const SOON: Duration = Duration::from_mins(1);

#[test]
fn a_program_in_another_network_namespace_goes_direct() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let neighbour = Neighbour::new()?;
        let dispa = site.dispa(&Site::config_of_one().kernel_events())?;
        let mut curl = neighbour.command(&site.cgroup, "curl");
        let body = run(curl.args(["-sSf", "http://four.example.com/"]), SOON)?.success()?;
        assert_eq!(body, "original");
        dispa.record("connect", &[("outcome", "other_netns"), ("origin", "198.51.100.10:80")])?;
        assert_eq!(site.curl(&["http://four.example.com/"])?, "one");
        let stopped = dispa.stop()?.summary;
        // The connection, and the questions before it.
        assert!(stopped.count("other_netns") > Some(1), "{stopped:?}");
        assert_eq!(stopped.count("redirected_v4"), Some(1), "{stopped:?}");
        Ok(())
    })
}

#[test]
fn a_socket_bound_to_a_device_goes_direct() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config_of_one())?;
        let address = Site::V4.to_string();
        assert_eq!(site.python(BOUND_DEVICE, &[&address, Site::NAME])?, "original");
        assert_eq!(site.curl(&["--interface", "if!lo", "http://six.example.com/"])?, "original");
        let stopped = dispa.stop()?.summary;
        assert_eq!(stopped.count("bound_device"), Some(2), "{stopped:?}");
        Ok(())
    })
}

#[test]
fn dispas_own_connection_to_an_intercepted_address_goes_direct() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config_of_one())?;
        for family in ["-4", "-6"] {
            let other = [family, "-H", "Host: other.test", "http://example.com/"];
            assert_eq!(site.curl(&other)?, "original");
        }
        let stopped = dispa.stop()?;
        let relayed = [("outcome", "relayed"), ("door", "transparent")];
        let walks = stopped.log.iter().filter(|record| record.has(&relayed));
        let to_the_site = walks.filter(|record| record.text("origin").ends_with(":80"));
        assert_eq!(to_the_site.count(), 2, "one walk each, no loop");
        assert!(stopped.summary.count("own_socket") >= Some(2), "{:?}", stopped.summary);
        Ok(())
    })
}

#[test]
fn a_backend_at_an_intercepted_address_is_left_alone() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config = Config::new(&[Site::NAME]).target("itself", (Site::V4, 80).into());
        let dispa = site.dispa(&config)?;
        assert_eq!(site.curl(&["-4", "http://example.com/"])?, "original");
        assert_eq!(site.curl(&["-6", "http://example.com/"])?, "original");
        assert_eq!(site.original.requests(), 2);
        let stopped = dispa.stop()?;
        let exchanges = stopped.log.iter().filter(|record| record.text("host") == "example.com");
        assert_eq!(exchanges.count(), 1, "over IPv6, where no backend is");
        Ok(())
    })
}

#[test]
fn a_connection_made_before_the_start_is_left_alone() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _greeter = TcpServer::start(&[(Site::V4, 443).into()], |connection| {
            writeln!(&*connection.stream, "here")?;
            io::copy(&mut &*connection.stream, &mut &*connection.stream).map(drop)
        })?;
        let script = r"exec 3<>/dev/tcp/198.51.100.10/443 && read -r greeting <&3 && echo $greeting
                        read -r word && echo $word >&3 && read -r back <&3 && echo got $back";
        let mut client = Process::start(site.cgroup.command("bash").args(["-c", script]))?;
        client.wait_for_line(SOON, |line| line.text == "here")?;
        let dispa = site.dispa(&Site::config_of_one())?;
        client.write("still\n")?;
        client.wait_for_line(SOON, |line| line.text == "got still")?;
        let stopped = dispa.stop()?;
        assert!(stopped.log.iter().all(|record| record.message() != "exchange"));
        Ok(())
    })
}

#[test]
fn programs_outside_the_cgroup_and_other_ports_are_not_touched() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _other_port = HttpServer::start("port 81", &[(Site::V4, 81).into()])?;
        let dispa = site.dispa(&Site::config_of_one())?;
        let outside = direct("curl", &["-sS", "http://example.com/"])?.success()?;
        assert_eq!(outside, "original");
        assert_eq!(site.curl(&["http://example.com:81/"])?, "port 81");
        let stopped = dispa.stop()?.summary;
        for counter in ["redirected_v4", "redirected_v6"] {
            assert_eq!(stopped.count(counter), Some(0), "{stopped:?}");
        }
        Ok(())
    })
}
