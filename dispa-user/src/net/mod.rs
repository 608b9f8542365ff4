//! Sockets: listening, dialling, relaying. Knows nothing of rules, pools or the kernel side.

mod datagram;
mod dial;
mod listen;
mod prefixed;
mod relay;
mod route;

pub use datagram::{Datagram, DatagramDoor};
pub use dial::{DialError, datagram_socket, dial};
pub use listen::{ListenError, Listener, TransparentDoor, explicit_door, transparent_door};
pub use prefixed::Prefixed;
pub use relay::{Relayed, Side, keep_alive, relay, reset};
pub use route::{RouteError, SlotRoute, slot_prefix};
