//! Another network namespace, joined to the lab by a cable: what a container is.

use std::{ffi::OsStr, process::Command, time::Duration};

use anyhow::Result;

use crate::{cgroup::Cgroup, lab::ip, process::Process};

const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A namespace that reaches the lab's addresses through a veth pair. It shares the lab's mounts.
#[derive(Debug)]
pub struct Neighbour {
    /// Keeps the namespace alive.
    holder: Process,
}

impl Neighbour {
    /// Makes the only neighbour of the lab.
    pub fn new() -> Result<Self> {
        let mut holder = Command::new("unshare");
        holder.args(["--net", "sh", "-c", "echo there; exec sleep infinity"]);
        let neighbour = Self { holder: Process::start(&mut holder)? };
        neighbour.holder.wait_for_line(START_TIMEOUT, |line| line.text == "there")?;
        neighbour.connect()?;
        Ok(neighbour)
    }

    /// A command that will run in the neighbour's namespace and in `cgroup`.
    #[must_use]
    pub fn command(&self, cgroup: &Cgroup, program: impl AsRef<OsStr>) -> Command {
        let mut command = cgroup.command("nsenter");
        command.arg(self.namespace()).arg(program);
        command
    }

    fn namespace(&self) -> String {
        format!("--net=/proc/{}/ns/net", self.holder.id())
    }

    fn connect(&self) -> Result<()> {
        ip(&format!("link add near type veth peer name far netns {}", self.holder.id()))?;
        ip("addr add 192.0.2.1/30 dev near")?;
        ip("link set near up")?;
        for arguments in [
            "link set lo up",
            "addr add 192.0.2.2/30 dev far",
            "link set far up",
            "route add default via 192.0.2.1",
        ] {
            self.ip(arguments)?;
        }
        Ok(())
    }

    fn ip(&self, arguments: &str) -> Result<()> {
        let mut command = Command::new("nsenter");
        command.arg(self.namespace()).arg("ip").args(arguments.split(' '));
        crate::process::run(&mut command, START_TIMEOUT)?.success().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use anyhow::Result;

    use super::Neighbour;
    use crate::{cgroup::Cgroup, http::HttpServer, lab::Lab, process::run};

    #[test]
    fn it_is_elsewhere_and_reaches_the_labs_servers() -> Result<()> {
        Lab::run(|lab| {
            let address: std::net::IpAddr = "198.51.100.10".parse()?;
            lab.address(address)?;
            let server = HttpServer::start("one", &[(address, 80).into()])?;
            let (neighbour, cgroup) = (Neighbour::new()?, Cgroup::new()?);
            let inside = |program: &str, argument: &str| {
                let mut command = neighbour.command(&cgroup, program);
                run(command.arg(argument), Duration::from_secs(20))?.success()
            };
            let ours = fs::read_link("/proc/thread-self/ns/net")?.display().to_string();
            assert_ne!(inside("readlink", "/proc/self/ns/net")?, ours);
            assert!(inside("curl", "http://198.51.100.10/")?.ends_with("one"));
            let peers: Vec<_> = server.seen().iter().map(|seen| seen.peer.ip()).collect();
            assert_eq!(peers, ["192.0.2.2".parse::<std::net::IpAddr>()?]);
            Ok(())
        })
    }
}
