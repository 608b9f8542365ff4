//! Asks resolvers questions of every kind, always the same ones, and keeps every byte that comes
//! back.
//!
//! `dns-questions OUT COUNT RESOLVER...` asks in batches over one socket each, taking resolvers
//! in turns, and connected and unconnected sockets. What was cut is asked again over TCP. Writes a
//! line for each answer to `OUT`, and to standard output how many answers were lost and how many
//! came from another address than was asked.

use std::{
    collections::HashMap,
    env,
    fmt::Write as _,
    fs,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result};
use dispa_lab::wire::{Message, kind};

/// Questions under way at once on one socket.
const BATCH: u16 = 32;

/// An answer that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many lost ones are proof enough.
const MOST_LOST: usize = 100;

const KINDS: [u16; 15] = [
    kind::A,
    kind::AAAA,
    kind::MX,
    kind::TXT,
    kind::NS,
    kind::SOA,
    kind::SRV,
    kind::HTTPS,
    kind::PTR,
    kind::ANY,
    kind::CNAME,
    43,     // DS
    64,     // SVCB
    257,    // CAA
    65_280, // For private use.
];

#[derive(Debug, Default)]
struct Tally {
    lines: String,
    lost: usize,
    cut: usize,
    over_tcp: usize,
    wrong_source: usize,
}

fn main() -> Result<()> {
    let [_, out, count, resolvers @ ..] = &env::args().collect::<Vec<_>>()[..] else {
        anyhow::bail!("usage: dns-questions OUT COUNT RESOLVER...");
    };
    let count: u16 = count.parse().context("COUNT")?;
    let resolvers = resolvers.iter().map(|text| text.parse());
    let resolvers = resolvers.collect::<Result<Vec<SocketAddr>, _>>().context("RESOLVER")?;
    let mut tally = Tally::default();
    for (number, first) in (0..count).step_by(BATCH.into()).enumerate() {
        let ids = first..count.min(first.saturating_add(BATCH));
        let resolver = resolvers[number % resolvers.len()];
        let connected = number / resolvers.len() % 2 == 0;
        ask_batch(ids, resolver, connected, &mut tally)?;
        ask_oddly(number, resolver, &mut tally)?;
        if tally.lost > MOST_LOST {
            break;
        }
    }
    fs::write(out, &tally.lines)?;
    let Tally { lost, cut, over_tcp, wrong_source, .. } = tally;
    println!("asked={count} lost={lost} cut={cut} over_tcp={over_tcp} wrong_source={wrong_source}");
    Ok(())
}

fn ask_batch(
    ids: std::ops::Range<u16>,
    resolver: SocketAddr,
    connected: bool,
    tally: &mut Tally,
) -> Result<()> {
    let mut questions: HashMap<u16, Vec<u8>> = ids.map(|id| (id, question(id))).collect();
    let mut over_tcp = Vec::new();
    let socket = datagram_socket(resolver)?;
    if connected {
        socket.connect(resolver)?;
    }
    let mut order: Vec<_> = questions.keys().copied().collect();
    order.sort_unstable();
    for id in order {
        if id % 33 == 0 {
            over_tcp.extend(questions.remove(&id));
        } else if connected {
            socket.send(&questions[&id])?;
        } else {
            socket.send_to(&questions[&id], resolver)?;
        }
    }
    let mut buffer = vec![0; 65_535];
    while !questions.is_empty() {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { break };
        tally.wrong_source += usize::from(from != resolver);
        let answer = &buffer[..length];
        let Some(question) = id_of(answer).and_then(|id| questions.remove(&id)) else { continue };
        note("udp", answer, tally);
        if Message::is_truncated(answer) {
            tally.cut += 1;
            over_tcp.push(question);
        }
    }
    tally.lost += questions.len();
    ask_over_tcp(resolver, &over_tcp, tally)
}

/// Sends all the questions at once, and then reads the answers, in whatever order.
fn ask_over_tcp(resolver: SocketAddr, questions: &[Vec<u8>], tally: &mut Tally) -> Result<()> {
    if questions.is_empty() {
        return Ok(());
    }
    tally.over_tcp += questions.len();
    let mut stream = TcpStream::connect(resolver)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut all = Vec::new();
    for question in questions {
        all.extend_from_slice(&u16::try_from(question.len())?.to_be_bytes());
        all.extend_from_slice(question);
    }
    stream.write_all(&all)?;
    for answered in 0..questions.len() {
        let Ok(answer) = read_message(&mut stream) else {
            tally.lost += questions.len() - answered;
            break;
        };
        note("tcp", &answer, tally);
    }
    Ok(())
}

fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message)?;
    Ok(message)
}

/// Datagrams too short to have an id: the answer is the only one on its socket.
fn ask_oddly(number: usize, resolver: SocketAddr, tally: &mut Tally) -> Result<()> {
    if number.is_multiple_of(16) {
        let socket = datagram_socket(resolver)?;
        socket.send_to(&[7; 11][..number / 16 % 12], resolver)?;
        let mut buffer = [0; 512];
        match socket.recv(&mut buffer) {
            Ok(length) => note("odd", &buffer[..length], tally),
            Err(_) => tally.lost += 1,
        }
    }
    Ok(())
}

fn note(way: &str, answer: &[u8], tally: &mut Tally) {
    let lines = &mut tally.lines;
    lines.push_str(way);
    lines.push(' ');
    for byte in answer {
        // Writing to a string cannot fail.
        let _ = write!(lines, "{byte:02x}");
    }
    lines.push('\n');
}

fn datagram_socket(resolver: SocketAddr) -> io::Result<UdpSocket> {
    let socket = match resolver {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
    };
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn id_of(message: &[u8]) -> Option<u16> {
    message.first_chunk().copied().map(u16::from_be_bytes)
}

/// The question of this number, which is its id.
fn question(id: u16) -> Vec<u8> {
    let mut chance = Chance(id.into());
    if chance.one_in(25) {
        return garbage(id, &mut chance);
    }
    let kind = KINDS[chance.below(KINDS.len())];
    let name = mix_case(&name(id, &mut chance), &mut chance);
    let message = if chance.one_in(50) {
        let odd: [&[u8]; 3] = [b"a b\0c", b"\xff.\xfe", b"wild"];
        Message::query_by_labels(id, odd, kind)
    } else {
        Message::query(id, &name, kind)
    };
    // Recursion wanted or not, "authentic" and "checking disabled", and once in a while an opcode.
    let opcode = if chance.one_in(40) { 0x20 } else { 0 };
    let recursion = u8::try_from(chance.below(2)).unwrap_or(0);
    let bits = [0, 0x10, 0x20, 0x30][chance.below(4)];
    let message = message.flags([opcode | recursion, bits]);
    match [None, Some(512), Some(1232), Some(4096), Some(65_535)][chance.below(5)] {
        None => message.into_bytes(),
        Some(limit) => message.edns(limit, chance.one_in(2)).into_bytes(),
    }
}

fn garbage(id: u16, chance: &mut Chance) -> Vec<u8> {
    let length = chance.below(200);
    let bytes = (0..length).map(|_| chance.next().to_le_bytes()[3]);
    id.to_be_bytes().into_iter().chain(bytes).collect()
}

/// The first word tells the responder what kind of answer to make.
fn name(id: u16, chance: &mut Chance) -> String {
    if id.is_multiple_of(64) {
        return format!("huge-{id}.wild.test");
    }
    match chance.below(12) {
        0 => String::new(),
        1 => format!("missing-{id}.wild.test"),
        2 => format!("{}.2.0.192.in-addr.arpa", id % 256),
        3 => format!("_sip._tcp.s{id}.other.test"),
        4 => format!("big-{id}.wild.test"),
        5 => format!("big-{id}.other.test"),
        6 => format!("alias-{id}.wild.test"),
        7 => format!("loop-{id}.wild.test"),
        8 => format!("junk-{id}.wild.test"),
        9 => format!("{0}.{0}.{0}.l{id}.wild.test", "long".repeat(15)),
        10 => format!("n{id}.other.test"),
        _ => format!("n{id}.wild.test"),
    }
}

/// Some programs mix the case of letters, to make answers harder to forge ("0x20").
fn mix_case(name: &str, chance: &mut Chance) -> String {
    if chance.one_in(3) {
        let mix = |letter: char| {
            if chance.one_in(2) { letter.to_ascii_uppercase() } else { letter }
        };
        return name.chars().map(mix).collect();
    }
    name.to_owned()
}

/// Numbers without a pattern, the same in every run (`SplitMix64`).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or(0)
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}
