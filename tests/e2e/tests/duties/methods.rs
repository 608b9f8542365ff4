//! Max-Forwards, HEAD.

use anyhow::{Result, ensure};
use dispa_e2e::{Cells, Stage, http1::Client, http2};
use http::Method;

use crate::recorder::Recorder;

fn limited(method: &str, count: &str) -> String {
    Recorder::request(method, "/", &format!("Max-Forwards: {count}\r\n"))
}

#[test]
fn max_forwards_is_obeyed() -> Result<()> {
    Recorder::run(&Stage::config(), |recorder| {
        let mut cells = Cells::new();
        for (method, count, status) in [
            ("OPTIONS", "0", 204),
            ("TRACE", "0", 405),
            ("OPTIONS", "many", 400),
            ("OPTIONS", "-1", 400),
            ("TRACE", "1.5", 400),
            ("TRACE", "", 400),
        ] {
            cells.run(format!("{method} {count:?}"), || {
                let answer = recorder.answer(limited(method, count))?;
                ensure!(answer.status == status && answer.whole, "{answer:?}");
                ensure!(recorder.head().is_none(), "the backend was asked");
                ensure!(status == 400 || answer.head.has("allow"), "no Allow: {answer:?}");
                Ok(())
            });
        }
        for (method, count, left) in
            [("OPTIONS", "1", "0"), ("TRACE", "10", "9"), ("GET", "0", "0"), ("GET", "x", "x")]
        {
            cells.run(format!("{method} {count:?}"), || {
                let head = recorder.seen(limited(method, count))?;
                ensure!(head.list("max-forwards") == left, "{head:?}");
                Ok(())
            });
        }
        cells.verdict()
    })
}

#[test]
fn an_answer_to_head_has_a_length_and_no_body() -> Result<()> {
    Recorder::run(&Stage::config(), |recorder| {
        recorder.reply("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
        let mut client = Client::connect(Stage::DOOR)?;
        for _ in 0..2 {
            client.send(Recorder::request("HEAD", "/", ""))?;
            let answer = client.answer_to("HEAD")?;
            ensure!(answer.status == 200, "{answer:?}");
            ensure!(answer.head.list("content-length") == "1000", "{answer:?}");
        }
        recorder.reply("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext");
        ensure!(client.get(Stage::HOST, "/")?.text() == "next");

        recorder.reply("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        client.send(Recorder::request("HEAD", "/", ""))?;
        ensure!(client.answer_to("HEAD")?.status == 200);
        recorder.reply("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
        let client2 = http2::Client::connect(Stage::DOOR)?;
        let request = http2::Request::new(Method::HEAD, Stage::HOST, "/")?;
        let answer = client2.open(request, true)?.answer()?;
        ensure!(answer.list("content-length") == "1000" && answer.body.is_empty(), "{answer:?}");
        ensure!(answer.cut.is_none(), "{answer:?}");
        recorder.reply("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext");
        ensure!(client.get(Stage::HOST, "/")?.text() == "next");
        Ok(())
    })
}
