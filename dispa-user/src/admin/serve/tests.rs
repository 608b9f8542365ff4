//! The socket from outside: its file, its limits, its answers.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Waker},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use super::{Desk, Guard, Socket, SocketError, UpgradeAnswer};
use crate::{
    admin::{
        AskError, Source, Subject, Verdict, ask, client,
        conversation::{LIMIT, MOST_CONNECTIONS},
        view::View,
    },
    config::{Config, Overrides},
    state::{ConfigSource, Live, Reloader, State, Upgrader},
};

/// A directory of its own, gone with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("dispa-admin-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a new directory");
        Self(path)
    }

    /// In a directory that is not there yet.
    fn socket(&self) -> PathBuf {
        self.0.join("run/d.sock")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn config(socket: &Path) -> Config {
    let text = format!(
        "[domains]\nintercept_domains = ['example.com']\n\
         [[targets.targets]]\nname = 'one'\nurl = 'http://10.0.0.1'\n\
         [admin]\nsocket = '{}'\n",
        socket.display()
    );
    Config::parse(&text, "c.toml", &Overrides::default()).expect("valid")
}

fn try_open(socket: &Path, guard: Guard) -> Result<Socket, SocketError> {
    let (live, reloader) = behind(&config(socket));
    Socket::try_open(socket, desk(guard, &live, &reloader), None)
}

fn desk(guard: Guard, live: &Arc<Live>, reloader: &Arc<Reloader>) -> Desk {
    Desk { guard, view: View::new(live, reloader), upgrader: nobody() }
}

/// An upgrader of a daemon that does not listen to it.
fn nobody() -> Arc<Upgrader> {
    Arc::new(Upgrader::new("/nowhere/dispa".into(), None).0)
}

/// What a socket answers from; the file that would be read again is not there.
fn behind(config: &Config) -> (Arc<Live>, Arc<Reloader>) {
    let live = Live::new(State::new(config, None, Arc::default()));
    let source = ConfigSource::new("/nowhere/dispa.toml".into(), Overrides::default());
    let reloader = Reloader::new(source, Arc::clone(&live));
    (live, reloader)
}

fn open(socket: &Path) -> Socket {
    try_open(socket, Guard::new(socket)).expect("opens")
}

fn subject(text: &str) -> Subject {
    Subject::parse(text).expect("valid")
}

/// Sends `request` as it is and reads to the end.
async fn raw(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).await.expect("somebody listens");
    // It may be refused before it is sent to its end.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).expect("text")
}

async fn get(socket: &Path, target: &str) -> String {
    raw(socket, &format!("GET {target} HTTP/1.1\r\nHost: dispa\r\n\r\n")).await
}

#[tokio::test]
async fn a_daemon_explains() {
    let directory = Directory::new();
    let path = directory.socket();
    let _socket = open(&path);
    let explanation = ask(&path, &subject("http://[2001:db8::1]:80")).await.expect("an answer");
    assert_eq!(explanation.source, Source::Daemon);
    assert_eq!(explanation.of, "http://[2001:db8::1]");
    let explanation = ask(&path, &subject("http://example.com")).await.expect("an answer");
    assert_eq!(explanation.rule.as_deref(), Some("example.com"));
    assert_eq!(explanation.cases[0].verdict, Verdict::Backends);
}

#[tokio::test]
async fn the_file_is_for_owner_and_group_and_goes_with_the_daemon() {
    let directory = Directory::new();
    let path = directory.socket();
    let socket = open(&path);
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o660);
    assert_eq!(mode(path.parent().expect("has one")), 0o755);
    drop(socket);
    assert!(!path.exists());
    let error = ask(&path, &subject("example.com")).await.expect_err("nobody is there");
    assert!(matches!(error, AskError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_stale_file_is_replaced() {
    let directory = Directory::new();
    let path = directory.socket();
    fs::create_dir(path.parent().expect("has one")).expect("made");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("free"));
    assert!(path.exists());
    let _socket = open(&path);
    ask(&path, &subject("example.com")).await.expect("an answer");
}

#[tokio::test]
async fn a_second_daemon_leaves_the_first_ones_socket_alone() {
    let directory = Directory::new();
    let path = directory.socket();
    let first = open(&path);
    let error = try_open(&path, Guard::new(&path)).expect_err("in use");
    assert_eq!(error.to_string(), format!("another daemon answers at {}", path.display()));
    let config = config(&path);
    let (live, reloader) = behind(&config);
    assert!(Socket::open(&config, &live, &reloader, &nobody(), None).is_none());
    ask(&path, &subject("example.com")).await.expect("an answer of the first");
    drop(first);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_is_not_ours_any_more_stays() {
    let directory = Directory::new();
    let path = directory.socket();
    let socket = open(&path);
    // Moved, so that its inode is not given to the next file.
    fs::rename(&path, directory.0.join("moved")).expect("moved");
    fs::write(&path, "another's").expect("written");
    drop(socket);
    assert_eq!(fs::read_to_string(&path).expect("there"), "another's");
}

#[tokio::test]
async fn what_is_no_socket_is_never_replaced() {
    let directory = Directory::new();
    let path = directory.0.join("precious");
    fs::write(&path, "data").expect("written");
    let error = try_open(&path, Guard::new(&path)).expect_err("refused");
    assert_eq!(error.to_string(), format!("{} is there and is no socket", path.display()));
    assert_eq!(fs::read_to_string(&path).expect("there"), "data");
}

#[tokio::test]
async fn no_path_is_no_socket() {
    let config = Config::parse("[admin]\nsocket = ''", "c.toml", &Overrides::default());
    let config = config.expect("valid");
    let (live, reloader) = behind(&config);
    assert!(Socket::open(&config, &live, &reloader, &nobody(), None).is_none());
}

#[tokio::test]
async fn whoever_may_not_ask_is_refused() {
    let directory = Directory::new();
    let path = directory.socket();
    let _socket = try_open(&path, Guard::refusing()).expect("opens");
    let answer = get(&path, "/v1/explain?of=example.com").await;
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
    assert!(!answer.contains("10.0.0.1"), "{answer}");
    let error = ask(&path, &subject("example.com")).await.expect_err("refused");
    assert_eq!(
        error.to_string(),
        format!(
            "the daemon at {} refuses: only root, the daemon's user and the socket's group (403 \
             Forbidden)",
            path.display()
        )
    );
}

#[tokio::test]
async fn what_is_no_question_is_refused() {
    let directory = Directory::new();
    let path = directory.socket();
    let _socket = open(&path);
    for (target, status, error) in [
        ("/", "404 Not Found", "there is only /v1/explain, "),
        ("/v1/explain", "400 Bad Request", "the query must be of=NAME, IP or URL"),
        ("/v1/explain?of=a&of=b", "400 Bad Request", "the query must be of=NAME, IP or URL"),
        ("/v1/explain?of=%00", "400 Bad Request", "is no host name, IP address or URL"),
    ] {
        let answer = get(&path, target).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{target}: {answer}");
        assert!(answer.contains("content-type: application/json\r\n"), "{target}: {answer}");
        assert!(answer.contains(error), "{target}: {answer}");
    }
    let answer = raw(&path, "PUT /v1/explain?of=a.b HTTP/1.1\r\nHost: dispa\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{answer}");
    assert!(answer.contains("\r\nallow: GET\r\n"), "{answer}");
}

#[tokio::test]
async fn a_question_has_no_body() {
    let directory = Directory::new();
    let path = directory.socket();
    let _socket = open(&path);
    let request = "GET /v1/explain?of=a.b HTTP/1.1\r\nHost: dispa\r\nContent-Length: 3\r\n\r\nabc";
    let answer = raw(&path, request).await;
    assert!(answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{answer}");
}

#[tokio::test]
async fn no_more_than_so_many_wait_for_a_reload() {
    let directory = Directory::new();
    let path = directory.socket();
    let (live, reloader) = behind(&config(&path));
    let _socket =
        Socket::try_open(&path, desk(Guard::new(&path), &live, &reloader), None).expect("opens");
    // The first one that has to wait for its file keeps all others waiting.
    let mut queue = Vec::new();
    while queue.len() < 64 {
        let mut reload = Box::pin(reloader.reload("a test"));
        let begun = reload.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if begun.is_pending() {
            queue.push(reload);
        }
    }
    let request = "POST /v1/reload?wait HTTP/1.1\r\nHost: dispa\r\n\r\n";
    let answer = raw(&path, request).await;
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    drop(queue);
    let answer = raw(&path, request).await;
    assert!(answer.starts_with("HTTP/1.1 422 Unprocessable Entity\r\n"), "{answer}");
}

#[tokio::test]
async fn an_oversized_request_is_refused() {
    let directory = Directory::new();
    let path = directory.socket();
    let _socket = open(&path);
    let answer = get(&path, &format!("/v1/explain?of={}", "a".repeat(20_000))).await;
    assert!(answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{answer}");
    ask(&path, &subject("example.com")).await.expect("an answer");
}

#[tokio::test]
async fn an_answer_ends_its_connection() {
    let directory = Directory::new();
    let path = directory.socket();
    let _socket = open(&path);
    let request = "GET /v1/explain?of=example.com HTTP/1.1\r\nHost: dispa\r\n\r\n";
    let answer = raw(&path, &request.repeat(2)).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{answer}");
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_makes_room_when_the_time_is_up() {
    let directory = Directory::new();
    let path = directory.socket();
    let _socket = open(&path);
    let mut silent = Vec::new();
    for _ in 0..MOST_CONNECTIONS {
        silent.push(UnixStream::connect(&path).await.expect("somebody listens"));
    }
    let start = tokio::time::Instant::now();
    let request = get(&path, "/v1/explain?of=example.com").await;
    assert!(request.starts_with("HTTP/1.1 200 OK\r\n"), "{request}");
    assert!(start.elapsed() >= LIMIT);
}

#[tokio::test]
async fn a_daemon_that_ends_ends_its_conversations() {
    let directory = Directory::new();
    let path = directory.socket();
    let socket = open(&path);
    let mut stream = UnixStream::connect(&path).await.expect("somebody listens");
    stream.write_all(b"GET ").await.expect("sent");
    tokio::task::yield_now().await;
    drop(socket);
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest).await;
    assert!(matches!(read, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_stranger_at_the_socket_is_told_apart() {
    let directory = Directory::new();
    let path = directory.0.join("stranger");
    let listener = tokio::net::UnixListener::bind(&path).expect("free");
    let stranger = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.expect("sent");
    };
    let question = subject("example.com");
    let (answer, ()) = tokio::join!(ask(&path, &question), stranger);
    let error = answer.expect_err("no explanation");
    assert!(matches!(error, AskError::Foreign { .. }), "{error}");
}

#[test]
fn an_open_socket_keeps_its_state_alive_no_longer_than_itself() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let directory = Directory::new();
    let config = config(&directory.socket());
    let (live, reloader) = behind(&config);
    let others = Arc::strong_count(&live);
    runtime.block_on(async {
        let socket = Socket::open(&config, &live, &reloader, &nobody(), None).expect("opens");
        assert_eq!(Arc::strong_count(&live), others + 1);
        drop(socket);
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&live), others);
    });
}

#[tokio::test]
async fn a_successor_goes_on_with_the_socket_and_its_file() {
    let directory = Directory::new();
    let path = directory.socket();
    let first = open(&path);
    let handed = first.share().expect("a descriptor");
    let config = config(&path);
    let (live, reloader) = behind(&config);
    let second = Socket::open(&config, &live, &reloader, &nobody(), Some(handed)).expect("open");
    first.leave().await;
    assert!(path.exists());
    ask(&path, &subject("example.com")).await.expect("an answer of the second");
    drop(second);
    assert!(!path.exists());
}

#[tokio::test]
async fn who_asks_for_an_upgrade_is_told_why_there_is_none() {
    let directory = Directory::new();
    let path = directory.socket();
    let _socket = open(&path);
    let answer = client::upgrade(&path).await.expect("an answer");
    assert_eq!(answer, UpgradeAnswer::Refused("the daemon is stopping".to_owned()));
}
