//! Debug events of the connect hooks, read from the kernel's ring.

use std::{io, net::SocketAddr};

use aya::maps::{MapData, RingBuf};
use dispa_common::{Counter, Event};
use tokio::io::{Interest, unix::AsyncFd};

use super::address::origin_address;

/// One outcome of a connect hook, as the kernel told it.
#[derive(Clone, Copy, Debug)]
pub struct ConnectEvent {
    /// Process id, in the initial pid namespace.
    pub process: u32,
    /// User id.
    pub user: u32,
    /// Where the program wanted to go.
    pub origin: SocketAddr,
    /// The slot it was sent to; 0 where it was passed.
    pub slot: u32,
    /// What became of it.
    pub outcome: Counter,
}

/// The stream of debug events.
#[derive(Debug)]
pub struct Events {
    ring: AsyncFd<Ring>,
}

/// `RingBuf` has no `Debug`.
struct Ring(RingBuf<MapData>);

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RingBuf")
    }
}

impl std::os::fd::AsRawFd for Ring {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

impl Events {
    pub(super) fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        #[expect(unsafe_code, reason = "tokio's way to register a descriptor of another crate")]
        // SAFETY: the ring owns its map's descriptor, open and unchanged for as long as it lives.
        let registered = unsafe { AsyncFd::register_with_interest(Ring(ring), Interest::READABLE) };
        Ok(Self { ring: registered.map_err(io::Error::from)? })
    }

    /// The next event; waits for one. Cancel safe.
    pub async fn next(&mut self) -> io::Result<ConnectEvent> {
        loop {
            let mut guard = self.ring.readable_mut().await?;
            let record = guard.get_inner_mut().0.next().map(|record| parse(&record));
            match record {
                Some(Some(event)) => return Ok(event),
                Some(None) => {}
                None => guard.clear_ready(),
            }
        }
    }
}

/// `None` for a record this build does not understand.
fn parse(bytes: &[u8]) -> Option<ConnectEvent> {
    if bytes.len() < size_of::<Event>() {
        return None;
    }
    #[expect(unsafe_code, reason = "the one place where bytes of the ring become a struct")]
    // SAFETY: `Event` is integers only, valid for every bit pattern, and the length was checked.
    let event = unsafe { bytes.as_ptr().cast::<Event>().read_unaligned() };
    Some(ConnectEvent {
        process: event.process,
        user: event.user,
        origin: origin_address(&event.origin),
        slot: event.slot,
        outcome: *Counter::ALL.get(usize::try_from(event.outcome).ok()?)?,
    })
}
