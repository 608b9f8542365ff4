//! Sockets: listening, dialling, relaying. Knows nothing of rules, pools or the kernel side.

mod datagram;
mod dial;
mod gate;
mod linger;
mod listen;
pub mod packet;
mod prefixed;
mod relay;
mod route;
mod socket_diag;
mod splice;
mod tune;

pub use datagram::{Datagram, DatagramDoor};
pub use dial::{DialError, datagram_socket, dial};
pub use gate::{Gate, Judge, Judgement};
pub use linger::linger;
pub use listen::{
    ListenError, Listener, TransparentDoor, explicit_door, is_at, listener, transparent_door,
};
pub use prefixed::Prefixed;
pub use relay::{Failure, Relayed, Side, keep_alive, relay, reset};
pub use route::{RouteError, SlotRoute, slot_prefix};
pub use socket_diag::SocketDiag;
pub use splice::splice;
