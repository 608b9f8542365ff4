//! The daemon's pure rooms that read what the network sends, and nothing else of it: they build in
//! seconds, without the kernel programs.

#[path = "../../dispa-user/src/framing/mod.rs"]
pub mod framing;
#[path = "../../dispa-user/src/sniff/mod.rs"]
pub mod sniff;
#[path = "../../dispa-user/src/types/mod.rs"]
pub mod types;

/// Of `dns` only what reads messages; the rest of the room needs a runtime.
#[path = "../../dispa-user/src/dns"]
pub mod dns {
    mod message;

    pub use message::{Lesson, Question, lesson};
}

use sniff::{Verdict, sniff};

/// Sniffs ever longer beginnings of the bytes, as reads of lengths that the bytes themselves choose
/// would bring them.
///
/// # Panics
/// If a verdict is taken back.
#[must_use]
pub fn sniff_in_reads(bytes: &[u8]) -> Verdict {
    let mut given = Verdict::More;
    let mut read = 0;
    loop {
        let verdict = sniff(&bytes[..read]);
        if given == Verdict::More {
            given = verdict;
        } else {
            assert_eq!(verdict, given, "taken back at {read} bytes");
        }
        let Some(next) = bytes.get(read) else { return given };
        read = bytes.len().min(read + 1 + usize::from(next % 64));
    }
}
