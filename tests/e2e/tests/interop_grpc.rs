//! gRPC: streams both ways, and statuses that come in trailers.

use anyhow::Result;
use dispa_e2e::{Script, Server, Site};
use dispa_lab::Lab;

const SERVICE: Script = Script::Python(include_str!("../servers/grpc_echo.py"));
const CLIENT: Script = Script::Python(include_str!("../clients/with_grpc.py"));

#[test]
fn every_kind_of_call_works_and_fails_as_it_does_directly() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let service = Server::script(SERVICE, Server::ORIGIN.port(), &[])?;
        let config = Site::config_of(Server::ORIGIN).target_keys("protocol = \"http2\"");
        let _dispa = site.dispa(&config)?;
        let expected = [
            "unary hello hello bye True",
            "empty b''",
            "big True",
            "down 499500",
            "up 1000000",
            "both 0ba 94ba []",
            "at once 200",
            "failed NOT_FOUND nothing here: 100 % ü lab",
            "failed late first DATA_LOSS",
            "unknown UNIMPLEMENTED",
            "deadline DEADLINE_EXCEEDED True",
            "cancelled yes",
            "and on still",
        ];
        let direct = Server::ORIGIN.to_string();
        for (round, address) in (1..).zip([&direct, "door.test:8080", "example.com:80"]) {
            let lines = site.script(CLIENT, &[address])?;
            assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "{address}");
            // The service hears of it when its caller waits no longer.
            service.lines_of("slow ended, deadline", round)?;
            service.lines_of("slow ended, cancelled", round)?;
        }
        assert_eq!(site.original.requests(), 0);
        Ok(())
    })
}
