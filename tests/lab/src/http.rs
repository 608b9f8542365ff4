//! An HTTP/1.1 server that says who it is and remembers what it was asked.

mod answer;
mod request;

use std::{
    io::{self, BufReader},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;

use crate::tcp::{Connection, TcpServer};
use answer::Answer;
use request::Request;

/// A backend, or an original site.
///
/// It answers `200` with its own name and a line end as the body, but for `GET /bytes/N`: N
/// pseudo-random bytes, always the same ones; and `POST /sha256`: the digest of what was posted.
/// Every answer has a header `x-backend` with its name. Connections are kept alive.
#[derive(Debug)]
pub struct HttpServer {
    site: Arc<Site>,
    server: TcpServer,
}

/// A request as a server saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The connection it came on, counted from 1.
    pub connection: u64,
    /// Who sent it.
    pub peer: SocketAddr,
    /// The address it was sent to.
    pub local: SocketAddr,
    /// As sent.
    pub method: String,
    /// As sent.
    pub path: String,
    /// The `Host` header, as sent; empty where there was none.
    pub host: String,
}

impl HttpServer {
    /// Listens on all of `addresses`.
    pub fn start(name: &str, addresses: &[SocketAddr]) -> Result<Self> {
        let site = Arc::new(Site { name: name.to_owned(), seen: Mutex::default() });
        let serving = Arc::clone(&site);
        let server = TcpServer::start(addresses, move |connection| serving.serve(connection))?;
        Ok(Self { site, server })
    }

    /// The name it answers with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.site.name
    }

    /// The requests it has seen. One that has been answered is among them.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.site.seen().clone()
    }

    /// How many requests it has seen.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.site.seen().len()
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.server.accepted()
    }
}

/// What the threads of a server share.
#[derive(Debug)]
struct Site {
    name: String,
    seen: Mutex<Vec<Seen>>,
}

impl Site {
    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, connection: &Connection) -> io::Result<()> {
        let mut reader = BufReader::new(&*connection.stream);
        while let Some(request) = Request::read(&mut reader)? {
            self.seen().push(seen(connection, &request));
            let answer = Answer::to(&request, &self.name, &mut reader, &connection.stream)?;
            answer.write(&self.name, request.keeps_alive(), &connection.stream)?;
            if !request.keeps_alive() {
                break;
            }
        }
        Ok(())
    }
}

fn seen(connection: &Connection, request: &Request) -> Seen {
    Seen {
        connection: connection.number,
        peer: connection.peer,
        local: connection.local,
        method: request.method.clone(),
        path: request.path.clone(),
        host: request.header("host").unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests;
