//! The client and the backend as they see one another.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use dispa_lab::{Lab, until};

use super::{Backend, Client, Exchange};

const SOON: Duration = Duration::from_secs(10);

fn address() -> Result<SocketAddr> {
    Ok("127.0.0.1:80".parse()?)
}

fn act(exchange: &mut Exchange<'_>) -> io::Result<()> {
    match exchange.head.word(1).to_owned().as_str() {
        "/half" => {
            exchange.read(2)?;
            let half = exchange.body().bytes.clone();
            exchange.answer("200 OK", half)
        }
        "/fin" => {
            exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf")?;
            exchange.finish()
        }
        "/rst" => {
            exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf")?;
            exchange.reset()
        }
        "/silent" => exchange.until_gone(),
        "/interim" => {
            exchange.send("HTTP/1.1 103 Early\r\n\r\n")?;
            exchange.answer("200 OK", "")
        }
        path => exchange.answer("200 OK", path),
    }
}

fn with_backend(test: impl FnOnce(&Backend) -> Result<()> + Send) -> Result<()> {
    Lab::run(|_| test(&Backend::start(address()?, act)?))
}

#[test]
fn what_a_handler_leaves_of_a_body_is_not_the_next_request() -> Result<()> {
    with_backend(|backend| {
        let mut client = Client::connect(address()?)?;
        client.send("POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12")?;
        ensure!(client.answer()?.text() == "12");
        client.send("345")?;
        ensure!(client.get("a", "/next")?.text() == "/next");
        client.send("garbage\r\n\r\nPOST /")?;
        client.ended()?;
        let orders: Vec<_> = backend.seen().iter().map(|it| (it.connection, it.order)).collect();
        ensure!(orders == [(1, 1), (1, 2)] && backend.seen_for("/next").len() == 1);
        ensure!(backend.faults().len() == 1, "{:?}", backend.faults());
        Ok(())
    })
}

#[test]
fn what_a_backend_breaks_off_is_seen_to_be_cut() -> Result<()> {
    with_backend(|backend| {
        for path in ["/fin", "/rst"] {
            let mut client = Client::connect(address()?)?;
            let answer = client.get("a", path)?;
            ensure!(answer.text() == "half" && !answer.whole, "{path}: {answer:?}");
            client.ended()?;
        }
        until(SOON, "no open connection", || backend.open().is_empty().then_some(()))?;
        ensure!(backend.accepted() == 2);
        Ok(())
    })
}

#[test]
fn a_backend_sees_its_client_go() -> Result<()> {
    with_backend(|backend| {
        for number in 1..=2 {
            let mut client = Client::connect(address()?)?;
            client.send("GET /silent HTTP/1.1\r\n\r\n")?;
            until(SOON, "the request", || (backend.seen().len() == number).then_some(()))?;
            ensure!(!client.hears_within(Duration::from_millis(50))?);
            if number == 1 {
                client.reset()?;
            } else {
                drop(client);
            }
            until(SOON, "its end", || backend.open().is_empty().then_some(()))?;
        }
        ensure!(backend.most_open() == 1);
        Ok(())
    })
}

#[test]
fn a_client_reads_heads_one_by_one_and_stops_where_it_is_stuck() -> Result<()> {
    with_backend(|_| {
        let mut client = Client::connect_from("127.0.0.9".parse()?, address()?)?;
        ensure!(client.address()?.ip().to_string() == "127.0.0.9");
        client.send("GET /interim HTTP/1.1\r\n\r\n")?;
        ensure!(client.head()?.status() == 103);
        ensure!(client.answer()?.status == 200);
        client.send("POST /half HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n")?;
        let sent = client.fill(&vec![b'x'; 100_000_000])?;
        ensure!(client.hears_within(SOON)? && client.answer()?.text() == "xx");
        ensure!(sent == 100_000_000, "the backend reads on");
        Ok(())
    })
}
