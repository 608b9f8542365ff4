//! What goes through dispa is what would have gone there directly: random requests and responses,
//! compared field by field and byte by byte.
//!
//! Left out of the comparison is what a hop may change: its own fields, `via` and `date`, the
//! names' case, and where chunks begin and end.

use std::{collections::HashSet, process::Command, time::Duration};

use anyhow::{Result, ensure};
use dispa_e2e::{Script, Server, Site, only_good_exchanges};
use dispa_lab::{Lab, run};

const EXACT: Script = Script::Python(include_str!("../clients/exact.py"));

const ORIGIN: &str = "127.0.0.1:4001";
/// Who is asked for, as the explicit door's URLs say it.
const HOST: &str = "door.test:8080";

/// How many requests a test compares; each is made by its number alone.
const COUNT: u32 = 400;
const CURLS: u32 = 40;

const TIMEOUT: Duration = Duration::from_mins(2);

/// Fields that a hop may change.
const OF_A_HOP: [&str; 7] =
    ["connection", "keep-alive", "transfer-encoding", "te", "upgrade", "via", "date"];

/// Runs `body` with the origin up and a daemon before it.
fn before_the_origin(body: impl Fn(&Site<'_>) -> Result<()> + Sync) -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let mut origin = EXACT.command()?;
        let _origin = Server::start(origin.args(["serve", "4001"]), Server::ORIGIN)?;
        let dispa = site.dispa(&Site::config_of(Server::ORIGIN))?;
        body(&site)?;
        only_good_exchanges(&dispa)
    })
}

/// Compares `COUNT` exchanges with this host, the first of which has this number.
fn compare(proxy: &str, host: &str, first: u32) -> Result<()> {
    before_the_origin(|site| {
        let mut command = EXACT.command_in(&site.cgroup)?;
        command.args(["compare", ORIGIN, proxy, host, &first.to_string(), &COUNT.to_string()]);
        let told = run(&mut command, TIMEOUT)?.success()?;
        assert!(told.ends_with(&format!("0 of {COUNT} differ")), "{told}");
        Ok(())
    })
}

#[test]
fn through_the_explicit_door() -> Result<()> {
    compare("127.0.0.1:8080", HOST, 0)
}

#[test]
fn through_the_transparent_door() -> Result<()> {
    compare(&format!("{}:80", Site::V4), Site::NAME, 10_000)
}

/// What curl saw of one exchange: the status, the end-to-end fields in order of their names, and
/// the digest of the body.
fn seen(site: &Site<'_>, flags: &[&str], url: &str) -> Result<(String, Vec<String>, String)> {
    let directory = site.lab.directory().display();
    let (head, body) = (format!("{directory}/head"), format!("{directory}/body"));
    let say = ["-sS", "--max-time", "30", "-D", &head, "-o", &body, "-w", "%{http_code}"];
    let status = site.client("curl", &[&say[..], flags, &[url]].concat())?;
    // Values may be any bytes; what is no UTF-8 is shown in the same way on both sides.
    let head = String::from_utf8_lossy(&std::fs::read(&head)?).into_owned();
    // The last head and the trailers; what came before the answer is no part of it.
    let answer = head.rsplit("HTTP/").next().unwrap_or_default();
    let fields = answer.lines().filter_map(|line| line.split_once(':'));
    let fields: Vec<_> = fields.map(|(name, value)| (name.to_lowercase(), value.trim())).collect();
    let of_the_hop: HashSet<_> = fields
        .iter()
        .filter(|(name, _)| name == "connection")
        .flat_map(|(_, value)| value.split(',').map(|option| option.trim().to_lowercase()))
        .collect();
    let kept = fields
        .iter()
        .filter(|(name, _)| !OF_A_HOP.contains(&name.as_str()) && !of_the_hop.contains(name));
    let mut kept: Vec<_> = kept.map(|(name, value)| format!("{name}: {value}")).collect();
    kept.sort();
    // One list or several fields: the same (RFC 9110 section 5.3).
    let (trailer, mut kept): (Vec<_>, Vec<_>) =
        kept.into_iter().partition(|field| field.starts_with("trailer: "));
    let names = trailer.iter().flat_map(|field| field["trailer: ".len()..].split(", "));
    let mut names: Vec<_> = names.map(|name| format!("trailer: {name}")).collect();
    names.sort();
    kept.append(&mut names);
    let digest = run(Command::new("sha256sum").arg(&body), TIMEOUT)?.success()?;
    Ok((status, kept, digest))
}

#[test]
fn as_curl_sees_it_in_either_version() -> Result<()> {
    before_the_origin(|site| {
        let upload = site.lab.file("upload", &"dispa".repeat(20_000))?;
        let upload = format!("@{}", upload.display());
        for number in 0..CURLS {
            let bodies: [&[&str]; 3] = [
                &[],
                &["-H", "expect:", "--data-binary", &upload],
                &["-H", "expect:", "-H", "transfer-encoding: chunked", "--data-binary", &upload],
            ];
            let body = bodies[number as usize % 3];
            let path = format!("/{}?a=b%20c", 20_000 + number);
            let at = |way: &str| format!("{way}{path}");
            // The same host and the same fields, so that the origin sees the same request.
            let straight = ["--connect-to", &format!("{HOST}:{ORIGIN}"), "-H", "te: trailers"];
            let truth = seen(site, &[&straight, body].concat(), &at(Site::WAYS[1]))?;
            for version in ["--http1.1", "--http2-prior-knowledge"] {
                // A chunked body has no length in HTTP/2 either, and is told so by its end.
                let flags = [&[version, "-H", "te: trailers"], body].concat();
                let through = seen(site, &flags, &at(Site::WAYS[1]))?;
                ensure!(through == truth, "{version} {path}\n{through:#?}\ndirectly {truth:#?}");
            }
        }
        Ok(())
    })
}
