//! The loaded kernel side: its maps are written here, its programs attached and detached.

use std::{
    fmt, io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    path::Path,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{
        Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap, Queue, RingBuf,
        SkStorage,
    },
    programs::CgroupSockAddr,
};
use dispa_common::{
    BackendCounts, CLIENT_COUNT, Counter, Destination4, Destination6, EVENT_RING_BYTES, Origin,
    PROBE_SLOT, SlotPrefix6, globals, maps, programs,
};

use super::{
    Clients, Doors, Events, Greedy, Heartbeat, KernelError, OutcomeCounts, OwnSockets,
    SelectedCgroups, Selection,
    address::{Key, key_of, origin_address, origin_of, words},
    backends::Backends,
    links::{attach_type, link_programs, linked_to},
    netns,
    object::OBJECT,
};

/// Show programs the destinations they asked for: attached first, and there for as long as
/// connections through slots may be.
const RESTORING: [&str; 2] = [programs::GETPEERNAME4, programs::GETPEERNAME6];
const RESTORING_DNS: [&str; 2] = [programs::RECVMSG4, programs::RECVMSG6];

/// Redirect: attached last, when all that they lead to is in place, and detached first.
const REDIRECTING: [&str; 2] = [programs::CONNECT6, programs::CONNECT4];
const REDIRECTING_DNS: [&str; 2] = [programs::SENDMSG6, programs::SENDMSG4];

/// `BPF_NOEXIST` (include/uapi/linux/bpf.h).
pub(super) const NO_EXIST: u64 = 1;

/// Bytes of the ring while nothing is written to it: the least the kernel takes, one page.
const SMALLEST_RING: u32 = 4096;

/// What is attached. Dropping a link detaches its program.
#[derive(Debug, Default)]
struct Links {
    redirecting: Vec<OwnedFd>,
    restoring: Vec<OwnedFd>,
}

/// How the kernel side is to be loaded.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where slots lead.
    pub doors: Doors,
    /// Whether each outcome of the hooks is told to user space.
    pub events: bool,
    /// Whether it is remembered which program makes a connection.
    pub clients: bool,
    /// Where the explicit door is: it is remembered of connections to it as well.
    pub explicit: Option<SocketAddr>,
    /// Whose connections are redirected.
    pub selection: Selection,
    /// Whether questions to resolvers are redirected.
    pub dns: bool,
    /// Ports on which every address is redirected.
    pub caught_ports: Vec<u16>,
}

/// The kernel side. Dropping it detaches the programs and frees the maps.
pub struct Interceptor {
    ebpf: Ebpf,
    doors: Doors,
    restoring: Vec<&'static str>,
    redirecting: Vec<&'static str>,
    links: Links,
    destinations4: HashMap<MapData, Destination4, u32>,
    destinations6: HashMap<MapData, Destination6, u32>,
    slots: Array<MapData, Origin>,
    counters: PerCpuArray<MapData, u64>,
    free_slots: Queue<MapData, u32>,
    control: Heartbeat,
    own_sockets: OwnSockets,
    backends: Backends,
    /// Not yet read by anybody.
    events: Option<RingBuf<MapData>>,
    /// What was counted before it was to begin.
    before: OutcomeCounts,
    clients: Option<Clients>,
    selected_cgroups: SelectedCgroups,
    greedy: Greedy,
}

impl fmt::Debug for Interceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interceptor").field("links", &self.links).finish_non_exhaustive()
    }
}

impl Interceptor {
    /// Loads the object into the kernel. Nothing is attached yet.
    pub fn load(options: &Options) -> Result<Self, KernelError> {
        let cookie = netns::cookie()
            .map_err(|source| KernelError::System { action: "SO_NETNS_COOKIE", source })?;
        let mut ebpf = load_object(options, cookie)?;
        let (restoring, redirecting) = programs_for(options);
        for name in restoring.iter().chain(&redirecting) {
            program(&mut ebpf, name)?
                .load()
                .map_err(|source| KernelError::program("load", name, source))?;
        }
        catch_ports(&mut ebpf, &options.caught_ports)?;
        options.selection.write_users(&mut ebpf)?;
        let control = take(&mut ebpf, maps::CONTROL, Array::try_from)?;
        let own_sockets = take(&mut ebpf, maps::OWN_SOCKETS, SkStorage::try_from)?;
        let clients = take(&mut ebpf, maps::CLIENTS, HashMap::try_from)?;
        let selected = take(&mut ebpf, maps::SELECTED_CGROUPS, HashMap::try_from)?;
        let ring = take(&mut ebpf, maps::EVENTS, RingBuf::try_from)?;
        Ok(Self {
            doors: options.doors,
            restoring,
            redirecting,
            links: Links::default(),
            destinations4: take(&mut ebpf, maps::DESTINATIONS4, HashMap::try_from)?,
            destinations6: take(&mut ebpf, maps::DESTINATIONS6, HashMap::try_from)?,
            slots: take(&mut ebpf, maps::SLOTS, Array::try_from)?,
            counters: take(&mut ebpf, maps::COUNTERS, PerCpuArray::try_from)?,
            free_slots: take(&mut ebpf, maps::FREE_SLOTS, Queue::try_from)?,
            control: Heartbeat::new(control),
            own_sockets: OwnSockets::new(own_sockets),
            backends: Backends::new(take(&mut ebpf, maps::BACKENDS, PerCpuHashMap::try_from)?),
            clients: options.clients.then(|| Clients::new(clients)),
            selected_cgroups: SelectedCgroups::new(selected),
            greedy: Greedy::new(take(&mut ebpf, maps::GREEDY, HashMap::try_from)?),
            events: options.events.then_some(ring),
            before: OutcomeCounts::default(),
            ebpf,
        })
    }

    /// Attaches the programs to the cgroup directory. Links are owned by descriptors of this
    /// process alone: if it dies, they are gone.
    pub fn attach(&mut self, cgroup: &Path) -> Result<(), KernelError> {
        for asked in self.doors.probed() {
            self.insert(asked, PROBE_SLOT, 0)?;
        }
        let links = link_programs(&self.attachable()?, cgroup)?;
        self.adopt(links);
        Ok(())
    }

    /// The programs that are attached, in that order, each with its `enum bpf_attach_type`.
    pub fn attachable(&self) -> Result<Vec<(u32, BorrowedFd<'_>)>, KernelError> {
        let attachable = |name: &&'static str| {
            let program = self.ebpf.program(name).and_then(|program| program.fd().ok());
            let found = attach_type(name).zip(program.map(AsFd::as_fd));
            found.ok_or(KernelError::Foreign(name))
        };
        self.restoring.iter().chain(&self.redirecting).map(attachable).collect()
    }

    /// Holds these links, one for each of [`Interceptor::attachable`], instead of those it had.
    pub fn adopt(&mut self, mut links: Vec<OwnedFd>) {
        let redirecting = links.split_off(self.restoring.len().min(links.len()));
        self.links = Links { restoring: links, redirecting };
    }

    /// Detaches the programs that redirect. Open connections go on, and go on being shown what they
    /// asked for.
    pub fn detach(&mut self) {
        self.links.redirecting.clear();
    }

    /// From now on connections to `destination` go to `slot`; with slot 0 they are counted and
    /// passed. If the programs gave it a slot of their own already, that one stays: it is returned.
    pub fn redirect(&mut self, destination: SocketAddr, slot: u32) -> Result<u32, KernelError> {
        if slot != 0 {
            self.slots
                .set(slot, origin_of(destination), 0)
                .map_err(|source| KernelError::map(maps::SLOTS, source))?;
        }
        match self.insert(destination, slot, NO_EXIST) {
            Err(error) if error.exists() => {}
            inserted => return inserted.map(|()| slot),
        }
        match self.lookup(destination)? {
            Some(theirs) if theirs != 0 => Ok(theirs),
            _ => self.insert(destination, slot, 0).map(|()| slot),
        }
    }

    /// From now on connections to `destination` are counted and passed.
    pub fn pass(&mut self, destination: SocketAddr) -> Result<(), KernelError> {
        self.insert(destination, 0, 0)
    }

    fn insert(
        &mut self,
        destination: SocketAddr,
        slot: u32,
        flags: u64,
    ) -> Result<(), KernelError> {
        match key_of(destination) {
            Key::V4(key) => self
                .destinations4
                .insert(key, slot, flags)
                .map_err(|source| KernelError::map(maps::DESTINATIONS4, source)),
            Key::V6(key) => self
                .destinations6
                .insert(key, slot, flags)
                .map_err(|source| KernelError::map(maps::DESTINATIONS6, source)),
        }
    }

    /// The slot that connections to `destination` go to by the kernel's account, 0 if they are passed;
    /// `None`: they are left alone.
    pub fn lookup(&self, destination: SocketAddr) -> Result<Option<u32>, KernelError> {
        let (map, found) = match key_of(destination) {
            Key::V4(key) => (maps::DESTINATIONS4, self.destinations4.get(&key, 0)),
            Key::V6(key) => (maps::DESTINATIONS6, self.destinations6.get(&key, 0)),
        };
        match found {
            Ok(slot) => Ok(Some(slot)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(KernelError::map(map, error)),
        }
    }

    /// The name of each program that was attached, with the id of the cgroup that it is attached to by
    /// the kernel's account.
    pub fn attachments(&self) -> io::Result<Vec<(&'static str, Option<u64>)>> {
        let restoring = self.restoring.iter().zip(&self.links.restoring);
        let links = restoring.chain(self.redirecting.iter().zip(&self.links.redirecting));
        links.map(|(program, link)| Ok((*program, linked_to(link)?))).collect()
    }

    /// Leaves `slot` to the programs, to be given to a destination they meet first.
    pub fn offer(&mut self, slot: u32) -> Result<(), KernelError> {
        self.free_slots.push(slot, 0).map_err(|source| KernelError::map(maps::FREE_SLOTS, source))
    }

    /// The destination that `slot` stands for, by the kernel's account.
    pub fn origin(&self, slot: u32) -> Result<Option<SocketAddr>, KernelError> {
        let origin =
            self.slots.get(&slot, 0).map_err(|source| KernelError::map(maps::SLOTS, source))?;
        Ok((origin.used != 0).then(|| origin_address(&origin)))
    }

    /// Every destination that is redirected, with its slot, by the kernel's account.
    #[must_use]
    pub fn destinations(&self) -> Vec<(SocketAddr, u32)> {
        let v4 = self
            .destinations4
            .iter()
            .filter_map(Result::ok)
            .map(|(key, slot)| (origin_address(&Origin::v4(key.address, key.port)), slot));
        let v6 = self
            .destinations6
            .iter()
            .filter_map(Result::ok)
            .map(|(key, slot)| (origin_address(&Origin::v6(key.address, key.port)), slot));
        v4.chain(v6).collect()
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

    /// The hook's outcomes since the beginning, summed over the CPUs.
    pub fn outcomes(&self) -> Result<OutcomeCounts, KernelError> {
        let mut counts = OutcomeCounts::default();
        for counter in Counter::ALL {
            let per_cpu = self
                .counters
                .get(&(counter as u32), 0)
                .map_err(|source| KernelError::map(maps::COUNTERS, source))?;
            let count: u64 = per_cpu.iter().sum();
            counts.set(counter, count.saturating_sub(self.before.of(counter)));
        }
        Ok(counts)
    }

    /// Counts what passes between the backends and sockets made in `own`, the cgroup directory of
    /// this process, from now on and until this is dropped. Fails where that is the host's root: it
    /// would run for every connection of the host. To be called before anything connects.
    pub fn count_backends(&mut self, own: &Path) -> Result<(), KernelError> {
        self.backends.attach(&mut self.ebpf, own)
    }

    /// These backends are counted for as well, from 0; those that already were go on.
    pub fn watch_backends(
        &mut self,
        numbers: impl IntoIterator<Item = u32>,
    ) -> Result<(), KernelError> {
        numbers.into_iter().try_for_each(|number| self.backends.watch(number))
    }

    /// This backend is not counted for any more; what was counted is gone.
    pub fn forget_backend(&mut self, number: u32) -> Result<(), KernelError> {
        self.backends.forget(number)
    }

    /// What was counted for backend number `number`, summed over the CPUs; `None` where it is not.
    pub fn backend_counts(&self, number: u32) -> Result<Option<BackendCounts>, KernelError> {
        self.backends.of(number)
    }

    /// The handle that keeps redirection alive, and pauses it.
    #[must_use]
    pub fn heartbeat(&self) -> Heartbeat {
        self.control.clone()
    }

    /// The table of those that have more than their share of connections.
    #[must_use]
    pub fn greedy(&self) -> Greedy {
        self.greedy.clone()
    }

    /// The handle that marks sockets as the daemon's own.
    #[must_use]
    pub fn own_sockets(&self) -> OwnSockets {
        self.own_sockets.clone()
    }

    /// The handle that tells which program made a connection, if that was asked for.
    #[must_use]
    pub fn clients(&self) -> Option<Clients> {
        self.clients.clone()
    }

    /// The handle by which the programs are told of cgroups.
    #[must_use]
    pub fn selected_cgroups(&self) -> SelectedCgroups {
        self.selected_cgroups.clone()
    }

    /// The debug events, on this runtime, if they were asked for; once.
    pub fn take_events(&mut self) -> Result<Option<Events>, KernelError> {
        let failed =
            |source| KernelError::System { action: "watch the kernel's event ring", source };
        self.events.take().map(Events::new).transpose().map_err(failed)
    }

    /// Ends the pause that it was attached in. What was passed on meanwhile is not counted.
    pub fn begin(&mut self) -> Result<(), KernelError> {
        self.before = self.outcomes()?;
        self.control.resume()
    }

    /// Each program's name and descriptor, by which `/proc/self/fdinfo` tells its run time.
    #[must_use]
    pub fn program_descriptors(&self) -> Vec<(&'static str, i32)> {
        let mut descriptors = Vec::new();
        let counting = self.backends.are_counted().then_some(&programs::SOCK_OPS);
        for &name in self.restoring.iter().chain(&self.redirecting).chain(counting) {
            if let Some(fd) = self.ebpf.program(name).and_then(|program| program.fd().ok()) {
                descriptors.push((name, fd.as_fd().as_raw_fd()));
            }
        }
        descriptors
    }
}

pub(super) fn is_absent(error: &MapError) -> bool {
    match error {
        MapError::KeyNotFound => true,
        MapError::SyscallError(error) => error.io_error.raw_os_error() == Some(libc::ENOENT),
        _ => false,
    }
}

fn load_object(options: &Options, cookie: u64) -> Result<Ebpf, KernelError> {
    let port4 = options.doors.port4.to_be();
    let port6 = options.doors.door6.map_or(0, |(port, _)| port.to_be());
    let prefix6 = options.doors.door6.map_or(SlotPrefix6::default(), |(_, prefix)| {
        let [first, second, _, _] = words(prefix);
        SlotPrefix6 { words: [first, second] }
    });
    let events_on = u8::from(options.events);
    let clients_on = u8::from(options.clients);
    let explicit = options.explicit.filter(|_| options.clients).map(origin_of).unwrap_or_default();
    let clients = if options.clients { CLIENT_COUNT } else { 1 };
    let dns_on = u8::from(options.dns);
    let catch_all = u8::from(!options.caught_ports.is_empty());
    let ring = if options.events { EVENT_RING_BYTES } else { SMALLEST_RING };
    EbpfLoader::new()
        // The programs have no relocations against the kernel's types: nothing to keep in memory.
        .btf(None)
        .override_global(globals::NETNS_COOKIE, &cookie, true)
        .override_global(globals::DOOR_PORT4, &port4, true)
        .override_global(globals::DOOR_PORT6, &port6, true)
        .override_global(globals::SLOT_PREFIX6, &prefix6, true)
        .override_global(globals::DNS_ON, &dns_on, true)
        .override_global(globals::CATCH_ALL, &catch_all, true)
        .override_global(globals::EVENTS_ON, &events_on, true)
        .override_global(globals::CLIENTS_ON, &clients_on, true)
        .override_global(globals::EXPLICIT_PORT, &explicit.port, true)
        .override_global(globals::EXPLICIT_ADDRESS, &explicit.address, true)
        .override_global(globals::SELECTION, &options.selection.flags, true)
        .map_max_entries(maps::CLIENTS, clients)
        .map_max_entries(maps::SELECTED_USERS, options.selection.user_count())
        .map_max_entries(maps::SELECTED_CGROUPS, options.selection.cgroup_count())
        .map_max_entries(maps::EVENTS, ring)
        .load(OBJECT)
        .map_err(KernelError::load)
}

/// Sets the bit of each port.
fn catch_ports(ebpf: &mut Ebpf, ports: &[u16]) -> Result<(), KernelError> {
    let map = ebpf.map_mut(maps::CAUGHT_PORTS).ok_or(KernelError::Foreign(maps::CAUGHT_PORTS))?;
    let failed = |source| KernelError::map(maps::CAUGHT_PORTS, source);
    let mut words = Array::<_, u64>::try_from(map).map_err(failed)?;
    for port in ports {
        let index = u32::from(port >> 6);
        let word = words.get(&index, 0).map_err(failed)?;
        words.set(index, word | 1 << (port & 63), 0).map_err(failed)?;
    }
    Ok(())
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

fn programs_for(options: &Options) -> (Vec<&'static str>, Vec<&'static str>) {
    if options.dns {
        ([RESTORING, RESTORING_DNS].concat(), [REDIRECTING_DNS, REDIRECTING].concat())
    } else {
        (RESTORING.to_vec(), REDIRECTING.to_vec())
    }
}

fn take<T, E: Into<MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
    into: impl FnOnce(Map) -> Result<T, E>,
) -> Result<T, KernelError> {
    let map = ebpf.take_map(name).ok_or(KernelError::Foreign(name))?;
    into(map).map_err(|source| KernelError::map(name, source))
}
