//! `sock_ops` (Linux 4.13; socket storage 5.3, header callbacks 5.10, the coarse clock 5.11): counts
//! what passes between the daemon and each backend, as the kernel itself accounts for it.
//!
//! The kernel calls this for every TCP socket of the cgroup when it connects, and again for those
//! alone whose callbacks were switched on: the daemon's own that lead to a backend. All calls for one
//! socket are made under its lock, so its [`Accounted`] is written by one at a time.

use core::{mem, ptr};

use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        BPF_SK_STORAGE_GET_F_CREATE, BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB,
        BPF_SOCK_OPS_HDR_OPT_LEN_CB, BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG,
        BPF_SOCK_OPS_PARSE_HDR_OPT_CB, BPF_SOCK_OPS_RTT_CB, BPF_SOCK_OPS_RTT_CB_FLAG,
        BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB,
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG, BPF_TCP_CLOSE, BPF_TCP_CLOSE_WAIT, BPF_TCP_CLOSING,
        BPF_TCP_FIN_WAIT1, BPF_TCP_FIN_WAIT2, BPF_TCP_LAST_ACK, bpf_sock,
    },
    btf_maps::SkStorage,
    helpers::{bpf_ktime_get_coarse_ns, bpf_sk_storage_get, bpf_sock_ops_cb_flags_set},
    macros::{btf_map, sock_ops},
    programs::SockOpsContext,
};
use dispa_common::{BackendCounts, OwnSocket};

use crate::maps::{self, OWN_SOCKETS, add};

/// What every `sock_ops` program returns: all is well. The reply in the context stays 0, which
/// every question the kernel asks here takes for "as you would have it".
const DONE: u32 = 1;

/// How often a connection that goes on is accounted for, in ns.
const INTERVAL_NS: u64 = 1_000_000_000;

/// `BPF_WRITE_HDR_TCP_CURRENT_MSS` (include/uapi/linux/bpf.h): nothing is about to be sent.
const CURRENT_MSS: u32 = 1;

/// FIN in byte 13 of the TCP header (RFC 9293 section 3.1).
const FIN: u32 = 1;

/// What of a socket has been added to its backend's counts already.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Accounted {
    bytes_out: u64,
    bytes_in: u64,
    at_ns: u64,
    backend: u32,
    retransmits: u32,
    /// 1 once the connection was established.
    opened: u32,
    /// 1 once `fin_end` is known.
    has_fin: u32,
    /// The sequence number after the peer's FIN, where it was seen after ours was sent.
    fin_end: u32,
    padding: u32,
}

#[btf_map]
static ACCOUNTED: SkStorage<Accounted> = SkStorage::new();

macro_rules! read {
    ($ctx:expr, $($field:tt)+) => {
        // SAFETY: the kernel hands each program a valid context. Volatile, for the verifier allows
        // whole fields only.
        unsafe { ptr::read_volatile(&raw const (*$ctx.ops).$($field)+) }
    };
}

#[sock_ops]
pub fn dispa_backends(ctx: SockOpsContext) -> u32 {
    let _ = match read!(ctx, op) {
        BPF_SOCK_OPS_TCP_CONNECT_CB => connecting(&ctx),
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => established(&ctx),
        BPF_SOCK_OPS_STATE_CB => changed(&ctx),
        BPF_SOCK_OPS_RTT_CB => goes_on(&ctx),
        BPF_SOCK_OPS_HDR_OPT_LEN_CB => sending(&ctx),
        BPF_SOCK_OPS_PARSE_HDR_OPT_CB => note_fin(&ctx),
        _ => None,
    };
    DONE
}

/// A socket is about to send its SYN: is it one that leads to a backend?
#[inline(always)]
fn connecting(ctx: &SockOpsContext) -> Option<()> {
    let socket = socket(ctx)?;
    let own = storage(&OWN_SOCKETS, socket, ptr::null_mut())?;
    // SAFETY: storage of a socket we hold in the context lives at least as long as this program.
    let OwnSocket { backend, .. } = unsafe { ptr::read(own) };
    if backend == 0 {
        return None;
    }
    // SAFETY: integers only.
    let mut fresh: Accounted = unsafe { mem::zeroed() };
    fresh.backend = backend;
    storage(&ACCOUNTED, socket, &raw mut fresh)?;
    listen_for(ctx, BPF_SOCK_OPS_STATE_CB_FLAG)
}

/// A handshake of ours, or of any other socket of the cgroup that connected, is done.
#[inline(always)]
fn established(ctx: &SockOpsContext) -> Option<()> {
    let accounted = accounted(ctx)?;
    let counts = counts(accounted)?;
    // SAFETY: storage as in `connecting`, and a cell of this CPU.
    unsafe {
        (*accounted).opened = 1;
        add(&raw mut (*counts).opened, 1);
    }
    // The last tells of segments sent: a connection that only receives sends nothing else than
    // acknowledgements, of which there is no round trip time. No option is ever added to one.
    listen_for(ctx, BPF_SOCK_OPS_RTT_CB_FLAG | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG)
}

/// The connection is about to enter another state.
#[inline(always)]
fn changed(ctx: &SockOpsContext) -> Option<()> {
    match read!(ctx, __bindgen_anon_1.args[1]) {
        BPF_TCP_CLOSE => closed(ctx),
        // From here on nothing but its header tells whether the peer's FIN was taken.
        BPF_TCP_FIN_WAIT1 => listen_for(ctx, BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG),
        _ => None,
    }
}

#[inline(always)]
fn closed(ctx: &SockOpsContext) -> Option<()> {
    let accounted = accounted(ctx)?;
    let counts = counts(accounted)?;
    account(ctx, accounted, counts, coarse_ns());
    // SAFETY: as in `established`.
    unsafe {
        let ended = match (*accounted).opened {
            0 => &raw mut (*counts).failed,
            _ => &raw mut (*counts).closed,
        };
        add(ended, 1);
        // The state may be entered twice; it counts once.
        (*accounted).backend = 0;
    }
    Some(())
}

/// A segment is about to be sent, or its size is asked for. Those with data in them bring a round trip
/// time later on.
#[inline(always)]
fn sending(ctx: &SockOpsContext) -> Option<()> {
    if read!(ctx, __bindgen_anon_1.args[0]) == CURRENT_MSS || read!(ctx, skb_len) != 0 {
        return None;
    }
    goes_on(ctx)
}

/// Something moved: what was moved is accounted for, if it is time.
#[inline(always)]
fn goes_on(ctx: &SockOpsContext) -> Option<()> {
    let accounted = accounted(ctx)?;
    let now_ns = coarse_ns();
    // SAFETY: as in `connecting`.
    let (at_ns, opened) = unsafe { ((*accounted).at_ns, (*accounted).opened) };
    // The SYN has a round trip time as well.
    if opened == 0 || now_ns.wrapping_sub(at_ns) < INTERVAL_NS {
        return None;
    }
    account(ctx, accounted, counts(accounted)?, now_ns);
    Some(())
}

/// A segment arrived after our FIN was sent, and is not taken yet: if it has the peer's FIN, this
/// is where that ends.
#[inline(always)]
fn note_fin(ctx: &SockOpsContext) -> Option<()> {
    if read!(ctx, skb_tcp_flags) & FIN == 0 {
        return None;
    }
    let accounted = accounted(ctx)?;
    let length = read!(ctx, skb_len);
    let (sequence, header) = header(ctx)?;
    // SAFETY: as in `connecting`.
    unsafe {
        (*accounted).fin_end = sequence.wrapping_add(length).wrapping_sub(header).wrapping_add(1);
        (*accounted).has_fin = 1;
    }
    Some(())
}

/// The sequence number and the length of the TCP header in the context.
#[inline(always)]
fn header(ctx: &SockOpsContext) -> Option<(u32, u32)> {
    let start = read!(ctx, __bindgen_anon_3.skb_data) as usize;
    let end = read!(ctx, __bindgen_anon_4.skb_data_end) as usize;
    if start + 20 > end {
        return None;
    }
    // SAFETY: the header's fixed 20 bytes are there; the network layer aligns it to 4 bytes, and
    // BPF reads what is not aligned all the same.
    unsafe {
        let sequence = u32::from_be(ptr::read_volatile((start + 4) as *const u32));
        let words = ptr::read_volatile((start + 12) as *const u8) >> 4;
        Some((sequence, u32::from(words) * 4))
    }
}

/// Adds what is new since the last time.
#[inline(always)]
fn account(
    ctx: &SockOpsContext,
    accounted: *mut Accounted,
    counts: *mut BackendCounts,
    now_ns: u64,
) {
    let rtt_us = read!(ctx, srtt_us) >> 3;
    let retransmits = read!(ctx, total_retrans);
    // SAFETY: as in `established`.
    unsafe {
        let had = *accounted;
        let bytes_out = bytes_out(ctx).max(had.bytes_out);
        let bytes_in = bytes_in(ctx, &had).max(had.bytes_in);
        add(&raw mut (*counts).bytes_out, bytes_out - had.bytes_out);
        add(&raw mut (*counts).bytes_in, bytes_in - had.bytes_in);
        add(&raw mut (*counts).retransmits, u64::from(retransmits.wrapping_sub(had.retransmits)));
        if rtt_us != 0 {
            let rtt = BackendCounts::rtt_at(now_ns, rtt_us);
            ptr::write_volatile(&raw mut (*counts).rtt, rtt);
        }
        (*accounted).bytes_out = bytes_out;
        (*accounted).bytes_in = bytes_in;
        (*accounted).retransmits = retransmits;
        (*accounted).at_ns = now_ns;
    }
}

/// Payload that was acknowledged. `bytes_acked` counts our SYN too (Linux 6.1 and 6.18), and our FIN
/// once that is acknowledged: nothing is then left to be.
#[inline(always)]
fn bytes_out(ctx: &SockOpsContext) -> u64 {
    let is_last = matches!(
        read!(ctx, state),
        BPF_TCP_FIN_WAIT1 | BPF_TCP_FIN_WAIT2 | BPF_TCP_CLOSING | BPF_TCP_LAST_ACK
    );
    let fin = is_last && read!(ctx, snd_una) == read!(ctx, snd_nxt);
    read!(ctx, bytes_acked).saturating_sub(1 + u64::from(fin))
}

/// Payload that arrived. `bytes_received` counts the peer's FIN too (Linux 6.1 and 6.18).
#[inline(always)]
fn bytes_in(ctx: &SockOpsContext, accounted: &Accounted) -> u64 {
    let fin = match read!(ctx, state) {
        BPF_TCP_CLOSE_WAIT | BPF_TCP_LAST_ACK | BPF_TCP_CLOSING => true,
        // Here a socket is closed when the FIN came, and also when nobody is left to wait for it.
        BPF_TCP_FIN_WAIT1 | BPF_TCP_FIN_WAIT2 => {
            accounted.has_fin != 0 && accounted.fin_end == read!(ctx, rcv_nxt)
        }
        _ => false,
    };
    read!(ctx, bytes_received).saturating_sub(u64::from(fin))
}

/// Switches callbacks on, and leaves on what others switched on.
#[inline(always)]
fn listen_for(ctx: &SockOpsContext, flags: u32) -> Option<()> {
    let all = read!(ctx, bpf_sock_ops_cb_flags) | flags;
    // SAFETY: a helper that takes the context of this very program.
    unsafe { bpf_sock_ops_cb_flags_set(ctx.as_ptr().cast(), all as i32) };
    Some(())
}

#[inline(always)]
fn coarse_ns() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_coarse_ns() }
}

/// The counts that `accounted` belongs to; none once it has been closed.
#[inline(always)]
fn counts(accounted: *mut Accounted) -> Option<*mut BackendCounts> {
    // SAFETY: as in `connecting`. No backend has number 0.
    maps::backend(unsafe { (*accounted).backend })
}

#[inline(always)]
fn accounted(ctx: &SockOpsContext) -> Option<*mut Accounted> {
    storage(&ACCOUNTED, socket(ctx)?, ptr::null_mut())
}

#[inline(always)]
fn socket(ctx: &SockOpsContext) -> Option<*mut bpf_sock> {
    let socket = read!(ctx, __bindgen_anon_2.sk);
    (!socket.is_null()).then_some(socket)
}

/// The socket's value in `map`, set to `initial` where there is none yet and `initial` is not null.
#[inline(always)]
fn storage<T>(
    map: &'static SkStorage<T>,
    socket: *mut bpf_sock,
    initial: *mut T,
) -> Option<*mut T> {
    let flags = if initial.is_null() { 0 } else { u64::from(BPF_SK_STORAGE_GET_F_CREATE) };
    // aya's own look-up takes the context of other programs only.
    // SAFETY: the map is one of socket storage, the socket is the context's.
    let value = unsafe {
        bpf_sk_storage_get(
            ptr::from_ref(map).cast_mut().cast(),
            socket.cast(),
            initial.cast(),
            flags,
        )
    };
    (!value.is_null()).then_some(value.cast())
}
