//! The table: what goes wrong, and how much of the request's body the backend has read by then.

use std::fmt;

/// Bytes of a request's body: fewer than a stream's first window, so that all are under way.
pub(crate) const SIZE: usize = 48 * 1024;
/// More than all the buffers on the way hold.
pub(crate) const FLOOD: usize = 16 * 1024 * 1024;
/// Bytes of a response's body.
pub(crate) const ANSWER: usize = 20_000;

/// How somebody goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Fin,
    Rst,
    /// By `RST_STREAM`: HTTP/2 only.
    Stream,
}

/// Where in a response the backend goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    BeforeHead,
    InHead,
    InLength,
    InChunks,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The backend answers, and reads what is left of the body after that.
    Early,
    /// The backend answers 500, says that it closes, and sends nothing more.
    EarlyError,
    /// The backend answers an upgrade with this status.
    Refused(u16),
    /// The client goes while the backend is silent.
    ClientInSilence(How),
    /// The client goes while it reads the response.
    ClientInBody(How),
    /// The backend goes.
    Backend(How, Place),
}

/// What the backend has read of the request's body when it acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Nothing; the client has sent all.
    Nothing,
    /// Nothing; the client cannot send more.
    Stuck,
    /// The first half, which is all that the client has sent.
    Half,
    /// All.
    All,
}

impl Read {
    pub(crate) const ALL: [Self; 4] = [Self::Nothing, Self::Stuck, Self::Half, Self::All];

    /// The length that the request says its body has.
    pub(crate) fn length(self) -> usize {
        if self == Self::Stuck { FLOOD } else { SIZE }
    }

    /// How much of it the backend reads before it acts.
    pub(crate) fn before_acting(self) -> usize {
        match self {
            Self::Nothing | Self::Stuck => 0,
            Self::Half => SIZE / 2,
            Self::All => SIZE,
        }
    }
}

/// One case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) fault: Fault,
    pub(crate) read: Read,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} / body read: {:?}", self.fault, self.read)
    }
}

/// Each fault with each state of the body.
pub(crate) fn table(faults: &[Fault]) -> Vec<Cell> {
    let cells = |&fault| Read::ALL.map(|read| Cell { fault, read });
    faults.iter().flat_map(cells).filter(|cell| cell.can_be()).collect()
}

impl Cell {
    /// A client that cannot send and closes is not seen to close: its bytes stand in between.
    fn can_be(self) -> bool {
        let closes =
            matches!(self.fault, Fault::ClientInSilence(How::Fin) | Fault::ClientInBody(How::Fin));
        !(closes && self.read == Read::Stuck)
    }
}

/// `length` bytes that belong to this token and no other.
pub(crate) fn bytes_of(token: &str, length: usize) -> Vec<u8> {
    format!("{token};").into_bytes().into_iter().cycle().take(length).collect()
}

/// The body of the response that belongs to this token.
pub(crate) fn answer_of(token: &str) -> Vec<u8> {
    bytes_of(&format!("answer {token}"), ANSWER)
}
