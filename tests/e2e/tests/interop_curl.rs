//! What curl does with HTTP/1, at both doors, with Node's server behind them.

use anyhow::Result;
use dispa_e2e::{Site, at_both_doors, direct};

/// 100,000 bytes that say where they are, as the origin makes them.
const FILE_SIZE: u32 = 100_000;

/// The lines of an answer, without their ends.
fn lines(answer: &str) -> Vec<&str> {
    answer.lines().map(str::trim_end).collect()
}

#[test]
fn a_client_of_http_1_0_gets_a_body_that_ends_with_the_connection() -> Result<()> {
    at_both_doors(|site, _, way| {
        let answer = site.curl(&["-i", "--raw", "--http1.0", &format!("{way}/chunked")])?;
        let lines = lines(&answer);
        assert!(lines[0].starts_with("HTTP/1.") && lines[0].contains(" 200"), "{answer}");
        assert!(!answer.to_lowercase().contains("transfer-encoding"), "{answer}");
        assert_eq!(lines.last(), Some(&"one two three"));
        Ok(())
    })
}

#[test]
fn uploads_with_a_length_and_without_one_reach_the_origin_whole() -> Result<()> {
    at_both_doors(|site, _, way| {
        let file = site.lab.directory().join("upload").display().to_string();
        direct("sh", &["-c", &format!("head -c 3000000 /dev/urandom > {file}")])?.success()?;
        let digest = direct("sha256sum", &[&file])?.success()?;
        let digest = digest.split(' ').next().unwrap_or_default();
        let url = format!("{way}/echo");
        for coding in [&[][..], &["-H", "transfer-encoding: chunked"]] {
            let echo = site.curl(&[&["-X", "POST", "-T", &file, &url], coding].concat())?;
            let echo: serde_json::Value = serde_json::from_str(&echo)?;
            assert_eq!((&echo["method"], &echo["version"]), (&"POST".into(), &"1.1".into()));
            assert_eq!((&echo["length"], &echo["sha256"]), (&3_000_000.into(), &digest.into()));
            assert_eq!(echo["fields"].to_string().contains("chunked"), !coding.is_empty());
        }
        Ok(())
    })
}

/// Uploads to `path` with `Expect: 100-continue`; the status, and how much of the body was sent.
fn expecting_upload(site: &Site<'_>, way: &str, path: &str) -> Result<String> {
    let file = site.lab.file("upload", &"dispa".repeat(300_000))?.display().to_string();
    let url = format!("{way}{path}");
    // Were 100 Continue to be missing, curl would wait longer than it may take.
    let patience = ["--expect100-timeout", "60", "--max-time", "30"];
    let say = ["-sS", "-o/dev/null", "-w", "%{http_code} %{size_upload}"];
    let request = ["-H", "expect: 100-continue", "-T", &file, &url];
    site.client("curl", &[&patience[..], &say, &request].concat())
}

#[test]
fn a_body_that_waits_for_100_continue_is_asked_for() -> Result<()> {
    at_both_doors(|site, _, way| {
        assert_eq!(expecting_upload(site, way, "/echo")?, "200 1500000");
        Ok(())
    })
}

#[test]
fn an_origin_that_refuses_a_body_is_not_sent_it() -> Result<()> {
    at_both_doors(|site, _, way| {
        assert_eq!(expecting_upload(site, way, "/refuse")?, "403 0");
        Ok(())
    })
}

#[test]
fn head_tells_the_length_and_leaves_the_connection_usable() -> Result<()> {
    at_both_doors(|site, _, way| {
        let url = format!("{way}/file");
        let say = "connects %{num_connects}\n";
        let answers = site.curl(&["-I", "-w", say, &url, &url])?;
        let count = |line: &str| answers.lines().filter(|it| it.trim_end() == line).count();
        assert_eq!(count(&format!("content-length: {FILE_SIZE}")), 2, "{answers}");
        assert_eq!((count("connects 1"), count("connects 0")), (1, 1), "{answers}");
        Ok(())
    })
}

#[test]
fn ranges_and_answers_without_a_body_pass_on_one_connection() -> Result<()> {
    at_both_doors(|site, _, way| {
        let (file, none) = (format!("{way}/file"), format!("{way}/status/204"));
        let not_modified = format!("{way}/status/304");
        let say = "%{http_code} %{size_download} %{num_connects}\n";
        let rows = site.curl(
            &["-r", "100-199", "-o/dev/null", "-o/dev/null", "-o/dev/null", "-o/dev/null"]
                .into_iter()
                .chain(["-w", say, &file, &none, &not_modified, &file])
                .collect::<Vec<_>>(),
        )?;
        assert_eq!(rows, "206 100 1\n204 0 0\n304 0 0\n206 100 0");
        let bytes = site.client("sh", &["-c", &format!("curl -sS -r 3-5 {file} | od -An -tu1")])?;
        assert_eq!(bytes.split_whitespace().collect::<Vec<_>>(), ["3", "4", "5"]);
        Ok(())
    })
}

#[test]
fn trailers_and_early_hints_reach_the_client() -> Result<()> {
    at_both_doors(|site, _, way| {
        // Who does not say that it takes them may not get them (RFC 9110 section 6.5.1).
        let answer = site.curl(&["-i", "-H", "TE: trailers", &format!("{way}/chunked")])?;
        let lines_of = lines(&answer);
        assert!(lines_of.contains(&"trailer: x-sum"), "{answer}");
        assert!(answer.to_lowercase().contains("x-sum: 3"), "{answer}");
        assert!(answer.contains("one two three"), "{answer}");

        let answer = site.curl(&["-i", &format!("{way}/hints")])?;
        let lines = lines(&answer);
        assert!(lines[0].starts_with("HTTP/1.1 103"), "{answer}");
        assert!(lines[1].to_lowercase().starts_with("link: </style.css>"), "{answer}");
        assert!(lines.contains(&"HTTP/1.1 200 OK") && lines.last() == Some(&"hinted"), "{answer}");
        Ok(())
    })
}

#[test]
fn early_hints_are_kept_from_a_client_of_http_1_0() -> Result<()> {
    at_both_doors(|site, _, way| {
        let answer = site.curl(&["-i", "--raw", "--http1.0", &format!("{way}/hints")])?;
        assert!(!answer.contains(" 103"), "{answer}");
        assert_eq!(lines(&answer).last(), Some(&"hinted"));
        Ok(())
    })
}

#[test]
fn curl_may_take_the_explicit_door_for_its_proxy() -> Result<()> {
    at_both_doors(|site, _, _| {
        let url = format!("http://{}/chunked", Site::NAME);
        let answers = site.curl(&["-x", "http://127.0.0.1:8080", &url, &url])?;
        assert_eq!(answers, "one two threeone two three");
        Ok(())
    })
}
