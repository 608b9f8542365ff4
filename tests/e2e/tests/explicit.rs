//! The explicit door: an ordinary proxy that goes by the Host.

use anyhow::Result;
use dispa_e2e::{Site, direct};
use dispa_lab::{Config, Lab};

const DOOR: &str = "http://127.0.0.1:8080/";

/// Status and body for a request that names `host`, sent from outside the intercepted cgroup.
fn ask(host: &str) -> Result<String> {
    let write = "%{http_code} %{content_type}";
    let arguments = ["-sS", "-w", write, "-H", &format!("Host: {host}"), DOOR];
    direct("curl", &arguments)?.success()
}

#[test]
fn wildcards_exclusions_and_spellings_of_a_host() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config = Config::new(&["example.com", "*.test.com", "bücher.example"])
            .exclude(&["admin.test.com", "*.internal.test.com"])
            .target("one", Site::backend(1));
        let _dispa = site.dispa(&config)?;
        for (host, served) in [
            ("example.com", true),
            ("EXAMPLE.com.:8080", true),
            ("a.test.com", true),
            ("A.Test.Com:8080", true),
            ("xn--bcher-kva.example", true),
            ("test.com", false),
            ("a.xtest.com", false),
            ("admin.test.com", false),
            ("Admin.Test.Com.", false),
            ("deep.internal.test.com", false),
            ("www.example.com", false),
            ("unknown.test", false),
        ] {
            let answer = ask(host)?;
            if served {
                assert!(answer.starts_with("one\n200"), "{host}: {answer}");
            } else {
                // What follows is the id by which the log has it.
                assert!(answer.starts_with("Domain not found\nrequest "), "{host}: {answer}");
                assert!(answer.contains("\n404 text/plain"), "{host}: {answer}");
            }
        }
        Ok(())
    })
}

#[test]
fn each_answer_is_recorded_with_its_door_and_outcome() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config_of_one())?;
        ask("example.com")?;
        ask("unknown.test")?;
        let served = dispa.record("exchange", &[("host", "example.com")])?;
        assert!(served.has(&[("door", "explicit"), ("rule", "example.com"), ("outcome", "ok")]));
        let refused = dispa.record("exchange", &[("host", "unknown.test")])?;
        assert!(refused.has(&[("door", "explicit"), ("rule", ""), ("outcome", "no_rule")]));
        assert_eq!(refused.count("status"), Some(404));
        Ok(())
    })
}

#[test]
fn what_is_no_request_is_refused() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _dispa = site.dispa(&Site::config_of_one())?;
        let no_host = ["-sS", "-o/dev/null", "-w%{http_code}", "-H", "Host:", DOOR];
        assert_eq!(direct("curl", &no_host)?.success()?, "400");
        Ok(())
    })
}

#[test]
fn connections_are_kept_alive() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _dispa = site.dispa(&Site::config_of_one())?;
        let arguments = ["-sS", "-w", "%{num_connects}\n", "-H", "Host: example.com", DOOR, DOOR];
        let answers = direct("curl", &arguments)?.success()?;
        assert_eq!(answers, "one\n1\none\n0");
        Ok(())
    })
}
