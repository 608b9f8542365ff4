//! The web page in a browser: it shows what metrics say, and opens for nobody without the token.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{BROWSER_TIMEOUT, PAGE, Scrape, Site, browse, http1::Client};
use dispa_lab::{Config, Dispa, Lab, until};
use serde_json::Value;

/// A site whose daemon has a page and metrics.
struct Shown<'lab> {
    site: Site<'lab>,
    config: Config,
    token_file: PathBuf,
}

impl<'lab> Shown<'lab> {
    fn new(lab: &'lab Lab) -> Result<Self> {
        let token_file = lab.directory().join("state/token");
        let sections = format!(
            "[admin]\ntoken_file = \"{}\"\n[logging.file]\ndirectory = \"{}\"",
            token_file.display(),
            lab.directory().join("traffic").display()
        );
        let config = Site::config()
            .target("nobody", "127.0.0.1:3999".parse()?)
            .monitoring("enabled = true")
            .page()
            .sections(&sections);
        Ok(Self { site: Site::new(lab)?, config, token_file })
    }

    fn start(&self) -> Result<Dispa> {
        self.site.dispa(&self.config)
    }

    fn token(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.token_file)?.trim().to_owned())
    }

    /// What a browser tells that takes these steps.
    fn browse(&self, steps: &[&str]) -> Result<Vec<Value>> {
        browse(self.site.lab, steps)
    }
}

/// The status of the answer to a request at the page.
fn asked(path: &str, host: &str, token: &str) -> Result<u16> {
    let mut client = Client::connect(PAGE)?;
    client.send(format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
    ))?;
    Ok(client.answer()?.status)
}

/// Waits for a picture that the browser takes: it has come so far.
fn appears(file: &Path) -> Result<()> {
    until(BROWSER_TIMEOUT, &file.display().to_string(), || file.exists().then_some(()))
}

/// So many requests that are answered, and seven that no rule is for.
fn traffic(site: &Site<'_>, count: u32) -> Result<()> {
    let url = format!("http://example.com/[1-{count}]");
    site.curl(&["-o", "/dev/null", &url])?;
    let lost = ["-s", "-o", "/dev/null", "http://door.test:8080/[1-7]"];
    site.client("curl", &lost).map(drop)
}

#[test]
fn numbers_move_under_traffic_and_are_those_of_the_metrics() -> Result<()> {
    Lab::run(|lab| {
        let shown = Shown::new(lab)?;
        let _dispa = shown.start()?;
        let token = shown.token()?;
        let url = format!("open http://127.0.0.1:9080/#{token}");
        traffic(&shown.site, 100)?;
        let looked = lab.directory().join("looked.png");
        let picture = format!("picture {}", looked.display());
        let told = std::thread::scope(|scope| {
            let browser = scope.spawn(|| {
                shown.browse(&[
                    &url,
                    "until at('total').textContent === '107'",
                    &picture,
                    "say location.hash",
                    // More comes while it is looked at.
                    "until at('total').textContent === '407'",
                    "until model.samples.some((it) => it.rate > 0)",
                    "until at('exchanges').rows.length > 50",
                    "until at('rates').children.length === 3 && at('rates').children[1].getAttribute('d').length > 20",
                    "say Object.entries(model.status.outcomes).filter((it) => it[1] > 0)",
                    "say [at('total').textContent, at('errors').textContent, at('names').textContent]",
                    "say [...at('targets').rows].slice(1).map((it) => [it.cells[1].textContent, it.cells[7].textContent])",
                    "say at('exchanges').innerText",
                    "say at('log').innerText",
                ])
            });
            appears(&looked)?;
            for _ in 0..30 {
                traffic(&shown.site, 3)?;
                std::thread::sleep(Duration::from_millis(200));
            }
            browser.join().expect("no panic")
        })?;
        let scrape = Scrape::now()?;
        let counted = scrape.by("dispa_requests_total", "outcome");
        let [hash, outcomes, tiles, targets, exchanges, log, console] = &told[..] else {
            anyhow::bail!("{told:?}")
        };
        assert_eq!(hash, "", "the token is not left in the address");
        let outcomes: std::collections::BTreeMap<String, u64> =
            serde_json::from_value::<Vec<_>>(outcomes.clone())?.into_iter().collect();
        assert_eq!(outcomes, counted);
        println!("{outcomes:?} {tiles} {targets} {log}");
        let total: u64 = counted.values().sum();
        let errors = scrape.count("dispa_requests_errors_total", &[]);
        assert!(errors > 0, "{counted:?}");
        assert_eq!(tiles[0], total.to_string());
        assert_eq!(tiles[1], errors.to_string());
        assert_ne!(tiles[2], "0");
        let targets: Vec<(String, String)> = serde_json::from_value(targets.clone())?;
        let mut counts = 0;
        for (name, good) in targets {
            let good: u64 = good.parse()?;
            let wanted = [("target", name.as_str())];
            ensure!(good <= scrape.count("dispa_target_requests_total", &wanted), "{name}");
            counts += good;
        }
        assert_eq!(Some(&counts), counted.get("ok"));
        let exchanges = exchanges.as_str().context("text")?;
        ensure!(exchanges.contains("curl ("), "{exchanges}");
        ensure!(log.as_str().context("text")?.contains(&total.to_string()), "{log}");
        assert_eq!(console, &serde_json::json!([]), "the browser has nothing to complain of");
        Ok(())
    })
}

/// Searches with these fields of the form, and waits for the answer.
fn search(fields: &str) -> [String; 2] {
    let submit = format!(
        "say (at('search').reset(), Object.entries({fields}).forEach(([id, it]) => {{ at(id).value = it; }}), \
         at('search').requestSubmit())"
    );
    [submit, FOUND.to_owned()]
}

const FOUND: &str = "until at('found').textContent !== 'searching'";

/// Looks for records in every way that the page has.
fn searches(url: String) -> Vec<String> {
    let told = "say [at('found').textContent, at('records').rows.length, at('newer').disabled, at('older').disabled]";
    let written = "until model.status !== null && model.status.traffic_log[0].written === 157";
    let mut steps = vec![url, written.to_owned()];
    steps.extend(search("{}"));
    for step in ["older", "newer"] {
        let click = format!("say at('{step}').click()");
        steps.extend([told.to_owned(), click, FOUND.to_owned()]);
    }
    steps.push(told.to_owned());
    let past = "new Date(Date.now() - 864e5 - new Date().getTimezoneOffset() * 6e4).toISOString().slice(0, 19)";
    for fields in [
        "{ status: '4xx' }".to_owned(),
        "{ host: '*.com', process: 'curl' }".to_owned(),
        "{ slower: '60000' }".to_owned(),
        format!("{{ since: {past} }}"),
        format!("{{ until: {past} }}"),
    ] {
        steps.extend(search(&fields));
        steps.push(told.to_owned());
    }
    steps.extend(search("{ status: 'abc' }"));
    steps.push("say at('found').textContent".to_owned());
    steps.extend(search("{ status: '404', host: 'door.test' }"));
    steps.push("say at('records').innerText".to_owned());
    // As wide as a desk, and as a phone: nothing but tables is wider.
    for width in [1_280, 390] {
        steps.push(format!("size {width}"));
        steps.push("say document.documentElement.scrollWidth".to_owned());
    }
    steps
}

#[test]
fn the_traffic_log_is_searched_page_by_page() -> Result<()> {
    Lab::run(|lab| {
        let shown = Shown::new(lab)?;
        let _dispa = shown.start()?;
        traffic(&shown.site, 150)?;
        let steps = searches(format!("open http://127.0.0.1:9080/#{}", shown.token()?));
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let mut told = shown.browse(&steps)?;
        // What sets fields and clicks has no value.
        told.retain(|it| !it.is_null());
        println!("{told:?}");
        let page = |text: &str, rows: u32, newer: bool, older: bool| {
            serde_json::json!([text, rows, !newer, !older])
        };
        let first =
            page("records 1 to 100, and there are older ones, the newest first", 101, false, true);
        let nothing = page("", 1, false, false);
        let expected = [
            first.clone(),
            page("records 101 to 157, the newest first", 58, true, false),
            first.clone(),
            page("records 1 to 7, the newest first", 8, false, false),
            first.clone(),
            nothing.clone(),
            first,
            nothing,
        ];
        assert_eq!(told[..expected.len()], expected);
        let [refused, records, desk, phone, console] = &told[expected.len()..] else {
            anyhow::bail!("{told:?}")
        };
        let refused = refused.as_str().context("text")?;
        ensure!(refused.starts_with("status: not a status"), "{refused}");
        let records = records.as_str().context("text")?;
        ensure!(records.contains("door.test") && records.contains("no rule"), "{records}");
        ensure!(desk.as_u64() <= Some(1_280) && phone.as_u64() <= Some(390), "{desk} {phone}");
        let console = console.as_array().context("an array")?;
        ensure!(
            console.iter().all(|it| it.as_str().is_some_and(|it| it.contains("400"))),
            "{console:?}"
        );
        Ok(())
    })
}

#[test]
fn a_wrong_token_and_a_foreign_host_are_refused() -> Result<()> {
    Lab::run(|lab| {
        let shown = Shown::new(lab)?;
        let dispa = shown.start()?;
        let token = shown.token()?;
        assert_eq!(fs::metadata(&shown.token_file)?.permissions().mode() & 0o777, 0o600);
        let made = dispa.record("a token was made for the page", &[])?;
        assert_eq!(made.text("url"), format!("http://127.0.0.1:9080/#{token}"));
        for (path, host, token, status) in [
            ("/v1/status", "localhost:9080", &*token, 200),
            ("/v1/logs", "127.0.0.1:9080", &*token, 200),
            ("/v1/status", "localhost:9080", "wrong", 401),
            ("/v1/logs", "localhost:9080", "wrong", 401),
            ("/v1/activity", "localhost:9080", "", 401),
            ("/", "example.com", &*token, 421),
            ("/v1/status", "example.com:9080", &*token, 421),
            ("/v1/reload", "localhost", &*token, 404),
        ] {
            assert_eq!(asked(path, host, token)?, status, "{path} {host} {token}");
        }
        let told = shown.browse(&[
            "open http://127.0.0.1:9080/#wrong",
            "until !at('door').hidden && !at('refused').hidden",
            "say at('page').hidden",
            &format!("say (at('token').value = '{token}', at('form').requestSubmit())"),
            "until !at('page').hidden && at('state').textContent === 'live'",
            "open http://127.0.0.1:9080/?again",
            // The tab remembers it.
            "until !at('page').hidden && at('state').textContent === 'live'",
            "say at('door').hidden",
        ])?;
        assert_eq!((&told[0], &told[2]), (&true.into(), &true.into()));
        drop(dispa.stop()?);
        let again = shown.start()?;
        assert!(again.records("a token was made for the page").is_empty(), "it is told once");
        assert_eq!(shown.token()?, token);
        Ok(())
    })
}

#[test]
fn it_says_that_the_daemon_is_gone_and_finds_it_again() -> Result<()> {
    Lab::run(|lab| {
        let shown = Shown::new(lab)?;
        let dispa = shown.start()?;
        let url = format!("open http://127.0.0.1:9080/#{}", shown.token()?);
        let [seen, gone] = ["seen.png", "gone.png"].map(|name| lab.directory().join(name));
        let [seen_step, gone_step] =
            [&seen, &gone].map(|file| format!("picture {}", file.display()));
        let steps = [
            &*url,
            "until at('state').textContent === 'live'",
            &*seen_step,
            "until at('state').textContent === 'gone' && !at('gone').hidden",
            &*gone_step,
            "until at('state').textContent === 'live' && at('gone').hidden",
        ];
        std::thread::scope(|scope| {
            let browser = scope.spawn(|| shown.browse(&steps));
            appears(&seen)?;
            drop(dispa.stop()?);
            appears(&gone)?;
            let again = shown.start()?;
            browser.join().expect("no panic")?;
            again.stop().map(drop)
        })
    })
}

#[test]
fn a_day_of_samples_takes_no_more_memory_than_five_minutes() -> Result<()> {
    Lab::run(|lab| {
        let shown = Shown::new(lab)?;
        let _dispa = shown.start()?;
        let url = format!("open http://127.0.0.1:9080/#{}", shown.token()?);
        let sample =
            "{ seconds: 1, missed: 0, total: { requests: i, errors: 1, p50_ms: 1.5, p99_ms: i } }";
        let row = "{ id: String(i), timestamp: '2024-01-01T00:00:00Z', outcome: 'ok', \
                   path: 'x'.repeat(100) + i, process: 'p' + i, attempts: 1, duration_ms: 1, \
                   request_bytes: 0, response_bytes: 0 }";
        let fed = |count: u32| {
            format!(
                "say (() => {{ for (let i = 0; i < {count}; i += 1) {{ feed(model, {sample}, Date.now()); \
                 feedExchange(model, {row}); feedStatus(model, structuredClone(model.status)); \
                 if (i % 500 === 0) {{ drawActivity(); drawStatus(); stale = true; drawExchanges(); }} }} }})()"
            )
        };
        let memory = "say performance.memory.usedJSHeapSize";
        let told = shown.browse(&[
            &url,
            "until at('state').textContent === 'live' && model.status !== null",
            &fed(300),
            "collect",
            memory,
            &fed(86_400),
            "collect",
            memory,
            "say [model.samples.length, model.exchanges.length, model.statuses.length]",
            "say document.querySelectorAll('*').length",
        ])?;
        println!("{told:?}");
        let [_, before, _, after, kept, elements, console] = &told[..] else {
            anyhow::bail!("{told:?}")
        };
        assert_eq!(kept, &serde_json::json!([300, 100, 31]));
        let [before, after] = [before, after].map(|it| it.as_u64().unwrap_or(u64::MAX));
        ensure!(after < before.saturating_add(4 << 20), "{before} then {after} bytes");
        ensure!(elements.as_u64() < Some(4_000), "{elements}");
        assert_eq!(console, &serde_json::json!([]));
        Ok(())
    })
}
