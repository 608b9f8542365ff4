//! Which addresses belong to which intercepted names. Knows nothing of slots or the kernel side.

mod names;
mod poll;

pub use names::{Change, NameTable};
pub use poll::{Answer, poll, resolve};
