//! The request's target and Host: what a backend is asked for.

use anyhow::{Result, ensure};
use dispa_e2e::{Cells, Stage};

use crate::recorder::Recorder;

#[test]
fn a_target_reaches_the_backend_in_origin_form() -> Result<()> {
    let host = Stage::HOST;
    let absolute = |rest: &str| format!("http://{host}{rest}");
    let cases = [
        ("GET", "/".to_owned(), "/"),
        ("GET", "/a%2Fb//c/../d?x=%20&y=?#".replace('#', ""), "/a%2Fb//c/../d?x=%20&y=?"),
        ("GET", "/?".to_owned(), "/?"),
        ("GET", absolute("/x?y"), "/x?y"),
        ("GET", absolute(""), "/"),
        ("GET", absolute("?q"), "/?q"),
        ("OPTIONS", "*".to_owned(), "*"),
        ("OPTIONS", "/x".to_owned(), "/x"),
    ];
    Recorder::run(&Stage::config(), |recorder| {
        let mut cells = Cells::new();
        for (method, target, wanted) in &cases {
            cells.run(format!("{method} {target}"), || {
                let head = recorder.seen(Recorder::request(method, target, ""))?;
                let wanted = format!("{method} {wanted} HTTP/1.1");
                ensure!(head.start == wanted && head.list("host") == host, "{head:?}");
                Ok(())
            });
        }
        cells.verdict()
    })
}

#[test]
fn the_host_is_kept_or_the_targets_own() -> Result<()> {
    let named = "GET / HTTP/1.1\r\nHost: A.Stage.test:8080\r\n\r\n";
    Recorder::run(&Stage::config(), |recorder| {
        let head = recorder.seen(named)?;
        ensure!(head.list("host") == "A.Stage.test:8080", "{head:?}");
        Ok(())
    })?;
    let config = Stage::http("forwarded = \"replace\"").target_keys("host = \"target\"");
    Recorder::run(&config, |recorder| {
        let head = recorder.seen(named)?;
        ensure!(head.list("host") == Stage::BACKEND.to_string(), "{head:?}");
        ensure!(head.list("x-forwarded-host") == "A.Stage.test:8080", "{head:?}");
        Ok(())
    })
}
