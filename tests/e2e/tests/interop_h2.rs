//! What clients do with HTTP/2 without TLS, at both doors, with Node's HTTP/1.1 server behind
//! them.

use anyhow::Result;
use dispa_e2e::{Script, Site, at_both_doors, behind_both_doors, direct};

const HTTPX: Script = Script::Python(include_str!("../clients/with_httpx.py"));
const UNDICI: Script = Script::Node(include_str!("../clients/with_undici.mjs"));
const NODE: Script = Script::Node(include_str!("../clients/with_node_h2.mjs"));
const WEBSOCKET: Script = Script::Python(include_str!("../clients/websocket_over_h2.py"));

/// Runs curl with prior knowledge of HTTP/2.
fn curl(site: &Site<'_>, arguments: &[&str]) -> Result<String> {
    site.curl(&[&["--http2-prior-knowledge"], arguments].concat())
}

// Debian 12's curl cannot use a connection of this kind twice (7.88.1: error 16, whoever serves),
// so each of its requests has one of its own.
#[test]
fn curl_gets_ranges_and_heads() -> Result<()> {
    at_both_doors(|site, _, way| {
        let url = format!("{way}/file");
        let say = ["-o/dev/null", "-w", "%{http_version} %{http_code} %{size_download}"];
        assert_eq!(curl(site, &[&say[..], &[&url]].concat())?, "2 200 100000");
        assert_eq!(curl(site, &[&say[..], &["-r", "5-14", &url]].concat())?, "2 206 10");
        let head = curl(site, &["-I", &url])?;
        assert!(
            head.starts_with("HTTP/2 200") && head.contains("content-length: 100000"),
            "{head}"
        );
        assert!(!head.to_lowercase().contains("connection:"), "{head}");
        Ok(())
    })
}

#[test]
fn curl_uploads_and_sees_trailers() -> Result<()> {
    at_both_doors(|site, _, way| {
        let file = site.lab.directory().join("upload").display().to_string();
        direct("sh", &["-c", &format!("head -c 3000000 /dev/urandom > {file}")])?.success()?;
        let digest = direct("sha256sum", &[&file])?.success()?;
        let digest = digest.split(' ').next().unwrap_or_default();
        let echo = curl(site, &["-X", "POST", "-T", &file, &format!("{way}/echo")])?;
        let echo: serde_json::Value = serde_json::from_str(&echo)?;
        assert_eq!((&echo["method"], &echo["version"]), (&"POST".into(), &"1.1".into()));
        assert_eq!((&echo["length"], &echo["sha256"]), (&3_000_000.into(), &digest.into()));

        let answer = curl(site, &["-i", &format!("{way}/chunked")])?;
        assert!(answer.contains("one two three") && answer.contains("x-sum: 3"), "{answer}");
        Ok(())
    })
}

#[test]
fn pythons_httpx() -> Result<()> {
    at_both_doors(|site, _, way| {
        let lines = site.script(HTTPX, &["h2", way])?;
        let expected = [
            "get HTTP/2 origin /hello",
            "stream up 250000 True",
            "cookies 1 ['a=1', 'b=2', 'c=3', 'd=4']",
            "stream down 100000",
            "head 100000 0",
            "statuses [204, 304, 404, 503]",
            "at once 100",
        ];
        assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "{way}");
        Ok(())
    })
}

#[test]
fn nodes_undici() -> Result<()> {
    at_both_doors(|site, _, way| {
        let lines = site.script(UNDICI, &["h2", way])?;
        let expected = [
            "get origin /hello",
            "stream up 250000 true",
            "at once 100",
            "head 200 100000 0",
            "file 100000",
        ];
        assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "{way}");
        Ok(())
    })
}

#[test]
fn nodes_own_client() -> Result<()> {
    // The stream that it cancels is none that ends well.
    let exchanges = behind_both_doors(|site, _, way| {
        let lines = site.script(NODE, &[way])?;
        let expected = [
            "websocket offered true",
            "get origin /hello",
            "cookies a=1; b=2",
            "host true",
            "set-cookie a=1|b=2",
            "trailers down one two three 3",
            "trailers up 2 x-end: yes",
            "at once 100",
            "after a cancelled stream origin /hello",
        ];
        assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "{way}");
        Ok(())
    })?;
    let bad: Vec<_> = exchanges.iter().filter(|it| it.text("outcome") != "ok").collect();
    assert_eq!(bad.len(), Site::WAYS.len(), "{bad:?}");
    assert!(bad.iter().all(|it| it.has(&[("outcome", "client_aborted"), ("path", "/events")])));
    Ok(())
}

#[test]
fn websockets_share_a_connection_with_plain_requests() -> Result<()> {
    at_both_doors(|site, origin, way| {
        let (pings, ends) = (origin.count("ping here"), origin.count("closed 4321 enough"));
        let lines = site.script(WEBSOCKET, &[way])?;
        let expected = [
            "offered 1",
            "status 200 lab.one False False False",
            "second 200",
            "text there and back",
            "big True",
            "pong here",
            "plain 200 origin /hello",
            "closed by the origin 4001 as asked",
            "closed by the client 4321 enough",
            "ended",
        ];
        assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "{way}");
        origin.lines_of("ping here", pings + 1)?;
        origin.lines_of("closed 4321 enough", ends + 1)
    })
}
