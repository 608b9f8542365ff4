//! A client with one HTTP/2 connection.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    client::{Builder, ResponseFuture, SendRequest},
    ext::Protocol,
};
use http::{HeaderMap, HeaderName, Method, Version};
use socket2::{SockRef, Socket};
use tokio::{net::TcpStream, runtime::Handle, task::JoinHandle};

use super::{
    driver::{Driver, wait_on},
    exchange::push,
};

/// One connection, driven by a thread of its own.
#[derive(Debug)]
pub struct Client {
    sender: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
    socket: Socket,
    driver: Driver,
}

/// A request without its body.
#[derive(Clone, Debug)]
pub struct Request(http::Request<()>);

/// A request under way.
#[derive(Debug)]
pub struct Stream {
    response: ResponseFuture,
    body: SendStream<Bytes>,
    handle: Handle,
}

/// A response as its client saw it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
    /// What followed the body.
    pub trailers: Option<HeaderMap>,
    /// Why the body ended early; none where it is whole.
    pub cut: Option<String>,
}

impl Request {
    /// A request for `path` of `host`.
    pub fn new(method: Method, host: &str, path: &str) -> Result<Self> {
        let request = http::Request::builder()
            .method(method)
            .version(Version::HTTP_2)
            .uri(format!("http://{host}{path}"))
            .body(())?;
        Ok(Self(request))
    }

    /// A WebSocket (RFC 8441).
    pub fn websocket(host: &str, path: &str) -> Result<Self> {
        let mut request = Self::new(Method::CONNECT, host, path)?;
        request.0.extensions_mut().insert(Protocol::from_static("websocket"));
        request.field("sec-websocket-version", "13")
    }

    /// With one more field.
    pub fn field(mut self, name: &str, value: &str) -> Result<Self> {
        self.0.headers_mut().append(name.parse::<HeaderName>()?, value.parse()?);
        Ok(self)
    }
}

impl Client {
    /// Connects, with the windows and limits of RFC 9113.
    pub fn connect(to: SocketAddr) -> Result<Self> {
        Self::connect_with(to, &Builder::new())
    }

    /// Connects, with settings of one's own choice.
    pub fn connect_with(to: SocketAddr, settings: &Builder) -> Result<Self> {
        let driver = Driver::start()?;
        let connecting = async {
            let stream = TcpStream::connect(to).await?;
            stream.set_nodelay(true)?;
            let socket = SockRef::from(&stream).try_clone()?;
            let (sender, connection) = settings.handshake::<_, Bytes>(stream).await?;
            anyhow::Ok((sender, driver.handle().spawn(connection), socket))
        };
        let (sender, connection, socket) =
            driver.wait(connecting)?.with_context(|| format!("connecting to {to}"))?;
        Ok(Self { sender, connection, socket, driver })
    }

    /// Sends the head of a request; with `end` there is no body.
    pub fn open(&self, Request(request): Request, end: bool) -> Result<Stream> {
        let opening = async { self.sender.clone().ready().await?.send_request(request, end) };
        let (response, body) = self.driver.wait(opening)??;
        Ok(Stream { response, body, handle: self.driver.handle().clone() })
    }

    /// Sends a GET and reads the answer.
    pub fn get(&self, host: &str, path: &str) -> Result<Answer> {
        self.open(Request::new(Method::GET, host, path)?, true)?.answer()
    }

    /// Whether the server takes extended CONNECT.
    #[must_use]
    pub fn may_connect(&self) -> bool {
        self.sender.is_extended_connect_protocol_enabled()
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.connection.is_finished()
    }

    /// Waits for the other side to end the connection; the reason it gave, if any.
    pub fn ended(&mut self) -> Result<Option<Reason>> {
        let ended = self.driver.wait(&mut self.connection)??;
        Ok(ended.err().and_then(|error| error.reason()))
    }

    /// Closes the connection without a farewell (FIN).
    pub fn close(self) -> Result<()> {
        let Self { connection, socket, driver, .. } = self;
        connection.abort();
        // It ends cancelled, or has ended before.
        let _ = driver.wait(connection)?;
        drop(socket);
        Ok(())
    }

    /// Breaks the connection off (RST).
    pub fn reset(self) -> Result<()> {
        self.socket.set_linger(Some(Duration::ZERO))?;
        self.close()
    }
}

impl Stream {
    /// Sends a part of the body, once the server's window lets it pass.
    pub fn send(&mut self, bytes: impl Into<Bytes>, end: bool) -> Result<()> {
        wait_on(&self.handle, push(&mut self.body, bytes.into(), end))?
    }

    /// Ends the body.
    pub fn end(&mut self) -> Result<()> {
        Ok(self.body.send_data(Bytes::new(), true)?)
    }

    /// Ends the body with trailers.
    pub fn trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        Ok(self.body.send_trailers(trailers)?)
    }

    /// Resets the stream.
    pub fn reset(&mut self, reason: Reason) {
        self.body.send_reset(reason);
    }

    /// Reads the head of the answer; what comes of the body is left to be read.
    pub fn head(&mut self) -> Result<(u16, HeaderMap, RecvStream)> {
        let response = wait_on(&self.handle, &mut self.response)??;
        let (head, body) = response.into_parts();
        Ok((head.status.as_u16(), head.headers, body))
    }

    /// Reads the answer to its end.
    pub fn answer(&mut self) -> Result<Answer> {
        wait_on(&self.handle, read(&mut self.response))?
    }

    /// Sends the rest of the body while it reads the answer, which may come before all is sent.
    pub fn answer_while_sending(&mut self, bytes: impl Into<Bytes>) -> Result<Answer> {
        let Self { response, body, handle } = self;
        let sending = push(body, bytes.into(), true);
        // What cannot be sent any more is the server's decision, and shows in its answer.
        let both = async { tokio::join!(read(response), sending).0 };
        wait_on(handle, both)?
    }

    /// Takes the next bytes of a body; none at its end.
    pub fn part(&self, body: &mut RecvStream) -> Result<Option<Bytes>> {
        while let Some(part) = wait_on(&self.handle, body.data())? {
            let part = part?;
            body.flow_control().release_capacity(part.len())?;
            // A frame without data may bring the end.
            if !part.is_empty() {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }
}

async fn read(response: &mut ResponseFuture) -> Result<Answer> {
    let (head, mut incoming) = response.await?.into_parts();
    let (status, headers, mut body) = (head.status.as_u16(), head.headers, Vec::new());
    let ended = async {
        while let Some(part) = incoming.data().await {
            let part = part?;
            incoming.flow_control().release_capacity(part.len())?;
            body.extend_from_slice(&part);
        }
        incoming.trailers().await
    };
    let (trailers, cut) = match ended.await {
        Ok(trailers) => (trailers, None),
        Err(error) => (None, Some(error.to_string())),
    };
    Ok(Answer { status, headers, body, trailers, cut })
}

impl Answer {
    /// The body, as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// All values of a field, joined as one list; empty where it is absent.
    #[must_use]
    pub fn list(&self, name: &str) -> String {
        let values = self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.collect::<Vec<_>>().join(", ")
    }
}
