//! Whatever a program asks and a resolver answers, both get the same bytes as without dispa.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use dispa_lab::{
    Asking, Lab, Responder, Wild, run,
    wire::{Asked, Message, Section, kind, name_data},
};

const COUNT: &str = "10000";

#[test]
fn ten_thousand_questions_get_the_same_bytes_for_an_answer() -> Result<()> {
    Lab::run(|lab| {
        let wild = Wild::new(lab)?;
        let six: IpAddr = "2001:db8:53::53".parse()?;
        lab.address(six)?;
        let stub: SocketAddr = "127.0.0.53:53".parse()?;
        let resolvers = [SocketAddr::new(Lab::RESOLVER, 53), stub, SocketAddr::new(six, 53)];
        let _responder = Responder::start(&resolvers, answer)?;
        let ask = |command: &mut Command, file: &Path| -> Result<(String, Vec<String>)> {
            command.arg(file).arg(COUNT).args(resolvers.iter().map(SocketAddr::to_string));
            let tally = run(command, Duration::from_mins(3))?.success()?;
            let mut lines: Vec<_> =
                std::fs::read_to_string(file)?.lines().map(str::to_owned).collect();
            lines.sort();
            Ok((tally, lines))
        };
        let program = env!("CARGO_BIN_EXE_dns-questions");
        let (direct, truth) =
            ask(&mut Command::new(program), &lab.directory().join("direct")).context("direct")?;
        println!("direct:  {direct}, {} answers", truth.len());
        assert!(direct.contains(" lost=0 ") && direct.ends_with(" wrong_source=0"), "{direct}");
        // The comparison is worth nothing where the same question is answered in two ways.
        let (_, again) = ask(&mut Command::new(program), &lab.directory().join("again"))?;
        assert!(again == truth, "the responder is not deterministic");

        let dispa = wild.dispa()?;
        let (relayed, lines) =
            ask(&mut wild.cgroup.command(program), &lab.directory().join("relayed"))?;
        println!("relayed: {relayed}, {} answers", lines.len());
        assert_eq!(relayed, direct);
        let different = truth.iter().zip(&lines).find(|(truth, line)| truth != line);
        assert_eq!(different, None, "the first of the differences");
        assert_eq!(lines.len(), truth.len());

        let learned = dispa.records("learned").len();
        let stopped = dispa.stop()?.summary;
        println!("{learned} addresses learned; {stopped:?}");
        assert!(learned > 500, "the questions for intercepted names taught {learned} addresses");
        assert!(stopped.count("dns_v4") > Some(100), "{stopped:?}");
        assert!(stopped.count("dns_v6") > Some(100), "{stopped:?}");
        Ok(())
    })
}

/// Answers by the question alone: the same bytes whenever it is asked, sooner or later.
fn answer(asking: &Asking) {
    let chance = chance_of(&asking.message);
    let reply = reply_to(&asking.message, asking.is_stream(), chance);
    if chance.is_multiple_of(5) {
        // Later than what is asked afterwards.
        let asking = asking.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_micros(500 + chance % 3000));
            asking.reply(&reply);
        });
    } else {
        asking.reply(&reply);
    }
}

/// A number that depends on all the bytes and on nothing else.
fn chance_of(message: &[u8]) -> u64 {
    // Its keys are always the same.
    let mut hasher = DefaultHasher::new();
    message.hash(&mut hasher);
    hasher.finish()
}

fn reply_to(question: &[u8], is_stream: bool, chance: u64) -> Vec<u8> {
    let Some(asked) = Asked::read(question) else { return junk(question, chance, 300) };
    let name = asked.name.to_ascii_lowercase();
    let (word, _) = name.split_once('-').unwrap_or((&name, ""));
    let answer = Message::answer(question, &asked);
    let whole = match word {
        "junk" => return junk(question, chance, 600),
        "missing" => answer.code(3).raw_record(
            Section::Authority,
            b"\xc0\x0c",
            kind::SOA,
            1,
            60,
            &soa(chance),
        ),
        "loop" => looping(answer, chance),
        "big" => texts(answer, chance, 1 + chance % 20),
        "huge" => texts(answer, chance, 200),
        "alias" => aliased(answer, chance),
        _ => common(answer, &asked, chance),
    };
    let whole = if question.len().is_multiple_of(2) { whole.edns(1232, true) } else { whole };
    let mut bytes = whole.into_bytes();
    if chance.is_multiple_of(41) {
        // Longer than its records.
        bytes.extend_from_slice(b"and more");
    }
    let fits = is_stream || bytes.len() <= asked.datagram_limit(question).min(60_000);
    if fits { bytes } else { Message::answer(question, &asked).truncated().into_bytes() }
}

/// The id, where there was one, and nothing of sense.
fn junk(question: &[u8], chance: u64, most: u64) -> Vec<u8> {
    let id = question.first_chunk::<2>().copied().unwrap_or_default();
    let rest = (1..chance % most).map(|at| chance.rotate_left(u32::try_from(at).unwrap_or(0)));
    id.into_iter().chain(rest.map(|word| word.to_le_bytes()[0])).collect()
}

fn soa(chance: u64) -> Vec<u8> {
    [name_data("ns.test"), name_data("admin.test"), chance.to_be_bytes().repeat(3)[..20].to_vec()]
        .concat()
}

/// Names that point at themselves and at each other, beyond the end and into the header.
fn looping(answer: Message, chance: u64) -> Message {
    let length = u8::try_from(answer.clone().into_bytes().len()).unwrap_or(u8::MAX);
    let owner = [[0xc0, length], [0xff, 0xff], [0xc0, 0], [0xc0, length + 12]];
    let owner = owner[usize::try_from(chance % 4).unwrap_or(0)];
    answer.raw_record(Section::Answer, &owner, kind::A, 1, 60, &[198, 18, 77, 7]).raw_record(
        Section::Answer,
        &owner,
        kind::CNAME,
        1,
        60,
        &owner,
    )
}

fn texts(answer: Message, chance: u64, count: u64) -> Message {
    (0..count).fold(answer, |answer, number| {
        let text = format!("{number} {chance}").repeat(30);
        let text = &text.as_bytes()[..200];
        answer.own_record(kind::TXT, 60, &[&[200], text].concat())
    })
}

fn aliased(answer: Message, chance: u64) -> Message {
    let address = address(chance);
    answer
        .own_record(kind::CNAME, 300, &name_data("first.other.test"))
        .record(Section::Answer, "first.other.test", kind::CNAME, 20, &name_data("b.other.test"))
        .record(Section::Answer, "b.other.test", kind::A, 0, &address.octets())
        .record(Section::Additional, "c.other.test", kind::A, 10, &address.octets())
}

fn address(chance: u64) -> Ipv4Addr {
    let [low, high, ..] = chance.to_le_bytes();
    Ipv4Addr::new(198, 18, high, low)
}

/// What resolvers answer all day.
fn common(answer: Message, asked: &Asked, chance: u64) -> Message {
    let ttl = u32::try_from(chance % 4000).unwrap_or(0);
    let v4 = address(chance).octets();
    let v6 = [&[0x20, 1, 0xd, 0xb8, 0, 0x18][..], &[0; 8], &v4[2..]].concat();
    let host = name_data("host.other.test");
    let mail = [&10_u16.to_be_bytes()[..], &host].concat();
    match asked.kind {
        kind::A => (0..=chance % 4).fold(answer, |answer, _| answer.own_record(kind::A, ttl, &v4)),
        kind::AAAA if chance.is_multiple_of(3) => answer,
        kind::AAAA => answer.own_record(kind::AAAA, ttl, &v6),
        kind::MX => answer.own_record(kind::MX, ttl, &mail).own_record(kind::MX, ttl, &mail),
        kind::TXT => texts(answer, chance, 1),
        kind::NS | kind::PTR | kind::CNAME => answer.own_record(asked.kind, ttl, &host),
        kind::SOA => answer.own_record(kind::SOA, ttl, &soa(chance)),
        kind::SRV => {
            let data = [&[0, 1, 0, 2, 0, 80][..], &host].concat();
            answer.own_record(kind::SRV, ttl, &data)
        }
        kind::HTTPS => {
            let hints = [&[0, 1, 0, 0, 4, 0, 4][..], &v4].concat();
            answer.own_record(kind::HTTPS, ttl, &hints)
        }
        kind::ANY => answer
            .own_record(kind::A, ttl, &v4)
            .own_record(kind::AAAA, ttl, &v6)
            .own_record(kind::MX, ttl, &mail),
        other => answer.own_record(other, ttl, &chance.to_be_bytes()),
    }
}
