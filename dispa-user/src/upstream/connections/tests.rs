//! Exchanges with servers of all kinds, over loopback.

use std::{cell::Cell, convert::Infallible, future::pending, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{LocalSet, spawn_local, yield_now},
    time::advance,
};

use crate::{
    config::{Config, Overrides},
    life::Tasks,
    upstream::{Backend, Backends, Connections, Outgoing, UpstreamError},
};

const LIMIT: Duration = Duration::from_secs(10);

const GET: &str = "GET / HTTP/1.1\r\nhost: a.test\r\n\r\n";

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// A request as a client sends it, and the client, who may send more of its body.
async fn request(head: &str) -> (Request<Incoming>, DuplexStream) {
    let (mut client, end) = duplex(1024);
    let (sender, receiver) = oneshot::channel();
    let sender = Cell::new(Some(sender));
    spawn_local(async move {
        let service = service_fn(|request| {
            let sender = sender.take().expect("one request");
            sender.send(request).expect("it is waited for");
            pending::<Result<Response<Empty<Bytes>>, Infallible>>()
        });
        let _ = http1::Builder::new().serve_connection(TokioIo::new(end), service).await;
    });
    client.write_all(head.as_bytes()).await.expect("memory");
    (receiver.await.expect("a request"), client)
}

fn connections() -> Rc<Connections> {
    let config = Config::parse("", "c.toml", &Overrides::default()).expect("valid");
    let mark = Rc::new(|_: std::os::fd::BorrowedFd<'_>, _| Ok(()));
    Connections::new(&config.http, config.connections, 1, mark, Tasks::default())
}

fn outgoing(request: Request<Incoming>) -> Outgoing {
    Outgoing { request, interim: None, limit: LIMIT }
}

async fn listen() -> (TcpListener, Arc<Backend>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let text = format!(
        "[[targets.targets]]\nname = \"one\"\nurl = \"http://{address}\"\ntimeout = {}\n",
        LIMIT.as_secs()
    );
    let config = Config::parse(&text, "c.toml", &Overrides::default()).expect("valid");
    let backend = Arc::clone(&Backends::new(&config, None).all()[0]);
    (listener, backend)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().await.expect("a connection").0
}

async fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
}

async fn answer(stream: &mut TcpStream, response: &str) {
    read_head(stream).await;
    stream.write_all(response.as_bytes()).await.expect("a client that reads");
}

/// What becomes of an upload of `length` bytes, of which one comes after each three quarters of the
/// limit, up to `given`; and of the same one to where there is no backend.
async fn upload(length: usize, given: usize) -> [Result<StatusCode, UpstreamError>; 2] {
    // The paused clock moves when it is told to, not whenever there is nothing to do.
    spawn_local(async {
        loop {
            yield_now().await;
        }
    });
    let (listener, backend) = listen().await;
    let address = listener.local_addr().expect("an address");
    let connections = connections();
    let head = format!("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: {length}\r\n\r\n");
    let mut results = Vec::new();
    for once in [false, true] {
        let (request, mut client) = request(&head).await;
        let send = async {
            if once {
                connections.send_once(address, &mut connections.begin(outgoing(request))).await
            } else {
                connections.send(&backend, &mut connections.begin(outgoing(request))).await
            }
        };
        let serve = async {
            let mut stream = accept(&listener).await;
            read_head(&mut stream).await;
            for _ in 0..given {
                advance(LIMIT * 3 / 4).await;
                client.write_u8(b'x').await.expect("memory");
                assert_eq!(stream.read_u8().await.expect("a byte"), b'x');
            }
            advance(LIMIT * 3 / 4).await;
            if given < length {
                advance(LIMIT / 4).await;
                return stream;
            }
            stream.write_all(OK.as_bytes()).await.expect("a client that reads");
            stream
        };
        let (response, _stream) = tokio::join!(send, serve);
        results.push(response.map(|response| response.status()));
    }
    results.try_into().expect("two")
}

#[tokio::test(start_paused = true)]
async fn an_upload_may_take_longer_than_the_limit_as_long_as_it_moves() {
    let results = LocalSet::new().run_until(upload(5, 5)).await;
    assert!(results.iter().all(|result| matches!(result, Ok(StatusCode::OK))), "{results:?}");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_stalls_reaches_the_limit_and_it_is_the_clients_fault() {
    let results = LocalSet::new().run_until(upload(5, 2)).await;
    let stalled = |result: &_| matches!(result, Err(UpstreamError::RequestStalled));
    assert!(results.iter().all(stalled), "{results:?}");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_says_nothing_reaches_the_limit_and_it_is_its_own_fault() {
    let local = LocalSet::new();
    local
        .run_until(async {
            let (listener, backend) = listen().await;
            let connections = connections();
            let (request, _client) = request("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
            let mut sending = connections.begin(outgoing(request));
            let (sent, _stream) =
                tokio::join!(connections.send(&backend, &mut sending), accept(&listener));
            let error = sent.expect_err("nothing was said");
            assert!(matches!(error, UpstreamError::TimedOut(LIMIT)), "{error:?}");
            assert!(sending.is_blamed_on_backend(&error) && sending.may_go_elsewhere(&error));
        })
        .await;
}

/// What becomes of a request on a kept connection that the backend closes once it has read its
/// head, where a new connection is answered by `fresh`, and by a close if that is empty; and how
/// many connections there were.
async fn on_a_stale_connection(
    head: &str,
    fresh: &str,
) -> (Result<StatusCode, UpstreamError>, usize) {
    let (listener, backend) = listen().await;
    let connections = connections();
    let accepted = Cell::new(1);
    let serve = async {
        let mut stream = accept(&listener).await;
        answer(&mut stream, OK).await;
        read_head(&mut stream).await;
        drop(stream);
        loop {
            let mut stream = accept(&listener).await;
            accepted.set(accepted.get() + 1);
            answer(&mut stream, fresh).await;
        }
    };
    let send = async {
        let (first, _client) = request(GET).await;
        connections
            .send(&backend, &mut connections.begin(outgoing(first)))
            .await
            .expect("an answer");
        let (second, _client) = request(head).await;
        connections
            .send(&backend, &mut connections.begin(outgoing(second)))
            .await
            .map(|response| response.status())
    };
    let result = tokio::select! {
        result = send => result,
        () = serve => unreachable!("it accepts for ever"),
    };
    (result, accepted.get())
}

#[tokio::test]
async fn what_may_be_repeated_is_sent_again_if_a_kept_connection_was_stale() {
    let bodies = ["", "content-length: 0\r\n\r\n", "content-length: 1\r\n\r\nx"];
    let methods = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];
    for (method, body) in methods.into_iter().flat_map(|it| bodies.map(|body| (it, body))) {
        let end = if body.is_empty() { "\r\n" } else { body };
        let head = format!("{method} / HTTP/1.1\r\nhost: a.test\r\n{end}");
        let outcome = LocalSet::new().run_until(on_a_stale_connection(&head, OK)).await;
        assert!(matches!(outcome, (Ok(StatusCode::OK), 2)), "{method}: {outcome:?}");
    }
}

#[tokio::test]
async fn it_is_sent_again_only_once() {
    let outcome = LocalSet::new().run_until(on_a_stale_connection(GET, "")).await;
    assert!(matches!(outcome, (Err(UpstreamError::Failed(_)), 2)), "{outcome:?}");
}

#[tokio::test]
async fn what_may_not_be_repeated_is_sent_only_once() {
    for method in ["POST", "PATCH", "BREW"] {
        let head = format!("{method} / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n\r\n");
        let outcome = LocalSet::new().run_until(on_a_stale_connection(&head, OK)).await;
        assert!(matches!(outcome, (Err(UpstreamError::Failed(_)), 1)), "{head}: {outcome:?}");
    }
}

/// A PUT whose backend goes away once it has read `read` bytes of the body, of which the client had
/// sent `before`; `after` comes later. What another one is sent; `None`: it is not.
async fn repeated(before: &[u8], read: usize, after: &[u8]) -> Option<Vec<u8>> {
    let (listener, backend) = listen().await;
    let connections = connections();
    let length = before.len() + after.len();
    let head = format!("PUT / HTTP/1.1\r\nhost: a.test\r\ncontent-length: {length}\r\n\r\n");
    let (request, mut client) = request(&head).await;
    let mut sending = connections.begin(outgoing(request));
    let client = async {
        client.write_all(before).await.expect("it is read");
        client
    };
    let goes_away = async {
        let mut stream = accept(&listener).await;
        read_head(&mut stream).await;
        stream.read_exact(&mut vec![0; read]).await.expect("as much as that");
    };
    let (sent, mut client, ()) =
        tokio::join!(connections.send(&backend, &mut sending), client, goes_away);
    let error = sent.expect_err("the backend is gone");
    if !sending.may_go_elsewhere(&error) {
        return None;
    }
    let serve = async {
        let mut stream = accept(&listener).await;
        read_head(&mut stream).await;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.expect("all of it");
        stream.write_all(OK.as_bytes()).await.expect("a client that reads");
        body
    };
    let more = async { client.write_all(after).await.expect("it is read") };
    let (sent, body, ()) = tokio::join!(connections.send(&backend, &mut sending), serve, more);
    assert_eq!(sent.expect("an answer").status(), StatusCode::OK);
    assert!(!sending.is_unsent(), "it was sent twice");
    Some(body)
}

#[tokio::test]
async fn a_body_is_sent_again_whole_wherever_it_broke_off() {
    let local = LocalSet::new();
    local
        .run_until(async {
            assert_eq!(repeated(b"abc", 3, b"").await.as_deref(), Some(&b"abc"[..]));
            assert_eq!(repeated(b"abc", 3, b"def").await.as_deref(), Some(&b"abcdef"[..]));
            let much = vec![b'x'; 60_000];
            let whole = [&much[..], b"y"].concat();
            assert_eq!(repeated(&much, 60_000, b"y").await, Some(whole));
        })
        .await;
}

#[tokio::test]
async fn what_was_too_much_to_keep_is_not_sent_again() {
    let much = vec![b'x'; 70_000];
    assert_eq!(LocalSet::new().run_until(repeated(&much, 70_000, b"y")).await, None);
}

#[tokio::test]
async fn no_connection_is_kept_once_the_idle_ones_were_closed() {
    LocalSet::new()
        .run_until(async {
            let (listener, backend) = listen().await;
            let connections = connections();
            let send = async {
                let (request, _client) = request(GET).await;
                let response =
                    connections.send(&backend, &mut connections.begin(outgoing(request))).await;
                connections.close_idle();
                drop(response.expect("an answer"));
            };
            let serve = async {
                let mut stream = accept(&listener).await;
                answer(&mut stream, OK).await;
                assert_eq!(stream.read(&mut [0]).await.expect("no failure"), 0);
            };
            tokio::join!(send, serve);
        })
        .await;
}
