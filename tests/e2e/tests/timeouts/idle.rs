//! `targets.connections.idle_timeout`.

use std::time::Duration;

use anyhow::{Result, ensure};
use dispa_e2e::{Cells, Clock, Stage, http1::Client, http2};
use dispa_lab::{Lab, until};

use crate::backend;

const SOON: Duration = Duration::from_secs(10);
const KEYS: &str = "[targets.connections]\nidle_timeout = 1";

#[test]
fn an_idle_connection_to_a_backend() -> Result<()> {
    Lab::run(|lab| {
        let backend = backend::start()?;
        let stage = Stage::start(lab, &Stage::config().sections(KEYS))?;
        let base = stage.descriptors()?;
        let mut client = Client::connect(Stage::DOOR)?;
        ensure!(client.get(Stage::HOST, "/")?.status == 200);
        let clock = Clock::start();
        until(SOON, "the end of the connection", || backend.open().is_empty().then_some(()))?;
        clock.has_run(1)?;
        ensure!(
            client.get(Stage::HOST, "/")?.status == 200,
            "the client's connection ended as well"
        );
        drop(client);
        stage.settles_at(|| base)
    })
}

#[test]
fn an_idle_http2_connection_to_a_backend() -> Result<()> {
    Lab::run(|lab| {
        let settings = h2::server::Builder::new();
        let backend = http2::Backend::start(Stage::BACKEND, &settings, |exchange| {
            let path = exchange.path().to_owned();
            if path == "/late" {
                std::thread::sleep(Duration::from_secs(2));
            }
            exchange.answer(200, path)
        })?;
        let config = Stage::config().target_keys("protocol = \"http2\"").sections(KEYS);
        let _stage = Stage::start(lab, &config)?;
        let mut cells = Cells::new();
        cells.run("while a request is under way", || {
            let answer = Client::connect(Stage::DOOR)?.get(Stage::HOST, "/late")?;
            ensure!(answer.text() == "/late", "{answer:?}");
            Ok(())
        });
        let clock = Clock::start();
        cells.run("after it", || {
            until(SOON, "the end of the connection", || (backend.open() == 0).then_some(()))?;
            clock.has_run(1)
        });
        cells.verdict()
    })
}
