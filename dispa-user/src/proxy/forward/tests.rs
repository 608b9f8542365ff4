//! Requests through a worker's explicit door to a backend, over loopback.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    num::NonZeroUsize,
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::SockRef;

use super::origin_form;
use crate::{
    config::{Config, Overrides},
    life::{Pulse, StopHandle, stop_signal},
    proxy::{Listeners, WorkerStart, finish::tests::Outcomes},
    state::{Live, State},
};

/// Longest wait for what a test expects.
const PATIENCE: Duration = Duration::from_secs(20);

/// A worker on a thread of its own, with an explicit door for `a.test` only.
struct Proxy {
    address: SocketAddr,
    outcomes: Outcomes,
    stop: StopHandle,
    thread: JoinHandle<()>,
}

impl Proxy {
    fn to(backend: SocketAddr) -> Self {
        let text = format!(
            "[domains]\nintercept_domains = [\"a.test\"]\n\
             [[targets.targets]]\nname = \"one\"\nurl = \"http://{backend}\"\n"
        );
        let config = Config::parse(&text, "c.toml", &Overrides::default()).expect("valid");
        let door = TcpListener::bind("127.0.0.1:0").expect("a free port");
        door.set_nonblocking(true).expect("a socket");
        let address = door.local_addr().expect("an address");
        let (stop, stopped) = stop_signal();
        let outcomes = Outcomes::default();
        let collector = outcomes.clone();
        let thread = thread::spawn(move || {
            let _collecting = collector.collect();
            let listeners =
                Listeners { transparent: vec![], datagrams: vec![], explicit: vec![door] };
            let live = Live::new(State::new(&config, None, std::sync::Arc::default()));
            let pulse = Pulse::new(NonZeroUsize::MIN);
            let worker = WorkerStart { number: 0, listeners, live, pulse, stopped };
            worker.run().expect("a worker");
        });
        Self { address, outcomes, stop, thread }
    }

    fn connect(&self) -> TcpStream {
        patient(TcpStream::connect(self.address).expect("the door"))
    }

    /// The whole answer to a client that sends nothing else.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("a proxy that reads");
        stream.shutdown(Shutdown::Write).expect("a connection");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// Stops the worker; how each exchange ended.
    fn outcomes(self) -> Vec<String> {
        drop(self.stop);
        self.thread.join().expect("no panic");
        self.outcomes.take()
    }
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.extend(byte);
    }
    String::from_utf8(head).expect("text")
}

fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
    drop(stream);
}

/// A backend whose first connection `serve` gets.
fn backend<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        serve(patient(stream))
    });
    (address, thread)
}

/// What a backend that answers `response` and closes gets to see of `request`, what the client gets
/// to see of the response, and how that ended.
fn exchange(request: &str, response: &'static str) -> (String, String, Vec<String>) {
    let (address, seen) = backend(move |mut stream| {
        let head = read_head(&mut stream);
        stream.write_all(response.as_bytes()).expect("a proxy that reads");
        head
    });
    let proxy = Proxy::to(address);
    let answer = proxy.ask(request);
    (seen.join().expect("no panic"), answer, proxy.outcomes())
}

#[test]
fn a_target_gets_its_origin_form() {
    for (target, origin) in [
        ("/x?y", "/x?y"),
        ("*", "*"),
        ("http://h", "/"),
        ("http://h/", "/"),
        ("http://h?x=1", "/?x=1"),
        ("https://h/x?y=%20", "/x?y=%20"),
    ] {
        let form = origin_form(&target.parse().expect(target)).map(|form| form.to_string());
        assert_eq!(form.as_deref(), Some(origin), "{target}");
    }
    assert_eq!(origin_form(&"h:80".parse().expect("an authority")), None);
}

#[test]
fn a_query_without_a_path_is_kept() {
    let request = "GET http://a.test?x=1 HTTP/1.1\r\nhost: a.test\r\n\r\n";
    let (seen, ..) = exchange(request, "HTTP/1.1 204 No Content\r\n\r\n");
    assert!(seen.starts_with("GET /?x=1 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("host: a.test\r\n"), "{seen}");
}

#[test]
fn a_target_that_cannot_be_forwarded_is_a_bad_request() {
    let proxy = Proxy::to("127.0.0.1:1".parse().expect("an address"));
    let answer = proxy.ask("GET a.test:80 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(proxy.outcomes(), ["bad_request"]);
}

#[test]
fn the_version_of_an_answer_is_ours() {
    for (client, answered) in [("HTTP/1.1", "HTTP/1.1 200 OK"), ("HTTP/1.0", "HTTP/1.0 200 OK")] {
        let request = format!("GET / {client}\r\nhost: a.test\r\n\r\n");
        let (_, answer, outcomes) = exchange(&request, "HTTP/1.0 200 OK\r\n\r\ntext");
        assert!(answer.starts_with(answered), "{answer}");
        assert_eq!(outcomes, ["ok"]);
    }
}

#[test]
fn an_answer_without_a_body_is_whole() {
    for (method, response) in [
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntext"),
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
    ] {
        let request = format!("{method} / HTTP/1.1\r\nhost: a.test\r\n\r\n");
        let (_, _, outcomes) = exchange(&request, response);
        assert_eq!(outcomes, ["ok"], "{method}: {response}");
    }
}

#[test]
fn a_body_that_breaks_off_is_the_backends_failure() {
    let request = "GET / HTTP/1.1\r\nhost: a.test\r\n\r\n";
    let (_, _, outcomes) = exchange(request, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ntext");
    assert_eq!(outcomes, ["backend_failed"]);
}

#[test]
fn a_client_that_would_speak_http2_goes_on_in_http1() {
    let (address, seen) = backend(|mut stream| {
        [(), ()].map(|()| {
            let head = read_head(&mut stream);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).expect("a proxy that reads");
            head
        })
    });
    let proxy = Proxy::to(address);
    let mut client = proxy.connect();
    for _ in 0..2 {
        let request = "GET / HTTP/1.1\r\nHost: a.test\r\n\
             Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n\r\n";
        client.write_all(request.as_bytes()).expect("a proxy that reads");
        assert!(read_head(&mut client).starts_with("HTTP/1.1 200 OK\r\n"));
        client.read_exact(&mut [0; 2]).expect("a body");
    }
    drop(client);
    let seen = seen.join().expect("no panic");
    assert_eq!(seen, ["GET / HTTP/1.1\r\nhost: a.test\r\nvia: 1.1 dispa\r\n\r\n"; 2]);
    assert_eq!(proxy.outcomes(), ["ok", "ok"]);
}

/// A WebSocket as far as it comes: the client's end, after the backend has got its first byte and
/// gone on with `serve`.
fn websocket<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (Proxy, TcpStream, JoinHandle<T>) {
    let (address, backend) = backend(move |mut stream| {
        let head = read_head(&mut stream);
        assert!(head.contains("upgrade: websocket\r\n"), "{head}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\n\
             Connection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n";
        stream.write_all(answer.as_bytes()).expect("a proxy that reads");
        stream.read_exact(&mut [0]).expect("a byte");
        serve(stream)
    });
    let proxy = Proxy::to(address);
    let mut client = proxy.connect();
    let request =
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n";
    client.write_all(request.as_bytes()).expect("a proxy that reads");
    let answer = read_head(&mut client);
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains("upgrade: websocket"));
    client.write_all(b"x").expect("a proxy that reads");
    (proxy, client, backend)
}

#[test]
fn a_websocket_that_closes_in_order_is_ok() {
    let (proxy, mut client, backend) = websocket(drop);
    assert_eq!(client.read(&mut [0]).expect("the end"), 0);
    drop(client);
    backend.join().expect("no panic");
    assert_eq!(proxy.outcomes(), ["ok"]);
}

#[test]
fn a_websocket_that_the_backend_breaks_off_is_its_failure() {
    let (proxy, mut client, backend) = websocket(reset);
    backend.join().expect("no panic");
    let _ = client.read(&mut [0]);
    assert_eq!(proxy.outcomes(), ["backend_failed"]);
}

#[test]
fn a_websocket_that_the_client_breaks_off_is_its_own_affair() {
    let (proxy, client, backend) = websocket(|mut stream| {
        stream.write_all(b"y").expect("a proxy that reads");
        let _ = stream.read(&mut [0]);
    });
    client.peek(&mut [0]).expect("a byte");
    reset(client);
    backend.join().expect("no panic");
    assert_eq!(proxy.outcomes(), ["client_aborted"]);
}

#[test]
fn there_is_no_websocket_in_http_1_0() {
    let request =
        "GET / HTTP/1.0\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let (seen, ..) = exchange(request, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(seen, "GET / HTTP/1.1\r\nhost: a.test\r\nvia: 1.0 dispa\r\n\r\n");
}
