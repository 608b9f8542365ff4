//! The loaded kernel side: its maps are written here, its programs attached and detached.

use std::{
    fmt, fs,
    net::{Ipv6Addr, SocketAddr},
    os::fd::AsFd,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, RingBuf, SkStorage},
    programs::{CgroupAttachMode, CgroupSockAddr, cgroup_sock_addr::CgroupSockAddrLink},
};
use dispa_common::{
    Control, Counter, Destination4, Destination6, EVENT_RING_BYTES, Origin, OwnSocket, SlotPrefix6,
    globals, maps, programs, slot_of_v4,
};

use super::{Events, KernelError, netns, object::OBJECT};

/// In the order they are attached, and detached from the end: `connect` redirects only while
/// everything else is in place.
const PROGRAMS: [&str; 4] =
    [programs::GETPEERNAME4, programs::GETPEERNAME6, programs::CONNECT6, programs::CONNECT4];

/// The loopback page size a ring needs at least.
const SMALLEST_RING: u32 = 4096;

/// Where slots lead: the transparent door's listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doors {
    /// Port of the IPv4 listener.
    pub port4: u16,
    /// IPv6 listener, where this host has IPv6: its port, and the /64 of its slots.
    pub door6: Option<(u16, Ipv6Addr)>,
}

impl Doors {
    /// The slot that `local`, the local address of an accepted connection, is.
    #[must_use]
    pub fn slot_of(&self, local: SocketAddr) -> Option<u32> {
        match local {
            SocketAddr::V4(local) => slot_of_v4(local.ip().to_bits()),
            SocketAddr::V6(local) => {
                let (_, prefix) = self.door6?;
                let low = local.ip().to_bits() ^ prefix.to_bits();
                u16::try_from(low).ok().map(u32::from)
            }
        }
    }
}

/// How the kernel side is to be loaded.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where slots lead.
    pub doors: Doors,
    /// Whether each outcome of the hooks is told to user space.
    pub events: bool,
}

/// The kernel side. Dropping it detaches the programs and frees the maps.
pub struct Interceptor {
    ebpf: Ebpf,
    links: Vec<CgroupSockAddrLink>,
    destinations4: HashMap<MapData, Destination4, u32>,
    destinations6: HashMap<MapData, Destination6, u32>,
    slots: Array<MapData, Origin>,
    counters: PerCpuArray<MapData, u64>,
    control: Heartbeat,
    own_sockets: OwnSockets,
    events: Option<Events>,
}

impl fmt::Debug for Interceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interceptor").field("attached", &self.links.len()).finish_non_exhaustive()
    }
}

impl Interceptor {
    /// Loads the object into the kernel. Nothing is attached yet.
    pub fn load(options: Options) -> Result<Self, KernelError> {
        let cookie = netns::cookie()
            .map_err(|source| KernelError::System { action: "SO_NETNS_COOKIE", source })?;
        let mut ebpf = load_object(options, cookie)?;
        for name in PROGRAMS {
            program(&mut ebpf, name)?
                .load()
                .map_err(|source| KernelError::program("load", name, source))?;
        }
        let control = take(&mut ebpf, maps::CONTROL, Array::try_from)?;
        let own_sockets = take(&mut ebpf, maps::OWN_SOCKETS, SkStorage::try_from)?;
        let ring = take(&mut ebpf, maps::EVENTS, RingBuf::try_from)?;
        Ok(Self {
            links: Vec::new(),
            destinations4: take(&mut ebpf, maps::DESTINATIONS4, HashMap::try_from)?,
            destinations6: take(&mut ebpf, maps::DESTINATIONS6, HashMap::try_from)?,
            slots: take(&mut ebpf, maps::SLOTS, Array::try_from)?,
            counters: take(&mut ebpf, maps::COUNTERS, PerCpuArray::try_from)?,
            control: Heartbeat { control: Arc::new(Mutex::new((Control::default(), control))) },
            own_sockets: OwnSockets { storage: Arc::new(Mutex::new(own_sockets)) },
            events: options.events.then(|| Events::new(ring)).transpose().map_err(|source| {
                KernelError::System { action: "watch the kernel's event ring", source }
            })?,
            ebpf,
        })
    }

    /// Attaches the programs to the cgroup directory. Links are owned by descriptors of this
    /// process alone: if it dies, they are gone.
    pub fn attach(&mut self, cgroup: &Path) -> Result<(), KernelError> {
        let directory = fs::File::open(cgroup).map_err(|source| match source.kind() {
            std::io::ErrorKind::PermissionDenied => {
                KernelError::NotPermitted { action: "open the cgroup" }
            }
            _ => KernelError::Cgroup { path: cgroup.to_owned(), source },
        })?;
        for name in PROGRAMS {
            let link = attach(program(&mut self.ebpf, name)?, &directory)
                .map_err(|source| KernelError::program("attach", name, source))?;
            self.links.push(link);
        }
        Ok(())
    }

    /// Detaches the programs, `connect` first. Open connections go on.
    pub fn detach(&mut self) {
        while let Some(link) = self.links.pop() {
            drop(link);
        }
    }

    /// From now on connections to `destination` go to `slot`; with slot 0 they are counted and
    /// passed.
    pub fn redirect(&mut self, destination: SocketAddr, slot: u32) -> Result<(), KernelError> {
        if slot != 0 {
            self.slots
                .set(slot, origin_of(destination), 0)
                .map_err(|source| KernelError::map(maps::SLOTS, source))?;
        }
        match key_of(destination) {
            Key::V4(key) => self
                .destinations4
                .insert(key, slot, 0)
                .map_err(|source| KernelError::map(maps::DESTINATIONS4, source)),
            Key::V6(key) => self
                .destinations6
                .insert(key, slot, 0)
                .map_err(|source| KernelError::map(maps::DESTINATIONS6, source)),
        }
    }

    /// From now on connections to `destination` are left alone; so are they where it was not
    /// intercepted. Its slot keeps its meaning until [`Interceptor::clear_slot`].
    pub fn release(&mut self, destination: SocketAddr) -> Result<(), KernelError> {
        let (map, result) = match key_of(destination) {
            Key::V4(key) => (maps::DESTINATIONS4, self.destinations4.remove(&key)),
            Key::V6(key) => (maps::DESTINATIONS6, self.destinations6.remove(&key)),
        };
        match result {
            Err(error) if !is_absent(&error) => Err(KernelError::map(map, error)),
            _ => Ok(()),
        }
    }

    /// The slot stands for nothing any more.
    pub fn clear_slot(&mut self, slot: u32) -> Result<(), KernelError> {
        self.slots
            .set(slot, Origin::default(), 0)
            .map_err(|source| KernelError::map(maps::SLOTS, source))
    }

    /// The hook's outcomes since loading, summed over the CPUs.
    pub fn outcomes(&self) -> Result<OutcomeCounts, KernelError> {
        let mut counts = OutcomeCounts::default();
        for counter in Counter::ALL {
            let per_cpu = self
                .counters
                .get(&(counter as u32), 0)
                .map_err(|source| KernelError::map(maps::COUNTERS, source))?;
            counts.0[counter as usize] = per_cpu.iter().sum();
        }
        Ok(counts)
    }

    /// The handle that keeps redirection alive, and pauses it.
    #[must_use]
    pub fn heartbeat(&self) -> Heartbeat {
        self.control.clone()
    }

    /// The handle that marks sockets as the daemon's own.
    #[must_use]
    pub fn own_sockets(&self) -> OwnSockets {
        self.own_sockets.clone()
    }

    /// The debug events, if they were asked for; once.
    pub fn take_events(&mut self) -> Option<Events> {
        self.events.take()
    }

    /// Name and descriptor information file of each program, for its run time statistics.
    #[must_use]
    pub fn program_descriptors(&self) -> Vec<(&'static str, i32)> {
        use std::os::fd::AsRawFd as _;
        let mut descriptors = Vec::new();
        for name in PROGRAMS {
            if let Some(fd) = self.ebpf.program(name).and_then(|program| program.fd().ok()) {
                descriptors.push((name, fd.as_fd().as_raw_fd()));
            }
        }
        descriptors
    }
}

/// Counts of each outcome of the connect hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutcomeCounts([u64; Counter::ALL.len()]);

impl OutcomeCounts {
    /// The count of one outcome.
    #[must_use]
    pub fn of(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }
}

/// Tells the kernel side that the daemon is alive, or that it is to pass everything on.
#[derive(Clone)]
pub struct Heartbeat {
    control: Arc<Mutex<(Control, Array<MapData, Control>)>>,
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat").finish_non_exhaustive()
    }
}

impl Heartbeat {
    /// The oldest stamp of any worker, in ns of [`super::monotonic_ns`].
    pub fn beat(&self, oldest_ns: u64) -> Result<(), KernelError> {
        self.update(|control| control.heartbeat_ns = oldest_ns)
    }

    /// Passes every connection on from now on.
    pub fn pause(&self) -> Result<(), KernelError> {
        self.update(|control| control.paused = 1)
    }

    fn update(&self, change: impl FnOnce(&mut Control)) -> Result<(), KernelError> {
        let mut guard = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let (control, map) = &mut *guard;
        change(control);
        map.set(0, *control, 0).map_err(|source| KernelError::map(maps::CONTROL, source))
    }
}

/// Marks sockets as the daemon's own, so that the connect programs leave them alone.
#[derive(Clone, Debug)]
pub struct OwnSockets {
    storage: Arc<Mutex<SkStorage<MapData, OwnSocket>>>,
}

impl OwnSockets {
    /// Marks `socket`, not yet connected, as leading to `backend` (0: to none of them).
    pub fn mark(&self, socket: impl AsFd, backend: u32) -> Result<(), KernelError> {
        use std::os::fd::AsRawFd as _;
        let own = OwnSocket { flags: OwnSocket::BYPASS, backend };
        let mut storage = self.storage.lock().unwrap_or_else(PoisonError::into_inner);
        storage
            .insert(&socket.as_fd().as_raw_fd(), own, 0)
            .map_err(|source| KernelError::map(maps::OWN_SOCKETS, source))
    }
}

/// The address an [`Origin`] stands for, v4-mapped ones as IPv4.
pub(super) fn origin_address(origin: &Origin) -> SocketAddr {
    let mut bytes = [0; 16];
    for (chunk, word) in bytes.chunks_exact_mut(4).zip(origin.address) {
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    let address = Ipv6Addr::from(bytes).to_canonical();
    SocketAddr::new(address, u16::from_be(origin.port))
}

enum Key {
    V4(Destination4),
    V6(Destination6),
}

fn key_of(destination: SocketAddr) -> Key {
    let port = destination.port().to_be();
    match destination {
        SocketAddr::V4(v4) => {
            Key::V4(Destination4 { address: v4.ip().to_bits().to_be(), port, padding: 0 })
        }
        SocketAddr::V6(v6) => Key::V6(Destination6 { address: words(*v6.ip()), port, padding: 0 }),
    }
}

fn origin_of(destination: SocketAddr) -> Origin {
    match key_of(destination) {
        Key::V4(key) => Origin::v4(key.address, key.port),
        Key::V6(key) => Origin::v6(key.address, key.port),
    }
}

/// The address as the four words that stand in memory, network byte order.
fn words(address: Ipv6Addr) -> [u32; 4] {
    let octets = address.octets();
    let word = |at: usize| {
        u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
    };
    [word(0), word(4), word(8), word(12)]
}

fn is_absent(error: &MapError) -> bool {
    match error {
        MapError::KeyNotFound => true,
        MapError::SyscallError(error) => error.io_error.raw_os_error() == Some(libc::ENOENT),
        _ => false,
    }
}

fn load_object(options: Options, cookie: u64) -> Result<Ebpf, KernelError> {
    let port4 = options.doors.port4.to_be();
    let port6 = options.doors.door6.map_or(0, |(port, _)| port.to_be());
    let prefix6 = options.doors.door6.map_or(SlotPrefix6::default(), |(_, prefix)| {
        let [first, second, _, _] = words(prefix);
        SlotPrefix6 { words: [first, second] }
    });
    let events_on = u8::from(options.events);
    let btf = Btf::from_sys_fs().ok();
    let ring = if options.events { EVENT_RING_BYTES } else { SMALLEST_RING };
    EbpfLoader::new()
        .btf(btf.as_ref())
        .override_global(globals::NETNS_COOKIE, &cookie, true)
        .override_global(globals::DOOR_PORT4, &port4, true)
        .override_global(globals::DOOR_PORT6, &port6, true)
        .override_global(globals::SLOT_PREFIX6, &prefix6, true)
        .override_global(globals::EVENTS_ON, &events_on, true)
        .map_max_entries(maps::EVENTS, ring)
        .load(OBJECT)
        .map_err(KernelError::load)
}

fn program<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut CgroupSockAddr, KernelError> {
    ebpf.program_mut(name)
        .ok_or(KernelError::Foreign(name))?
        .try_into()
        .map_err(|_| KernelError::Foreign(name))
}

fn attach(
    program: &mut CgroupSockAddr,
    directory: &fs::File,
) -> Result<CgroupSockAddrLink, aya::programs::ProgramError> {
    // Links are multi-attach by themselves; `AllowMultiple` makes bpf_link_create fail.
    let link = program.attach(directory, CgroupAttachMode::Single)?;
    program.take_link(link)
}

fn take<T, E: Into<MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
    into: impl FnOnce(Map) -> Result<T, E>,
) -> Result<T, KernelError> {
    let map = ebpf.take_map(name).ok_or(KernelError::Foreign(name))?;
    into(map).map_err(|source| KernelError::map(name, source))
}

#[cfg(test)]
mod tests {
    use super::{Doors, origin_address, origin_of};
    use std::net::SocketAddr;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_origin_survives_the_way_through_the_kernel_map() {
        for text in ["192.0.2.1:80", "[2001:db8::1]:443", "[::1]:1", "255.255.255.255:65535"] {
            assert_eq!(origin_address(&origin_of(address(text))), address(text));
        }
    }

    #[test]
    fn a_local_address_tells_its_slot() {
        let prefix = "fd64:6973:7061:1f90::".parse().expect("a prefix");
        let doors = Doors { port4: 8080, door6: Some((8080, prefix)) };
        assert_eq!(doors.slot_of(address("127.208.1.2:8080")), Some(0x0102));
        assert_eq!(doors.slot_of(address("127.0.0.1:8080")), None);
        assert_eq!(doors.slot_of(address("[fd64:6973:7061:1f90::102]:8080")), Some(0x0102));
        assert_eq!(doors.slot_of(address("[fd64:6973:7061:1f90::1:102]:8080")), None);
        assert_eq!(doors.slot_of(address("[::1]:8080")), None);
    }
}
