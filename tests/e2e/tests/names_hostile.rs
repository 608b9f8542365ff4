//! Answers that nobody asked for teach nothing, and a resolver that is down is known to be.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use dispa_lab::{
    Asking, Lab, Responder, Wild,
    wire::{Asked, Message, Section, address_data, kind, name_data},
};

const REFUSED: &str = include_str!("../clients/refused.py");

/// Where what is forged seems to come from.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 54));

/// Each way of forging, by the first label of the name that is asked for. Its place is the number
/// of its poison.
const WAYS: [&str; 12] = [
    "id",
    "name",
    "type",
    "class",
    "port",
    "address",
    "additional",
    "authority",
    "stranger",
    "echo",
    "unasked",
    "late",
];

/// What no program must ever be caught at.
fn poison(way: &str) -> IpAddr {
    let number = WAYS.iter().position(|known| *known == way).unwrap_or(WAYS.len());
    Wild::v4(0x6600 + u16::try_from(number).unwrap_or(0))
}

/// The address that a name really has.
fn truth(way: &str) -> IpAddr {
    let number = WAYS.iter().position(|known| *known == way).unwrap_or(WAYS.len());
    Wild::v4(0x0100 + u16::try_from(number).unwrap_or(0))
}

/// A resolver that says more than it was asked for, and those who speak in its name.
struct Forger {
    other_port: UdpSocket,
    other_address: UdpSocket,
}

impl Forger {
    fn new() -> Result<Self> {
        Ok(Self {
            other_port: UdpSocket::bind((Lab::RESOLVER, 5353))?,
            other_address: UdpSocket::bind((STRANGER, 53))?,
        })
    }

    fn answer(&self, asking: &Asking) {
        let Some(asked) = Asked::read(&asking.message) else { return };
        let plain = Message::answer(&asking.message, &asked);
        let way = asked.name.split('.').next().unwrap_or_default().to_ascii_lowercase();
        let (way, over_tcp) = way.split_once('-').map_or((&*way, false), |(way, _)| (way, true));
        if asked.kind != kind::A {
            return asking.reply(&plain.into_bytes());
        }
        if over_tcp && !asking.is_stream() {
            return asking.reply(&plain.truncated().into_bytes());
        }
        let good = plain.clone().address(truth(way), 60);
        let bad = plain.address(poison(way), 60);
        for message in self.forged(way, asking, &asked, bad) {
            asking.reply(&message.into_bytes());
        }
        let (record, data) = address_data(poison(way));
        let victim = |section| {
            good.clone().record(section, "victim.wild.test", record, 60, &data).into_bytes()
        };
        asking.reply(&match way {
            "additional" => victim(Section::Additional),
            "authority" => victim(Section::Authority),
            "stranger" => victim(Section::Answer),
            _ => good.clone().into_bytes(),
        });
        if way == "late" {
            let bad = Message::answer(&asking.message, &asked).address(poison(way), 60);
            asking.reply(&bad.into_bytes());
        }
    }

    /// What comes before the answer. `bad` is a good answer, but for its address.
    fn forged(&self, way: &str, asking: &Asking, asked: &Asked, bad: Message) -> Vec<Message> {
        let instead = |id: u16, name: &str, kind: u16| {
            let query = Message::query(id, name, kind).into_bytes();
            let asked = Asked::read(&query)?;
            let (record, data) = address_data(poison(way));
            Some(Message::answer(&query, &asked).record(Section::Answer, name, record, 60, &data))
        };
        let (id, name) = (asked.id, asked.name.as_str());
        let sent = match way {
            "id" => return (1..200).map(|step| bad.clone().id(id.wrapping_add(step))).collect(),
            "name" => instead(id, "victim.wild.test", kind::A),
            "type" => instead(id, name, kind::MX),
            "class" => {
                let mut bytes = asking.message.clone();
                let end = 12 + name_data(name).len() + 4;
                bytes[end - 1] = 3;
                let (_, data) = address_data(poison(way));
                Asked::read(&bytes)
                    .map(|asked| Message::answer(&bytes, &asked).own_record(kind::A, 60, &data))
            }
            "echo" => Some(bad.flags([1, 0])),
            "unasked" => instead(id ^ 0x5555, "unasked.wild.test", kind::A),
            "port" | "address" => {
                let from = if way == "port" { &self.other_port } else { &self.other_address };
                // Refused where nobody listens; the asker is still there.
                let _ = from.send_to(&bad.into_bytes(), asking.peer);
                None
            }
            _ => None,
        };
        sent.into_iter().collect()
    }
}

/// What glibc itself takes for the answer: a query with an answer in it, and over TCP whatever comes
/// first with the right id. It then connects to the poison, or nowhere, and must do so undisturbed.
fn is_believed(name: &str) -> bool {
    let believed = ["echo.", "echo-tcp.", "name-tcp.", "type-tcp.", "class-tcp."];
    believed.iter().any(|label| name.starts_with(label))
}

#[test]
fn what_nobody_asked_for_is_not_learned() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        lab.address(STRANGER)?;
        let forger = Forger::new()?;
        let resolver = SocketAddr::new(Lab::RESOLVER, 53);
        let _responder = Responder::start(&[resolver], move |asking| forger.answer(asking))?;
        let dispa = wild.dispa()?;
        let mut caught = 0;
        for way in WAYS {
            for name in [format!("{way}.wild.test"), format!("{way}-tcp.wild.test")] {
                let body = wild.curl(&[&format!("http://{name}/")]);
                if is_believed(&name) {
                    assert_ne!(body.ok().as_deref(), Some("backend"), "{name}");
                } else {
                    // The program gets the truth, as without dispa, and is caught there.
                    assert_eq!(body.with_context(|| name.clone())?, "backend", "{name}");
                    caught += 1;
                }
                for host in ["victim.wild.test", "unasked.wild.test", &name] {
                    let body = wild.curl_at(host, poison(way))?;
                    assert_eq!(body, "original", "{name}: {host} at the poison");
                }
            }
        }
        let learned = dispa.records("learned");
        for record in &learned {
            let address: IpAddr = record.text("address").parse()?;
            assert!(WAYS.iter().all(|way| poison(way) != address), "{record:?}");
        }
        assert_eq!(learned.len(), WAYS.len(), "each truth, once for both protocols");
        let stopped = dispa.stop()?.summary;
        println!("{} names, {} addresses learned; {stopped:?}", 2 * WAYS.len(), learned.len());
        // Besides these and the questions over TCP, one for each way: not one to a poison.
        caught += u64::try_from(WAYS.len())?;
        assert_eq!(stopped.count("redirected_v4"), Some(caught));
        Ok(())
    })
}

#[test]
fn a_resolver_that_is_down_refuses_at_the_second_try() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        lab.address(STRANGER)?;
        let six: IpAddr = "2001:db8:53::53".parse()?;
        lab.address(six)?;
        let dispa = wild.dispa()?;
        // One for each kind of socket: what is known of a resolver is known for all.
        let four = STRANGER.to_string();
        for (address, kind) in [
            (four.as_str(), "connected"),
            ("127.0.0.53", "unconnected"),
            ("2001:db8:53::53", "connected"),
        ] {
            let tries = wild.client("python3", &["-c", REFUSED, address, "4", kind])?;
            println!("{address} {kind}: {}", tries.replace('\n', ", "));
            let tries: Vec<_> = tries.lines().collect();
            assert_eq!(tries[1..], ["ConnectionRefusedError"; 3], "{address} {kind}");
        }
        dispa.stop().map(drop)
    })
}

#[test]
fn the_next_nameserver_is_asked_where_the_first_is_down() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        lab.address(STRANGER)?;
        wild.resolvers(&[STRANGER, Lab::RESOLVER])?;
        let responder = |asking: &Asking| {
            if let Some(asked) = Asked::read(&asking.message) {
                let answer = Message::answer(&asking.message, &asked);
                let found = asked.kind == kind::A;
                let answer = if found { answer.address(Wild::v4(1), 60) } else { answer };
                asking.reply(&answer.into_bytes());
            }
        };
        let _responder = Responder::start(&[SocketAddr::new(Lab::RESOLVER, 53)], responder)?;
        let dispa = wild.dispa()?;
        for number in 1..=3 {
            let begun = Instant::now();
            let body = wild.curl(&[&format!("http://n{number}.wild.test/")])?;
            println!("question {number}: {body} after {:?}", begun.elapsed());
            assert_eq!(body, "backend");
            // At first the resolver's own patience counts: two seconds in the lab.
            let most = if number == 1 { 10 } else { 2 };
            assert!(begun.elapsed() < Duration::from_secs(most), "{:?}", begun.elapsed());
        }
        dispa.stop().map(drop)
    })
}
