//! A backend that does what a test tells it to, and remembers every request.

use std::{
    collections::BTreeSet,
    io::{self, BufReader},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use dispa_lab::{Connection, TcpServer};

use super::{
    body::{BodyReader, Framing},
    exchange::Exchange,
    head::Head,
};

/// Idle connections are kept longer than any test lasts.
const PATIENCE: Duration = Duration::from_mins(2);

/// A request as the backend saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its connection, counted from 1.
    pub connection: u64,
    /// Its place among the requests of its connection, counted from 1.
    pub order: u64,
    /// Its head.
    pub head: Head,
}

/// A server of HTTP/1.1 whose answers are made by a handler.
#[derive(Debug)]
pub struct Backend {
    state: Arc<State>,
    server: TcpServer,
}

impl Backend {
    /// Listens on `address`. `handler` answers each request, on its connection's thread; an error
    /// ends the connection. What a handler left of a request's body is read and thrown away.
    pub fn start<H>(address: SocketAddr, handler: H) -> Result<Self>
    where
        H: Fn(&mut Exchange<'_>) -> io::Result<()> + Send + Sync + 'static,
    {
        let state = Arc::new(State::default());
        let serving = Arc::clone(&state);
        let server = TcpServer::start(&[address], move |connection| {
            serving.inner().begin(connection.number);
            let result = serving.serve(connection, &handler);
            serving.inner().open.remove(&connection.number);
            result
        })?;
        Ok(Self { state, server })
    }

    /// The requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.state.inner().seen.clone()
    }

    /// The requests so far for this target.
    #[must_use]
    pub fn seen_for(&self, target: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.head.word(1) == target).collect()
    }

    /// Everything that came where a request should have begun and was none.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        self.state.inner().faults.clone()
    }

    /// The connections that are open.
    #[must_use]
    pub fn open(&self) -> BTreeSet<u64> {
        self.state.inner().open.clone()
    }

    /// The most connections that were open at once.
    #[must_use]
    pub fn most_open(&self) -> usize {
        self.state.inner().most_open
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.server.accepted()
    }
}

#[derive(Debug, Default)]
struct State(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    seen: Vec<Seen>,
    faults: Vec<String>,
    open: BTreeSet<u64>,
    most_open: usize,
}

impl Inner {
    fn begin(&mut self, connection: u64) {
        self.open.insert(connection);
        self.most_open = self.most_open.max(self.open.len());
    }
}

impl State {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(
        &self,
        connection: &Connection,
        handler: &impl Fn(&mut Exchange<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let stream: &std::net::TcpStream = &connection.stream;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(stream);
        let number = connection.number;
        for order in 1.. {
            let Some(head) = self.head(number, order, &mut reader)? else { break };
            let body = BodyReader::new(Framing::of_request(&head)?);
            let mut exchange =
                Exchange { connection: number, order, head, body, reader, closing: false };
            handler(&mut exchange)?;
            if exchange.closing {
                break;
            }
            exchange.read_all()?;
            reader = exchange.reader;
        }
        Ok(())
    }

    /// The head of the next request, remembered as such, or as a fault where it is none.
    fn head(
        &self,
        connection: u64,
        order: u64,
        reader: &mut BufReader<&std::net::TcpStream>,
    ) -> io::Result<Option<Head>> {
        let head = match Head::read(reader) {
            Ok(head) => head,
            Err(error) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    self.inner().faults.push(format!("connection {connection}: {error}"));
                }
                return Err(error);
            }
        };
        let Some(head) = head else { return Ok(None) };
        if head.word(2) != "HTTP/1.1" || Framing::of_request(&head).is_err() {
            self.inner().faults.push(format!("connection {connection}: {head:?}"));
            return Ok(None);
        }
        self.inner().seen.push(Seen { connection, order, head: head.clone() });
        Ok(Some(head))
    }
}
