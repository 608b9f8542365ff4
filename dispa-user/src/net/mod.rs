//! Sockets: listening, dialling, relaying. Knows nothing of rules, pools or the kernel side.

mod dial;
mod listen;
mod prefixed;
mod relay;
mod route;

pub use dial::{DialError, dial};
pub use listen::{ListenError, Listener, explicit_door, transparent_door};
pub use prefixed::Prefixed;
pub use relay::{relay, reset};
pub use route::{RouteError, SlotRoute, slot_prefix};
