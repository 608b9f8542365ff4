//! A DNS server with a table of its own, over UDP and TCP (RFC 1035).

use std::{
    collections::HashMap,
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{RData, Record, RecordType},
};

use crate::{
    lab::Lab,
    tcp::{Connection, TcpServer},
};

/// How soon the UDP thread sees that it is to stop.
const STOP_CHECK: Duration = Duration::from_millis(20);

/// The most a UDP datagram can carry.
const LARGEST_DATAGRAM: usize = 65_535;

/// Answers A and AAAA questions from its table; other names do not exist. Answers that do not fit
/// into the datagram are cut, which sends the client to TCP.
#[derive(Debug)]
pub struct DnsServer {
    zone: Arc<Zone>,
    stop: Arc<AtomicBool>,
    datagrams: Option<JoinHandle<()>>,
    _streams: TcpServer,
}

impl DnsServer {
    /// Listens at [`Lab::RESOLVER`], where the processes of the lab look for a server.
    pub fn start() -> Result<Self> {
        let address = SocketAddr::new(Lab::RESOLVER, 53);
        let socket = UdpSocket::bind(address).context("the lab has a DNS server already")?;
        socket.set_read_timeout(Some(STOP_CHECK))?;
        let zone = Arc::new(Zone::default());
        let stop = Arc::new(AtomicBool::new(false));

        let serving = (Arc::clone(&zone), Arc::clone(&stop));
        let datagrams = thread::spawn(move || serve_datagrams(&socket, &serving.0, &serving.1));
        let serving = Arc::clone(&zone);
        let streams = TcpServer::start(&[address], move |peer| serve_stream(peer, &serving))?;
        Ok(Self { zone, stop, datagrams: Some(datagrams), _streams: streams })
    }

    /// Sets all the addresses of `name`, and for how many seconds an answer is good.
    pub fn set(&self, name: &str, addresses: &[IpAddr], ttl: u32) {
        let entry = Entry { addresses: addresses.to_vec(), ttl };
        self.zone.entries().insert(name.to_ascii_lowercase(), entry);
    }

    /// How often `name` has been asked for, over both protocols and for any type.
    #[must_use]
    pub fn questions(&self, name: &str) -> usize {
        let asked = self.zone.asked();
        asked.iter().filter(|asked| asked.eq_ignore_ascii_case(name)).count()
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.datagrams.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Debug, Default)]
struct Zone {
    /// By name, in lower case, without a final dot.
    entries: Mutex<HashMap<String, Entry>>,
    asked: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct Entry {
    addresses: Vec<IpAddr>,
    ttl: u32,
}

impl Zone {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, Vec<String>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole answer to a message; none if it is no question.
    fn answer(&self, question: &[u8], limit: impl Fn(&Message) -> usize) -> Option<Vec<u8>> {
        let question = Message::from_vec(question).ok()?;
        let query = question.queries.first()?.clone();
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.metadata.recursion_desired = question.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        match self.records(&query) {
            Some(records) => answer.insert_answers(records),
            None => answer.metadata.response_code = ResponseCode::NXDomain,
        }
        let whole = answer.to_vec().ok()?;
        let fits = whole.len() <= limit(&question);
        if fits { Some(whole) } else { answer.truncate().to_vec().ok() }
    }

    /// The records of the type that is asked for; none if there is no such name.
    fn records(&self, query: &Query) -> Option<Vec<Record>> {
        let name = query.name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
        self.asked().push(name.clone());
        let entries = self.entries();
        let entry = entries.get(&name)?;
        let data = entry.addresses.iter().filter_map(|address| match (address, query.query_type) {
            (IpAddr::V4(v4), RecordType::A) => Some(RData::A((*v4).into())),
            (IpAddr::V6(v6), RecordType::AAAA) => Some(RData::AAAA((*v6).into())),
            _ => None,
        });
        Some(data.map(|data| Record::from_rdata(query.name.clone(), entry.ttl, data)).collect())
    }
}

fn serve_datagrams(socket: &UdpSocket, zone: &Zone, stop: &AtomicBool) {
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
        let limit = |question: &Message| usize::from(question.max_payload());
        if let Some(answer) = zone.answer(&buffer[..length], limit) {
            // One who has gone does not need the answer.
            let _ = socket.send_to(&answer, peer);
        }
    }
}

/// Each message comes after its length in two bytes (RFC 1035 section 4.2.2).
fn serve_stream(connection: &Connection, zone: &Zone) -> io::Result<()> {
    let mut stream = &*connection.stream;
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut question = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut question)?;
        let answer = zone.answer(&question, |_| usize::from(u16::MAX));
        let answer = answer.ok_or_else(|| io::Error::other("no question"))?;
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes()[..], &answer].concat())?;
    }
}

#[cfg(test)]
mod tests;
