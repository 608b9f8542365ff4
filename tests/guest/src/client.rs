//! A client that knows nothing of the daemon: one request on one connection.

use std::{
    ffi::OsString,
    io::{Read as _, Write as _},
    net::{SocketAddr, SocketAddrV4, SocketAddrV6, TcpStream},
    os::fd::AsRawFd as _,
    process::{Command, Stdio},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context as _, Error, Result, bail, ensure};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, connect, setsockopt, socket,
    sockopt,
};

use crate::{cgroup, world};

/// A redirected connection that nobody serves stays silent: long beside any answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a client comes to its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// To the site, over IPv4.
    Ipv4,
    /// To the site, over IPv6.
    Ipv6,
    /// To the site's IPv4 address, on an IPv6 socket.
    Mapped,
    /// To the site, on a socket that does not speak IPv4 (`IPV6_V6ONLY`).
    OnlyV6,
    /// To the site, over IPv4, on a socket bound to a device (`SO_BINDTODEVICE`).
    BoundDevice,
    /// To the daemon's explicit door.
    Door,
}

impl Route {
    const ALL: [Self; 6] =
        [Self::Ipv4, Self::Ipv6, Self::Mapped, Self::OnlyV6, Self::BoundDevice, Self::Door];

    /// Its name as an argument.
    fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Mapped => "mapped",
            Self::OnlyV6 => "only-v6",
            Self::BoundDevice => "bound-device",
            Self::Door => "door",
        }
    }

    /// The address asked for, which is also the one the client must see as its peer's.
    pub(crate) fn address(self) -> SocketAddr {
        match self {
            Self::Ipv4 | Self::BoundDevice => (world::SITE4, world::HTTP).into(),
            Self::Ipv6 | Self::OnlyV6 => (world::SITE6, world::HTTP).into(),
            Self::Mapped => (world::SITE4.to_ipv6_mapped(), world::HTTP).into(),
            Self::Door => world::local(world::EXPLICIT_PORT),
        }
    }

    fn connect(self) -> Result<TcpStream> {
        let stream = match self.address() {
            SocketAddr::V6(address) if self == Self::OnlyV6 => connect_only_v6(address)?,
            SocketAddr::V4(address) if self == Self::BoundDevice => connect_bound(address)?,
            address => TcpStream::connect(address)?,
        };
        Ok(stream)
    }
}

impl FromStr for Route {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let route = Self::ALL.into_iter().find(|route| route.name() == name);
        route.with_context(|| format!("there is no route {name:?}"))
    }
}

fn connect_only_v6(address: SocketAddrV6) -> Result<TcpStream> {
    let socket = socket(AddressFamily::Inet6, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    connect(socket.as_raw_fd(), &SockaddrIn6::from(address))?;
    Ok(TcpStream::from(socket))
}

/// Bound to the device the site's address is on, so that it is reached without the daemon too.
fn connect_bound(address: SocketAddrV4) -> Result<TcpStream> {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::BindToDevice, &OsString::from("lo"))?;
    connect(socket.as_raw_fd(), &SockaddrIn::from(address))?;
    Ok(TcpStream::from(socket))
}

/// The child's part: asks, and prints the peer's address and the response.
pub(crate) fn ask(route: Route, host: &str) -> Result<()> {
    let mut stream = route.connect().context("cannot connect")?;
    let peer = stream.peer_addr()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response).context("no response")?;
    println!("{peer}\n{response}");
    Ok(())
}

/// What a client got.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The client's process id.
    pub(crate) process: u32,
    /// What the client took for its peer.
    pub(crate) peer: SocketAddr,
    /// The response's status.
    pub(crate) status: u16,
    /// The response's body.
    pub(crate) body: String,
}

/// Runs a client in the clients' cgroup.
pub(crate) fn run(route: Route, host: &str) -> Result<Answer> {
    answer(arguments(&mut cgroup::own_command(cgroup::CLIENTS), route, host))
}

/// Runs a client in the clients' cgroup, but in a network namespace of its own.
pub(crate) fn run_elsewhere(route: Route, host: &str) -> Result<Answer> {
    let mut command = cgroup::own_command(cgroup::CLIENTS);
    answer(command.args(["elsewhere", route.name(), host]))
}

/// Adds the arguments that make this binary a client.
pub(crate) fn arguments<'a>(command: &'a mut Command, route: Route, host: &str) -> &'a mut Command {
    command.args(["ask", route.name(), host])
}

/// Runs a command that ends as a client does.
pub(crate) fn answer(command: &mut Command) -> Result<Answer> {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let process = child.id();
    let output = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the client failed: {}", errors.trim());
    parse(process, &String::from_utf8(output.stdout)?)
}

fn parse(process: u32, text: &str) -> Result<Answer> {
    let (peer, response) = text.split_once('\n').context("the client printed nothing")?;
    let Some((head, body)) = response.split_once("\r\n\r\n") else {
        bail!("the client got no response: {response:?}");
    };
    let status = head.split(' ').nth(1).context("a response without a status")?;
    let (peer, status) = (peer.parse()?, status.parse()?);
    Ok(Answer { process, peer, status, body: body.trim_end().to_owned() })
}
