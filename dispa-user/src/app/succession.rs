//! One daemon takes over from another: the new one is started beside the old one, is given its sockets and
//! what it has learned, begins to intercept, and only then the old one stops taking anything new. At no
//! moment is nobody there.
//!
//! Programs of both run in the meantime: what the old one's has redirected the new one's leaves alone.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    StartError,
    sockets::{Role, Sockets},
};
use crate::{
    dns::Lesson,
    keeper::{Keeper, TAKES_OVER},
    net::packet::{self, MOST_DESCRIPTORS},
    types::HostName,
};

/// How long a successor may take to start: databases are opened, names asked for.
const PATIENCE: Duration = Duration::from_secs(50);

/// How long a successor waits for its predecessor, at each step.
const LET_GO: Duration = Duration::from_secs(10);

/// Names in one message, each with up to 50 addresses.
const NAMES_AT_ONCE: usize = 20;

/// What is said between the two.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    /// Old to new: sockets for these roles, a descriptor for each.
    Sockets(Vec<Role>),
    /// Old to new: names, their addresses, and for how many seconds. Those learned meanwhile come once more.
    Names(Vec<(String, Vec<IpAddr>, u64)>),
    /// Old to new: that was all.
    All,
    /// New to old: it serves and intercepts.
    Taken,
    /// Old to new: it is yours.
    Yours,
}

/// What a daemon begins with.
#[derive(Debug, Default)]
pub struct Inheritance {
    pub(super) sockets: Sockets,
    pub(super) lessons: Vec<Lesson>,
    /// Where the predecessor waits.
    line: Option<OwnedFd>,
}

impl Inheritance {
    /// What the predecessor hands over at the standard input, if there is one. Blocks until all is there.
    pub fn receive() -> Result<Self, StartError> {
        let mut inheritance = Self::default();
        if std::env::var_os(TAKES_OVER).is_none() {
            return Ok(inheritance);
        }
        let failed = StartError::system("take over from the daemon that runs");
        inheritance.take().map_err(failed)?;
        Ok(inheritance)
    }

    fn take(&mut self) -> io::Result<()> {
        let line = io::stdin().as_fd().try_clone_to_owned()?;
        packet::limit(&line, LET_GO)?;
        nix::unistd::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        loop {
            match packet::receive(&line)? {
                Some((Message::Sockets(roles), sockets)) => {
                    for (role, socket) in roles.into_iter().zip(sockets) {
                        self.sockets.put(role, socket);
                    }
                }
                Some((Message::Names(names), _)) => {
                    self.lessons.extend(names.into_iter().filter_map(lesson));
                }
                Some((Message::All, _)) => break,
                other => return Err(io::Error::other(format!("it says {other:?}"))),
            }
        }
        self.line = Some(line);
        Ok(())
    }
}

impl Inheritance {
    /// The predecessor's sockets.
    pub fn sockets(&mut self) -> Sockets {
        std::mem::take(&mut self.sockets)
    }

    /// Tells the predecessor, if there is one, that all that it does is done, and waits until it has let go;
    /// what it has learned meanwhile. One that gives up on us has us ended.
    pub(super) async fn accept(self) -> Vec<Lesson> {
        let Some(line) = self.line else { return Vec::new() };
        let accepted = tokio::task::spawn_blocking(move || {
            let mut lessons = Vec::new();
            packet::send(&line, &Message::Taken, &[])?;
            loop {
                match packet::receive(&line)? {
                    Some((Message::Names(names), _)) => {
                        lessons.extend(names.into_iter().filter_map(lesson));
                    }
                    Some((Message::Yours, _)) => return Ok(lessons),
                    other => return Err(io::Error::other(format!("it says {other:?}"))),
                }
            }
        });
        match accepted.await.map_err(io::Error::other).flatten() {
            Ok(lessons) => {
                tracing::info!("taken over");
                lessons
            }
            Err(error) => {
                tracing::warn!(%error, "taken over from a daemon that is gone, or hangs");
                Vec::new()
            }
        }
    }
}

fn lesson((name, addresses, seconds): (String, Vec<IpAddr>, u64)) -> Option<Lesson> {
    let name = HostName::parse(&name).ok()?;
    Some(Lesson { name, addresses, ttl: Duration::from_secs(seconds) })
}

/// A successor that has taken over and waits to be let go.
#[derive(Debug)]
pub(super) struct Successor {
    pub(super) pid: u32,
    line: OwnedFd,
}

impl Successor {
    /// Starts one, hands over, and waits until it has taken over. Blocks.
    pub(super) fn start(
        keeper: &Keeper,
        sockets: Sockets,
        lessons: &[Lesson],
    ) -> Result<Self, String> {
        let failed = |error: io::Error| format!("the successor cannot be spoken to: {error}");
        let (line, theirs) = packet::pair(PATIENCE).map_err(failed)?;
        let pid = keeper.successor(&theirs).map_err(|error| error.to_string())?;
        drop(theirs);
        let begun = Instant::now();
        let taken = hand_over(&line, sockets, lessons).and_then(|()| packet::receive(&line));
        if let Ok(Some((Message::Taken, _))) = taken {
            return Ok(Self { pid, line });
        }
        // Whatever is wrong with it: there are not to be two.
        keeper.dismiss();
        match taken {
            Ok(Some((other, _))) => Err(format!("the successor, process {pid}, says {other:?}")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let seconds = begun.elapsed().as_secs();
                Err(format!("the successor, process {pid}, has not taken over after {seconds} s"))
            }
            Ok(None) | Err(_) => {
                Err(format!("the successor, process {pid}, did not start; its log says why"))
            }
        }
    }

    /// It is on its own, with these names as well.
    pub(super) fn let_go(self, lessons: &[Lesson]) {
        let told = teach(&self.line, lessons);
        if let Err(error) = told.and_then(|()| packet::send(&self.line, &Message::Yours, &[])) {
            tracing::warn!(%error, "the successor is gone");
        }
    }
}

fn hand_over(line: &OwnedFd, sockets: Sockets, lessons: &[Lesson]) -> io::Result<()> {
    let sockets = sockets.into_all();
    for some in sockets.chunks(MOST_DESCRIPTORS) {
        let roles = some.iter().map(|(role, _)| *role).collect();
        let descriptors: Vec<BorrowedFd<'_>> = some.iter().map(|(_, it)| it.as_fd()).collect();
        packet::send(line, &Message::Sockets(roles), &descriptors)?;
    }
    teach(line, lessons)?;
    packet::send(line, &Message::All, &[])
}

fn teach(line: &OwnedFd, lessons: &[Lesson]) -> io::Result<()> {
    for some in lessons.chunks(NAMES_AT_ONCE) {
        let told = some.iter().map(|Lesson { name, addresses, ttl }| {
            (name.to_string(), addresses.clone(), ttl.as_secs())
        });
        packet::send(line, &Message::Names(told.collect()), &[])?;
    }
    Ok(())
}
