//! Servers that are programs of their own.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use dispa_lab::{Lab, Line, Process, until};
use nix::sys::signal::Signal;

use crate::Script;

/// What a cold start takes at most, on a machine busy with other tests.
const SOON: Duration = Duration::from_secs(30);

/// Node's own HTTP server and ws.
const ORIGIN: Script = Script::Node(include_str!("../servers/origin.mjs"));

/// One process in the foreground that keeps its files where it is told to.
const NGINX: &str = "
daemon off; master_process off; pid nginx.pid; error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    SERVERS
}";

/// A running server; dropping it ends it.
#[derive(Debug)]
pub struct Server(Process);

impl Server {
    /// Starts it, and waits until it accepts connections at `address`.
    pub fn start(command: &mut Command, address: SocketAddr) -> Result<Self> {
        let process = Process::start(command)?;
        until(SOON, "a server's listener", || TcpStream::connect(address).ok())
            .with_context(|| format!("{:?}", process.lines()))?;
        Ok(Self(process))
    }

    /// Where [`Server::origin`] listens.
    pub const ORIGIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4001);

    /// Starts the origin that most clients ask; `servers/origin.mjs` tells what it answers.
    pub fn origin() -> Result<Self> {
        Self::script(ORIGIN, Self::ORIGIN.port(), &[])
    }

    /// Starts it with HTTP/2 for its only language.
    pub fn h2_origin() -> Result<Self> {
        Self::script(ORIGIN, Self::ORIGIN.port(), &["h2"])
    }

    /// Starts a script that takes its port before other `arguments`, listens on 127.0.0.1 and says
    /// `listening`.
    pub fn script(script: Script, port: u16, arguments: &[&str]) -> Result<Self> {
        let mut command = script.command()?;
        let process = Process::start(command.arg(port.to_string()).args(arguments))?;
        process.wait_for_line(SOON, |line| line.text == "listening")?;
        Ok(Self(process))
    }

    /// Starts nginx with these `server` blocks, the first of which listens on `address`.
    pub fn nginx(lab: &Lab, servers: &str, address: SocketAddr) -> Result<Self> {
        let directory = lab.directory().display().to_string();
        lab.file("nginx.conf", &NGINX.replace("SERVERS", servers))?;
        let mut command = Command::new("nginx");
        command.args(["-p", &directory, "-c", "nginx.conf", "-e", "stderr"]);
        Self::start(&mut command, address)
    }

    /// Starts `HAProxy` in the foreground with this configuration, which listens on `address`.
    pub fn haproxy(lab: &Lab, text: &str, address: SocketAddr) -> Result<Self> {
        let file = lab.file("haproxy.cfg", text)?;
        let mut command = Command::new("haproxy");
        Self::start(command.arg("-db").arg("-f").arg(file), address)
    }

    /// Waits for this line of its output, past ones included.
    pub fn line(&self, text: &str) -> Result<Line> {
        self.0.wait_for_line(SOON, |line| line.text == text)
    }

    /// How many lines of its output are this one so far.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        self.0.lines().iter().filter(|line| line.text == text).count()
    }

    /// How many requests it has told of, each in a line that begins with `request`.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.0.lines().iter().filter(|line| line.text.starts_with("request ")).count()
    }

    /// Waits until this line has been written so many times.
    pub fn lines_of(&self, text: &str, count: usize) -> Result<()> {
        let what = format!("{text:?}, {count} times");
        until(SOON, &what, || (self.count(text) >= count).then_some(()))
    }

    /// Writes `text` to its standard input.
    pub fn write(&mut self, text: &str) -> Result<()> {
        self.0.write(text)
    }

    /// Stops it (SIGSTOP) until what is returned is dropped: the kernel goes on accepting connections
    /// for it, and nothing is answered.
    pub fn pause(&self) -> Result<Paused<'_>> {
        self.0.signal(Signal::SIGSTOP)?;
        Ok(Paused(&self.0))
    }
}

/// A server that is stopped; dropping this continues it.
#[derive(Debug)]
pub struct Paused<'a>(&'a Process);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        // Fails where it has ended, and then there is nothing to continue.
        let _ = self.0.signal(Signal::SIGCONT);
    }
}
