//! Names and their addresses: what answers teach, which addresses belong to which intercepted
//! names. Knows nothing of slots or the kernel side.

mod in_flight;
mod message;
mod names;
mod poll;

pub use in_flight::InFlight;
pub use message::{Lesson, Question, lesson};
pub use names::{Change, NameTable, Noted};
pub use poll::{Answer, NoAnswer, poll, resolve};
