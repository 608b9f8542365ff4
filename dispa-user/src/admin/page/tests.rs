//! The page from outside: who gets in, and who does not.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{PAGE, Page, PagePort, token::Token};
use crate::{
    config::{Config, Overrides},
    state::{ConfigSource, Live, Reloader, State},
};

/// A page that is served, and the directory of its token, gone with the test.
struct Served {
    directory: PathBuf,
    address: SocketAddr,
    token: String,
    _page: Page,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn directory(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("dispa-page-{}-{name}", std::process::id()))
}

fn config(text: &str) -> Config {
    Config::parse(text, "c.toml", &Overrides::default()).expect("valid")
}

fn served(name: &str) -> Served {
    let directory = directory(name);
    let file = directory.join("new/token");
    let config = config(&format!(
        "[admin]\naddress = '127.0.0.1:0'\ntoken_file = '{}'\nallowed_hosts = ['a.test', '::1']",
        file.display()
    ));
    let live = Live::new(State::new(&config, None, Arc::default()));
    let source = ConfigSource::new("/nowhere/dispa.toml".into(), Overrides::default());
    let reloader = Reloader::new(source, Arc::clone(&live));
    let port = PagePort::open(&config.admin.page, None).expect("a free port").expect("a page");
    let address = port.listener.local_addr().expect("bound");
    let token = fs::read_to_string(&file).expect("made").trim().to_owned();
    Served {
        directory,
        address,
        token,
        _page: Page::serve(port, &live, &reloader).expect("served"),
    }
}

async fn ask(served: &Served, request: &str) -> String {
    let mut stream = TcpStream::connect(served.address).await.expect("somebody listens");
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).expect("text")
}

async fn status(served: &Served, request: &str) -> String {
    let answer = ask(served, request).await;
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_page_comes_without_a_token_and_what_it_shows_does_not() {
    let served = served("token");
    let page = ask(&served, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert!(page.starts_with("HTTP/1.1 200 ") && page.ends_with(PAGE), "{page}");
    let of = |said: &str| format!("GET /v1/status HTTP/1.1\r\nHost: a.test\r\n{said}\r\n");
    let token = served.token.as_str();
    let right = ask(&served, &of(&format!("Authorization: Bearer {token}\r\n"))).await;
    assert!(right.starts_with("HTTP/1.1 200 ") && right.contains("\"pools\":["), "{right}");
    let half = &token[..20];
    for wrong in [
        String::new(),
        "Authorization: Bearer \r\n".to_owned(),
        format!("Authorization: Bearer {half}\r\n"),
        format!("Authorization: Bearer {token}x\r\n"),
        format!("Authorization: Basic {token}\r\n"),
        format!("Authorization: {token}\r\n"),
        format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n"),
    ] {
        let refused = ask(&served, &of(&wrong)).await;
        assert!(refused.starts_with("HTTP/1.1 401 "), "{wrong} {refused}");
        assert!(refused.contains("\r\nwww-authenticate: Bearer\r\n"), "{refused}");
    }
    let query = format!("GET /v1/status?token={token} HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(status(&served, &query).await, "401");
}

#[tokio::test]
async fn a_host_that_is_not_ours_gets_nothing() {
    let served = served("host");
    let port = served.address.port();
    for ours in ["a.test", "A.TEST:1", "127.0.0.1", &format!("127.0.0.1:{port}"), "[::1]:9080"] {
        let request = format!("GET / HTTP/1.1\r\nHost: {ours}\r\n\r\n");
        assert_eq!(status(&served, &request).await, "200", "{ours}");
    }
    let token = &served.token;
    for foreign in [
        "Host: b.test",
        "Host: a.test.b.test",
        "Host: localhost",
        "Host: a.test@b.test",
        "Host: 127.0.0.2",
        "Host: ",
        "Host: a.test\r\nHost: a.test",
        "X: y",
    ] {
        for path in ["/", "/v1/status"] {
            let request = format!(
                "GET {path} HTTP/1.1\r\n{foreign}\r\nAuthorization: Bearer {token}\r\n\r\n"
            );
            let answer = ask(&served, &request).await;
            let refused =
                ["HTTP/1.1 421 ", "HTTP/1.1 400 "].iter().any(|it| answer.starts_with(it));
            assert!(refused && !answer.contains("<html"), "{foreign} {answer}");
        }
    }
    let absolute = "GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n";
    assert_eq!(status(&served, absolute).await, "421");
}

#[tokio::test]
async fn nothing_can_be_changed() {
    let served = served("nothing");
    let token = &served.token;
    for (line, expected) in [
        ("POST /v1/reload", "405"),
        ("GET /v1/reload", "404"),
        ("GET /v1/explain?of=a.test", "404"),
        ("POST /v1/status", "405"),
        ("GET /favicon.ico", "404"),
    ] {
        let request = format!(
            "{line} HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: 0\r\n\r\n"
        );
        assert_eq!(status(&served, &request).await, expected, "{line}");
    }
}

#[tokio::test]
async fn a_browser_is_told_to_be_strict() {
    let served = served("strict");
    for path in ["/", "/v1/status", "/nothing"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let answer = ask(&served, &request).await;
        for field in [
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "x-frame-options: DENY",
            "cache-control: no-store",
            "cross-origin-resource-policy: same-origin",
            "content-security-policy: default-src 'none'; script-src 'sha256-",
            "frame-ancestors 'none'\r\n",
        ] {
            assert!(answer.contains(field), "{path}: {field} is not in {answer}");
        }
        assert!(!answer.contains("unsafe-inline"));
    }
}

#[test]
fn the_page_is_small_and_asks_nobody_else() {
    assert!(PAGE.len() < 60_000, "{}", PAGE.len());
    for once in ["<script>", "</script>", "<style>", "</style>"] {
        assert_eq!(PAGE.matches(once).count(), 1, "{once}");
    }
    // The name of a language, which nobody asks for.
    let page = PAGE.replace("http://www.w3.org/2000/svg", "");
    for foreign in ["http://", "https://", "src=", "innerHTML", "insertAdjacent", "eval(", "style="]
    {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn a_token_is_made_once_and_for_its_owner_alone() {
    let directory = directory("once");
    let file = directory.join("a/b/token");
    let address = "127.0.0.1:9080".parse().expect("an address");
    let token = Token::read_or_make(&file, address).expect("made");
    let text = fs::read_to_string(&file).expect("there");
    assert_eq!((text.len(), text.trim().len()), (44, 43), "32 bytes in base64");
    let mode = fs::metadata(&file).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = Token::read_or_make(&file, address).expect("read");
    assert!(token.is(text.trim()) && again.is(text.trim()) && !token.is("x") && !token.is(""));
    assert_eq!(format!("{token:?}"), "Token");
    let left = fs::read_dir(file.parent().expect("a directory")).expect("there").count();
    assert_eq!(left, 1, "nothing unfinished stays");
    for bad in ["", "short", "with space in the middle", &"x".repeat(600), "\u{e9}234567890123456"]
    {
        fs::write(&file, bad).expect("written");
        let error = Token::read_or_make(&file, address).expect_err("no token").to_string();
        assert!(error.contains("holds no token"), "{error}");
    }
    let below = file.join("token");
    let error = Token::read_or_make(&below, address).expect_err("a file is no directory");
    assert!(error.to_string().contains("choose another file with admin.token_file"), "{error}");
    let _ = fs::remove_dir_all(&directory);
}

#[tokio::test]
async fn a_port_that_is_taken_or_a_file_that_cannot_be_made_means_no_page() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
    let address = taken.local_addr().expect("bound");
    let text = format!("[admin]\naddress = '{address}'\ntoken_file = '/dev/null/token'");
    let mut page = config(&text).admin.page;
    let error = PagePort::open(&page, None).expect_err("taken").to_string();
    assert!(error.ends_with("choose another address with admin.address"), "{error}");
    if let Some(port) = &mut page.port {
        port.required = false;
    }
    assert!(PagePort::open(&page, None).expect("goes on").is_none());
    let free = config("[admin]\naddress = '127.0.0.1:0'\ntoken_file = '/dev/null/token'");
    assert!(PagePort::open(&free.admin.page, None).expect("goes on").is_none());
    let none = config("[admin]\naddress = ''");
    assert!(PagePort::open(&none.admin.page, None).expect("none").is_none());
}
