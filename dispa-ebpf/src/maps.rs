//! The maps and the read-only globals; `dispa_common` describes what each holds.

use core::{arch::asm, ptr};

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::SkStorage,
    macros::{btf_map, map},
    maps::{Array, HashMap, LruHashMap, PerCpuArray, PerCpuHashMap, Queue, RingBuf},
};
use dispa_common::{
    BACKEND_COUNT, BackendCounts, CLIENT_COUNT, COUNTER_COUNT, ClientGroup, ClientProcess, Control,
    Counter, DESTINATION_COUNT, Destination4, Destination6, EVENT_RING_BYTES, Event,
    FREE_SLOT_COUNT, GREEDY_COUNT, Origin, OwnSocket, PORT_WORDS, SLOT_COUNT, SlotPrefix6,
    selection,
};

const _: () = assert!(size_of::<Control>() == 16 && align_of::<Control>() == 8);
const _: () = assert!(size_of::<OwnSocket>() == 8);
const _: () = assert!(size_of::<ClientProcess>() == 24);
const _: () = assert!(size_of::<ClientGroup>() == 16);
const _: () = assert!(size_of::<Destination4>() == 8);
const _: () = assert!(size_of::<Destination6>() == 20);
const _: () = assert!(size_of::<Origin>() == 20);
const _: () = assert!(size_of::<Event>() == 56);
const _: () = assert!(size_of::<BackendCounts>() == 56);

#[map]
pub static DESTINATIONS4: HashMap<Destination4, u32> =
    HashMap::with_max_entries(DESTINATION_COUNT, BPF_F_NO_PREALLOC);

#[map]
pub static DESTINATIONS6: HashMap<Destination6, u32> =
    HashMap::with_max_entries(DESTINATION_COUNT, BPF_F_NO_PREALLOC);

#[map]
pub static SLOTS: Array<Origin> = Array::with_max_entries(SLOT_COUNT, 0);

#[map]
static CONTROL: Array<Control> = Array::with_max_entries(1, 0);

#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTER_COUNT, 0);

#[btf_map]
pub static OWN_SOCKETS: SkStorage<OwnSocket> = SkStorage::new();

#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(EVENT_RING_BYTES, 0);

#[map]
pub static FREE_SLOTS: Queue<u32> = Queue::with_max_entries(FREE_SLOT_COUNT, 0);

#[map]
static CAUGHT_PORTS: Array<u64> = Array::with_max_entries(PORT_WORDS, 0);

#[map]
pub static CLIENTS: LruHashMap<u64, ClientProcess> = LruHashMap::with_max_entries(CLIENT_COUNT, 0);

#[map]
pub static SELECTED_USERS: HashMap<u32, u8> =
    HashMap::with_max_entries(selection::USER_COUNT, BPF_F_NO_PREALLOC);

#[map]
pub static SELECTED_CGROUPS: LruHashMap<u64, u8> =
    LruHashMap::with_max_entries(selection::CGROUP_COUNT, 0);

#[map]
pub static GREEDY: HashMap<ClientGroup, u8> =
    HashMap::with_max_entries(GREEDY_COUNT, BPF_F_NO_PREALLOC);

#[map]
static BACKENDS: PerCpuHashMap<u32, BackendCounts> =
    PerCpuHashMap::with_max_entries(BACKEND_COUNT, BPF_F_NO_PREALLOC);

#[unsafe(no_mangle)]
static NETNS_COOKIE: u64 = 0;
#[unsafe(no_mangle)]
static DOOR_PORT4: u16 = 0;
#[unsafe(no_mangle)]
static DOOR_PORT6: u16 = 0;
#[unsafe(no_mangle)]
static SLOT_PREFIX6: SlotPrefix6 = SlotPrefix6 { words: [0; 2] };
#[unsafe(no_mangle)]
static DNS_ON: u8 = 0;
#[unsafe(no_mangle)]
static CATCH_ALL: u8 = 0;
#[unsafe(no_mangle)]
static EVENTS_ON: u8 = 0;
#[unsafe(no_mangle)]
static CLIENTS_ON: u8 = 0;
#[unsafe(no_mangle)]
static EXPLICIT_PORT: u16 = 0;
#[unsafe(no_mangle)]
static EXPLICIT_ADDRESS: [u32; 4] = [0; 4];
#[unsafe(no_mangle)]
static SELECTION: u8 = 0;

/// Reads a global as the daemon set it, not as it stands in this source.
macro_rules! global {
    ($name:ident) => {
        // SAFETY: a static of this object, in its frozen .rodata map.
        unsafe { ptr::read_volatile(&raw const $name) }
    };
}

#[inline(always)]
pub fn netns_cookie() -> u64 {
    global!(NETNS_COOKIE)
}

#[inline(always)]
pub fn door_port4() -> u16 {
    global!(DOOR_PORT4)
}

#[inline(always)]
pub fn door_port6() -> u16 {
    global!(DOOR_PORT6)
}

#[inline(always)]
pub fn slot_prefix6() -> [u32; 2] {
    global!(SLOT_PREFIX6).words
}

#[inline(always)]
pub fn events_on() -> bool {
    global!(EVENTS_ON) != 0
}

#[inline(always)]
pub fn clients_on() -> bool {
    global!(CLIENTS_ON) != 0
}

/// 0 where it is of no interest who connects to the explicit door.
#[inline(always)]
pub fn explicit_port() -> u16 {
    global!(EXPLICIT_PORT)
}

/// An IPv4 one is v4-mapped.
#[inline(always)]
pub fn explicit_address() -> [u32; 4] {
    global!(EXPLICIT_ADDRESS)
}

/// Flags of `dispa_common::selection`.
#[inline(always)]
pub fn selection() -> u8 {
    global!(SELECTION)
}

#[inline(always)]
pub fn dns_on() -> bool {
    global!(DNS_ON) != 0
}

/// Whether every address is redirected on `port` (host byte order).
#[inline(always)]
pub fn caught(port: u16) -> bool {
    if global!(CATCH_ALL) == 0 {
        return false;
    }
    let word = CAUGHT_PORTS.get(u32::from(port >> 6));
    word.is_some_and(|word| word & (1 << (port & 63)) != 0)
}

/// The control block as the daemon last wrote it: (heartbeat in ns, paused, load).
#[inline(always)]
pub fn control() -> Option<(u64, bool, u32)> {
    let control = CONTROL.get_ptr(0)?;
    // SAFETY: an array map's entry lives as long as the map; volatile, for user space writes it.
    unsafe {
        Some((
            ptr::read_volatile(&raw const (*control).heartbeat_ns),
            ptr::read_volatile(&raw const (*control).paused) != 0,
            ptr::read_volatile(&raw const (*control).load),
        ))
    }
}

#[inline(always)]
pub fn count(counter: Counter) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter as u32) {
        add(value, 1);
    }
}

/// This CPU's accounts of backend number `backend`, if the daemon wants it counted.
#[inline(always)]
pub fn backend(backend: u32) -> Option<*mut BackendCounts> {
    BACKENDS.get_ptr_mut(backend)
}

/// Adds to a counter of a per-CPU map.
#[inline(always)]
pub fn add(cell: *mut u64, amount: u64) {
    // In one instruction although the cell is this CPU's own: one program can preempt another.
    // core has no `fetch_add` for this target, which it takes to lack compare-and-swap.
    // SAFETY: an aligned cell that lives as long as the map.
    unsafe {
        asm!("lock *(u64 *)({cell} + 0) += {amount}", cell = in(reg) cell, amount = in(reg) amount)
    }
}
