//! Who gets how much, with backends that are not alike.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use dispa_e2e::Site;
use dispa_lab::{Config, Lab, TcpServer};

const SOON: Duration = Duration::from_secs(30);
const FAST: Duration = Duration::from_millis(2);
const SLOW: Duration = Duration::from_millis(40);
const REQUESTS: usize = 300;

fn address(number: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 3600 + number))
}

/// Answers one request with its name, after so long.
fn backend(number: u16, after: Duration) -> Result<TcpServer> {
    TcpServer::start(&[address(number)], move |connection| {
        let mut stream = &*connection.stream;
        let lines = BufReader::new(stream).lines();
        lines.map_while(Result::ok).find(String::is_empty);
        thread::sleep(after);
        write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n{number}")
    })
}

/// Asks the explicit door from this address of `lo`; tells which backend answered.
fn ask(from: [u8; 4]) -> Result<String> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&Config::EXPLICIT_DOOR.into())?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: door.test\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    Ok(answer[answer.len() - 1..].to_owned())
}

const HERE: [u8; 4] = [127, 0, 0, 1];

fn config(kind: &str) -> Config {
    let config = Config::new(&[Site::NAME, Site::DOOR]).balancing(kind);
    (1..=3).fold(config, |config, number| config.target(&number.to_string(), address(number)))
}

/// How many of the requests the slow one of three got, and the 99th percentile of all.
fn share_of_the_slow(kind: &str) -> Result<(usize, Duration)> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _backends = [backend(1, FAST)?, backend(2, FAST)?, backend(3, SLOW)?];
        let _dispa = site.dispa(&config(kind))?;
        let mut slow = 0;
        let mut times = Vec::with_capacity(REQUESTS);
        for _ in 0..REQUESTS {
            let begun = Instant::now();
            slow += usize::from(ask(HERE)? == "3");
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        Ok((slow, times[REQUESTS * 99 / 100]))
    })
}

#[test]
fn two_choices_spare_the_clients_a_slow_backend() -> Result<()> {
    let (in_turn, in_turn_p99) = share_of_the_slow("roundrobin")?;
    let (chosen, chosen_p99) = share_of_the_slow("p2c")?;
    println!(
        "the slow backend got {in_turn} of {REQUESTS} in turn, p99 {in_turn_p99:.1?}; \
         {chosen} by choice, p99 {chosen_p99:.1?}"
    );
    assert_eq!(in_turn, REQUESTS / 3);
    ensure!(chosen <= REQUESTS / 50, "the slow backend got {chosen}");
    Ok(())
}

#[test]
fn hash_keeps_each_client_with_its_backend() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _two = [backend(1, Duration::ZERO)?, backend(2, Duration::ZERO)?];
        let third = backend(3, Duration::ZERO)?;
        let dispa = site.dispa(&config("hash"))?;
        let clients = (1..=24).map(|number| [127, 0, 0, number]);
        let who = |client| Ok((client, ask(client)?));
        let first = clients.clone().map(who).collect::<Result<Vec<_>>>()?;
        for (client, answered) in &first {
            assert_eq!(&ask(*client)?, answered);
        }
        let all: std::collections::HashSet<_> = first.iter().map(|(_, who)| who).collect();
        assert_eq!(all.len(), 3, "each has some: {first:?}");

        drop(third);
        for (client, answered) in &first {
            let now = ask(*client)?;
            ensure!(now != "3" && (&now == answered || answered == "3"), "{client:?}: {now}");
        }
        dispa.stop().map(drop)
    })
}
