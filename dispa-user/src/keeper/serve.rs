//! The keeper's own side: one request after the other, until the daemon is gone.

use std::{
    ffi::OsString,
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    process::{Child, Command},
};

use nix::{
    sys::signal::{Signal as KillSignal, kill},
    unistd::Pid,
};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};

use super::{
    Lookup, TAKES_OVER,
    message::{Numbered, Reply, Request},
};
use crate::{
    kernel::{link_programs, prioritize},
    net::{SlotRoute, packet},
};

/// Signals that are for the daemon, which may be sent to its whole group.
const NOT_OURS: [SignalKind; 6] = [
    SignalKind::hangup(),
    SignalKind::interrupt(),
    SignalKind::quit(),
    SignalKind::terminate(),
    SignalKind::user_defined1(),
    SignalKind::user_defined2(),
];

/// Serves the daemon at the other end of the standard input until it is gone. `program` and `arguments` are
/// how it was started, and how its successor is; there is none where there is a `command` instead, the
/// process that it serves.
pub fn keep(
    program: Option<&Path>,
    arguments: &[OsString],
    command: Option<i32>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let context = runtime.enter();
    // A handler, unlike being ignored, is not handed down to a successor.
    let _signals: Vec<Signal> = NOT_OURS.map(signal).into_iter().collect::<io::Result<_>>()?;
    drop(context);
    let mut keeper = Desk {
        runtime,
        program: program.map(Path::to_owned),
        arguments: arguments.to_owned(),
        lookup: Lookup::own(),
        command: command.map(Pid::from_raw),
        programs: Vec::new(),
        cgroup: None,
        route: None,
        successor: None,
    };
    let served = keeper.serve();
    keeper.end();
    served
}

#[derive(Debug)]
struct Desk {
    /// For what has no other way than to wait.
    runtime: Runtime,
    program: Option<PathBuf>,
    command: Option<Pid>,
    arguments: Vec<OsString>,
    lookup: Lookup,
    programs: Vec<(u32, OwnedFd)>,
    cgroup: Option<PathBuf>,
    route: Option<SlotRoute>,
    /// Waited for when there is another, so that none stays behind as a zombie.
    successor: Option<Child>,
}

impl Desk {
    fn serve(&mut self) -> io::Result<()> {
        let socket = io::stdin();
        loop {
            let received = match packet::receive::<Numbered<Request>>(&socket) {
                // Not to be understood, but the daemon lives: what it needs of us stays.
                Err(error) if is_garbled(&error) => {
                    eprintln!("dispa: the keeper cannot read what it is asked: {error}");
                    continue;
                }
                received => received?,
            };
            let Some((Numbered { number, message }, descriptors)) = received else { return Ok(()) };
            let (reply, descriptors) = self.answer(message, descriptors);
            let descriptors: Vec<_> = descriptors.iter().map(OwnedFd::as_fd).collect();
            // Whether the daemon is gone, the next look tells.
            let _ = packet::send(&socket, &Numbered { number, message: reply }, &descriptors);
        }
    }

    /// The daemon is gone, and what it needed of us.
    fn end(&mut self) {
        let Some(route) = self.route.take() else { return };
        if let Err(error) = self.runtime.block_on(route.remove()) {
            eprintln!("dispa: the route for IPv6 slots stays; the next start removes it: {error}");
        }
    }

    fn answer(&mut self, request: Request, descriptors: Vec<OwnedFd>) -> (Reply, Vec<OwnedFd>) {
        let done = match request {
            Request::Route(port) => self.route(port).map(|()| Reply::Done),
            Request::Programs(kinds, cgroup) if self.cgroup.is_none() => {
                self.programs = kinds.into_iter().zip(descriptors).collect();
                self.cgroup = Some(cgroup);
                Ok(Reply::Done)
            }
            Request::Programs(..) => Err("it has programs already".to_owned()),
            Request::Attach => match self.attach() {
                Ok(links) => return (Reply::Done, links),
                Err(error) => Err(error),
            },
            Request::Dismiss => {
                self.dismiss();
                Ok(Reply::Done)
            }
            Request::Terminate => self.terminate().map(|()| Reply::Done),
            Request::Prioritize => descriptors
                .iter()
                .try_for_each(prioritize)
                .map(|()| Reply::Done)
                .map_err(|error| error.to_string()),
            Request::Executable(pid) => Ok(path(self.lookup.executable(pid))),
            Request::Cgroup(id, pid) => Ok(path(self.lookup.cgroup(id, pid))),
            Request::Successor => self.start_successor(descriptors).map_err(|it| it.to_string()),
        };
        (done.unwrap_or_else(Reply::Failed), Vec::new())
    }

    fn route(&mut self, port: u16) -> Result<(), String> {
        if self.route.is_some() {
            return Err("there is a route already".to_owned());
        }
        let route = self.runtime.block_on(SlotRoute::add(port));
        self.route = Some(route.map_err(|error| error.to_string())?);
        Ok(())
    }

    fn attach(&self) -> Result<Vec<OwnedFd>, String> {
        let cgroup = self.cgroup.as_ref().ok_or("it has no programs")?;
        link_programs(&self.programs, cgroup).map_err(|error| error.to_string())
    }

    fn dismiss(&mut self) {
        if let Some(mut successor) = self.successor.take() {
            // It may have ended by itself.
            let _ = successor.kill();
            let _ = successor.wait();
        }
    }

    fn terminate(&self) -> Result<(), String> {
        let command = self.command.ok_or("there is no command")?;
        kill(command, KillSignal::SIGTERM).map_err(|error| error.to_string())
    }

    fn start_successor(&mut self, descriptors: Vec<OwnedFd>) -> io::Result<Reply> {
        let line = descriptors.into_iter().next().ok_or(io::ErrorKind::InvalidInput)?;
        if let Some(mut earlier) = self.successor.take()
            && earlier.try_wait()?.is_none()
        {
            self.successor = Some(earlier);
            return Err(io::Error::other("there is a successor already"));
        }
        let program = self.program.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let child = Command::new(program)
            .args(&self.arguments)
            .env(TAKES_OVER, "1")
            // It is the main process of the unit only when it has taken over.
            .env_remove("WATCHDOG_PID")
            .stdin(line)
            .spawn()?;
        let pid = child.id();
        self.successor = Some(child);
        Ok(Reply::Started(pid))
    }
}

fn path(path: Option<String>) -> Reply {
    path.map_or(Reply::Nothing, Reply::Path)
}

/// Whether a message arrived that is none, rather than none.
fn is_garbled(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}
