//! dispa's kernel programs: connections to an intercepted destination, and questions to a
//! resolver, are rewritten to that destination's slot, and `getpeername()` shows the program the
//! destination it asked for.
//!
//! One file per kind of hook: shims the kernel calls, and below them the rules they share. Nothing
//! here fails a connection: every program returns 1, and whatever goes wrong leaves the address
//! as it was. Needs Linux 5.15 (the helpers alone would do with 5.8).
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod admit;
mod backends;
mod clients;
mod connect;
mod context;
mod crowd;
mod datagram;
mod maps;
mod peer;
mod redirect;
mod selection;
mod slot;

/// What every program returns: go on, with whatever address now stands in the context.
const GO_ON: i32 = 1;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: nothing here panics, and the verifier would refuse the loop if it could be.
    loop {}
}

/// Some helpers are open to GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
