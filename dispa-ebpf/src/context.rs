//! `struct bpf_sock_addr`, read and written one aligned word at a time: the verifier allows no
//! other access, and volatile keeps the compiler from merging two words into one.

use core::ptr;

use aya_ebpf::{
    bindings::{bpf_sock, bpf_sock_addr},
    programs::SockAddrContext,
};

const SOCK_STREAM: u32 = 1;
const IPPROTO_TCP: u32 = 6;

macro_rules! read {
    ($ctx:expr, $($field:tt)+) => {
        // SAFETY: the kernel hands each program a valid context.
        unsafe { ptr::read_volatile(&raw const (*$ctx.sock_addr).$($field)+) }
    };
}

macro_rules! write {
    ($ctx:expr, $value:expr, $($field:tt)+) => {
        // SAFETY: as above; these fields are writable in connect and getpeername programs.
        unsafe { ptr::write_volatile(&raw mut (*$ctx.sock_addr).$($field)+, $value) }
    };
}

const SOCK_DGRAM: u32 = 2;
const IPPROTO_UDP: u32 = 17;

#[inline(always)]
pub fn is_udp(ctx: &SockAddrContext) -> bool {
    read!(ctx, type_) == SOCK_DGRAM && read!(ctx, protocol) == IPPROTO_UDP
}

#[inline(always)]
pub fn is_tcp(ctx: &SockAddrContext) -> bool {
    read!(ctx, type_) == SOCK_STREAM && read!(ctx, protocol) == IPPROTO_TCP
}

/// Network byte order.
#[inline(always)]
pub fn port(ctx: &SockAddrContext) -> u16 {
    read!(ctx, user_port) as u16
}

/// (address, port), network byte order.
#[inline(always)]
pub fn read4(ctx: &SockAddrContext) -> (u32, u16) {
    (read!(ctx, user_ip4), port(ctx))
}

/// (address, port), network byte order.
#[inline(always)]
pub fn read6(ctx: &SockAddrContext) -> ([u32; 4], u16) {
    let address = [
        read!(ctx, user_ip6[0]),
        read!(ctx, user_ip6[1]),
        read!(ctx, user_ip6[2]),
        read!(ctx, user_ip6[3]),
    ];
    (address, port(ctx))
}

#[inline(always)]
pub fn write4(ctx: &SockAddrContext, address: u32, port: u16) {
    write!(ctx, address, user_ip4);
    write!(ctx, u32::from(port), user_port);
}

#[inline(always)]
pub fn write6(ctx: &SockAddrContext, address: [u32; 4], port: u16) {
    write!(ctx, address[0], user_ip6[0]);
    write!(ctx, address[1], user_ip6[1]);
    write!(ctx, address[2], user_ip6[2]);
    write!(ctx, address[3], user_ip6[3]);
    write!(ctx, u32::from(port), user_port);
}

#[inline(always)]
pub fn socket(ctx: &SockAddrContext) -> *mut bpf_sock {
    let ctx: *mut bpf_sock_addr = ctx.sock_addr;
    // SAFETY: the kernel hands each program a valid context with a full socket.
    unsafe { (*ctx).__bindgen_anon_1.sk }
}

#[inline(always)]
pub fn bound_device(ctx: &SockAddrContext) -> u32 {
    // SAFETY: `socket` is never null in these programs.
    unsafe { ptr::read_volatile(&raw const (*socket(ctx)).bound_dev_if) }
}

/// The IPv4 address that the socket is bound to, network byte order; 0 for none.
#[inline(always)]
pub fn bound_address4(ctx: &SockAddrContext) -> u32 {
    // SAFETY: as above.
    unsafe { ptr::read_volatile(&raw const (*socket(ctx)).src_ip4) }
}

#[inline(always)]
pub fn priority(ctx: &SockAddrContext) -> u32 {
    // SAFETY: as above.
    unsafe { ptr::read_volatile(&raw const (*socket(ctx)).priority) }
}
