//! A small process beside the daemon that keeps the capabilities which the daemon gives up before it
//! reads anything from the network.
//!
//! It does the few things that need them after the start, and nothing else: it names processes, attaches
//! the programs anew, starts the daemon's successor, and takes the IPv6 slots' route away when the daemon
//! is gone, however that went. It reads no byte of the network, and trusts the daemon with no more than what
//! the daemon could do at its start.

mod lookup;
mod message;
mod serve;

use std::{
    env,
    ffi::OsString,
    io::{self, ErrorKind},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStringExt as _, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::net::packet;
use message::{Numbered, Reply, Request};

use lookup::DELETED;

pub use lookup::Lookup;
pub use serve::keep;

/// The hidden command that runs a keeper.
pub const KEEP: &str = "__keep";

/// Set for a daemon that takes over from one that runs; its standard input leads there.
pub const TAKES_OVER: &str = "DISPA_TAKES_OVER";

/// The longest that an answer takes. Some of them a connection waits for.
const LONGEST_ANSWER: Duration = Duration::from_secs(2);

/// How long nobody asks a keeper that has not answered: connections wait for it.
const SILENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(2);

/// What a keeper is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ward {
    /// A daemon, which may have a successor.
    Daemon,
    /// The daemon of one command, with this process id.
    Command(u32),
}

/// Why the keeper did not do it.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// It cannot be spoken to, or takes too long.
    #[error("the keeper does not answer: {0}")]
    Silent(#[from] io::Error),
    /// It could not.
    #[error("{0}")]
    Failed(String),
}

/// The keeper, as the daemon sees it. It ends when this is dropped, or the daemon dies.
#[derive(Debug)]
pub struct Keeper {
    program: PathBuf,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    /// `None` once it is to end.
    socket: Option<OwnedFd>,
    child: Child,
    /// Of the last message.
    number: u64,
    /// It did not answer: until then nobody waits for it.
    silent_until: Option<Instant>,
}

impl Keeper {
    /// Starts one, with the capabilities that this process has.
    pub fn start(ward: Ward) -> io::Result<Self> {
        let (socket, theirs) = packet::pair(LONGEST_ANSWER)?;
        let program = own_path()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0(&program).arg(KEEP);
        match ward {
            Ward::Daemon => command.arg(&program).arg("--").args(env::args_os().skip(1)),
            Ward::Command(pid) => command.arg("--command").arg(pid.to_string()),
        };
        let child = command.env_remove(TAKES_OVER).stdin(theirs).spawn()?;
        let line = Mutex::new(Line { socket: Some(socket), child, number: 0, silent_until: None });
        Ok(Self { program, line })
    }

    /// The program that it starts as a successor: what is at our own path by then.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Routes the IPv6 slots of the door at `port` to `lo`, until this process is gone.
    pub fn route(&self, port: u16) -> Result<(), KeeperError> {
        self.ask(&Request::Route(port), &[]).map(drop)
    }

    /// Gives it the programs, each with its `enum bpf_attach_type`, to attach them with to the cgroup directory.
    /// It takes them once.
    pub fn programs(
        &self,
        programs: &[(u32, BorrowedFd<'_>)],
        cgroup: &Path,
    ) -> Result<(), KeeperError> {
        let kinds = programs.iter().map(|(kind, _)| *kind).collect();
        let descriptors: Vec<_> = programs.iter().map(|(_, descriptor)| *descriptor).collect();
        self.ask(&Request::Programs(kinds, cgroup.to_owned()), &descriptors).map(drop)
    }

    /// Attaches those programs to that directory; a link for each.
    pub fn attach(&self) -> Result<Vec<OwnedFd>, KeeperError> {
        self.ask(&Request::Attach, &[]).map(|(_, links)| links)
    }

    /// Gives a socket the priority by which programs of every instance know that it is a daemon's.
    pub fn prioritize(&self, socket: BorrowedFd<'_>) -> Result<(), KeeperError> {
        self.ask(&Request::Prioritize, &[socket]).map(drop)
    }

    /// The file that the process runs; `None` where it is gone, or not to be seen.
    #[must_use]
    pub fn executable(&self, pid: u32) -> Option<String> {
        self.path(&Request::Executable(pid))
    }

    /// The path, from the hierarchy's root, of the cgroup with this id, in which `pid` was; `None` where it
    /// is gone, or not to be seen.
    #[must_use]
    pub fn cgroup(&self, id: u64, pid: u32) -> Option<String> {
        self.path(&Request::Cgroup(id, pid))
    }

    /// Starts the program at the daemon's own path as its successor, which finds `line` at its standard
    /// input; its process id.
    pub fn successor(&self, line: impl AsFd) -> Result<u32, KeeperError> {
        match self.ask(&Request::Successor, &[line.as_fd()])? {
            (Reply::Started(pid), _) => Ok(pid),
            (reply, _) => Err(unexpected(&reply)),
        }
    }

    /// Ends the successor, which is not wanted any more.
    pub fn dismiss(&self) {
        if let Err(error) = self.ask(&Request::Dismiss, &[]) {
            tracing::error!(%error, "the successor may go on");
        }
    }

    /// Asks the command of `dispa exec`, which may be another user's, to end.
    pub fn terminate(&self) -> Result<(), KeeperError> {
        self.ask(&Request::Terminate, &[]).map(drop)
    }

    /// Ends it, and waits until what it kept is gone; not for ever.
    pub fn end(&self) {
        let mut line = self.line();
        drop(line.socket.take());
        let begun = Instant::now();
        while let Ok(None) = line.child.try_wait() {
            if begun.elapsed() > LONGEST_ANSWER {
                tracing::warn!("the keeper does not end: it is killed");
                // It may just have ended.
                let _ = line.child.kill();
                let _ = line.child.wait();
                return;
            }
            sleep(LOOK);
        }
    }

    fn path(&self, request: &Request) -> Option<String> {
        match self.ask(request, &[]) {
            Ok((Reply::Path(path), _)) => Some(path),
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(%error, ?request, "not named");
                None
            }
        }
    }

    fn ask(
        &self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(Reply, Vec<OwnedFd>), KeeperError> {
        let mut line = self.line();
        if line.silent_until.is_some_and(|until| Instant::now() < until) {
            return Err(io::Error::from(ErrorKind::WouldBlock).into());
        }
        let asked = line.ask(request, descriptors);
        if let Err(KeeperError::Silent(error)) = &asked {
            line.silent_until = Some(Instant::now() + SILENCE);
            tracing::warn!(%error, "the keeper does not answer: programs may have no names");
        }
        asked
    }
}

impl Line {
    fn ask(
        &mut self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(Reply, Vec<OwnedFd>), KeeperError> {
        self.number += 1;
        let number = self.number;
        let socket =
            self.socket.as_ref().ok_or_else(|| io::Error::from(ErrorKind::NotConnected))?;
        packet::send(socket, &Numbered { number, message: request }, descriptors)?;
        loop {
            let received = packet::receive::<Numbered<Reply>>(socket)?;
            let (reply, descriptors) =
                received.ok_or_else(|| io::Error::from(ErrorKind::ConnectionReset))?;
            // One that came too late is not to be taken for this one.
            if reply.number == number {
                return match reply.message {
                    Reply::Failed(why) => Err(KeeperError::Failed(why)),
                    reply => Ok((reply, descriptors)),
                };
            }
        }
    }
}

impl Keeper {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where this program's file is, or was.
fn own_path() -> io::Result<PathBuf> {
    let path = env::current_exe()?.into_os_string().into_vec();
    let path = path.strip_suffix(DELETED).map(<[u8]>::to_vec).unwrap_or(path);
    Ok(OsString::from_vec(path).into())
}

fn unexpected(reply: &Reply) -> KeeperError {
    KeeperError::Failed(format!("the keeper answers {reply:?}"))
}
