//! Unmodified clients: programs that know nothing of a proxy, given a plain URL.

use std::{process::Command, time::Duration};

use anyhow::Result;

use crate::{cgroup::Cgroup, lab::Lab, process::run};

/// A cold Java takes seconds while other tests share the machine.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A way to fetch a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// `curl`.
    Curl,
    /// `wget`.
    Wget,
    /// Python's `http.client`.
    Python,
    /// Node's `fetch`.
    Node,
    /// Java's `HttpClient`, which also offers an upgrade to HTTP/2.
    Java,
}

impl Client {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Curl, Self::Wget, Self::Python, Self::Node, Self::Java];

    /// Fetches `url` from inside `cgroup`; returns the body, without its last line end.
    pub fn fetch(self, lab: &Lab, cgroup: &Cgroup, url: &str) -> Result<String> {
        run(self.command(lab, cgroup)?.arg(url), TIMEOUT)?.success()
    }

    /// The client's command inside `cgroup`, to which the URL is still to be added.
    pub fn command(self, lab: &Lab, cgroup: &Cgroup) -> Result<Command> {
        let (program, arguments) = match self {
            Self::Curl => ("curl", ["-sSf", "--max-time", "30"].map(str::to_owned).to_vec()),
            Self::Wget => ("wget", ["-nv", "-T30", "-O-"].map(str::to_owned).to_vec()),
            Self::Python => ("python3", vec!["-c".to_owned(), FETCH_PY.to_owned()]),
            Self::Node => {
                ("node", ["--input-type=module", "-e", FETCH_MJS].map(str::to_owned).to_vec())
            }
            Self::Java => {
                let source = lab.file("Fetch.java", FETCH_JAVA)?.display().to_string();
                // The virtual machine's own start is what costs; the client is as it is shipped.
                ("java", vec!["-XX:TieredStopAtLevel=1".to_owned(), source])
            }
        };
        let mut command = cgroup.command(program);
        command.args(arguments);
        Ok(command)
    }
}

const FETCH_PY: &str = include_str!("../clients/fetch.py");
const FETCH_MJS: &str = include_str!("../clients/fetch.mjs");
const FETCH_JAVA: &str = include_str!("../clients/Fetch.java");

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use super::Client;
    use crate::{cgroup::Cgroup, dns::DnsServer, http::HttpServer, lab::Lab};

    #[test]
    fn every_client_fetches_by_name_over_ipv4_and_ipv6() -> Result<()> {
        Lab::run(|lab| {
            let (dns, cgroup) = (DnsServer::start()?, Cgroup::new()?);
            for (name, address) in [("four.test", "198.51.100.10"), ("six.test", "2001:db8:10::10")]
            {
                let address: std::net::IpAddr = address.parse()?;
                lab.address(address)?;
                dns.set(name, &[address], 60);
                let server = HttpServer::start(name, &[(address, 80).into()])?;
                for client in Client::ALL {
                    let body = client.fetch(lab, &cgroup, &format!("http://{name}/path"))?;
                    assert_eq!(body, name, "{client:?}");
                }
                assert!(server.seen().iter().all(|seen| seen.host == name));
                assert_eq!(server.requests(), Client::ALL.len());
            }
            Ok(())
        })
    }
}
