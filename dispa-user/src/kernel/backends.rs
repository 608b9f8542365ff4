//! What the kernel counts on the way to each backend: which backends it counts for, its program
//! attached to the daemon's own cgroup, and the sums.

use std::{fmt, fs, path::Path};

use aya::{
    Ebpf,
    maps::{MapData, PerCpuHashMap, PerCpuValues},
    programs::{CgroupAttachMode, ProgramError, SockOps, sock_ops::SockOpsLink},
    util::nr_cpus,
};
use dispa_common::{BackendCounts, maps, programs};

use super::{
    Cgroup2, KernelError,
    interceptor::{NO_EXIST, is_absent},
};

/// The counts of all backends, and the program that counts, as long as this lives.
pub(super) struct Backends {
    counts: PerCpuHashMap<MapData, u32, BackendCounts>,
    link: Option<SockOpsLink>,
}

impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backends").field("link", &self.link).finish_non_exhaustive()
    }
}

impl Backends {
    pub(super) fn new(counts: PerCpuHashMap<MapData, u32, BackendCounts>) -> Self {
        Self { counts, link: None }
    }

    /// Loads the program and attaches it to `cgroup`, by a link of this process alone.
    pub(super) fn attach(&mut self, ebpf: &mut Ebpf, cgroup: &Path) -> Result<(), KernelError> {
        if Cgroup2::is_host_root(cgroup) {
            return Err(KernelError::RootCgroup { path: cgroup.to_owned() });
        }
        let directory = fs::File::open(cgroup)
            .map_err(|source| KernelError::Cgroup { path: cgroup.to_owned(), source })?;
        let program = program(ebpf)?;
        let failed =
            |action| move |source| KernelError::program(action, programs::SOCK_OPS, source);
        match program.load() {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => {}
            Err(error) => return Err(failed("load")(error)),
        }
        // As for the other programs: `AllowMultiple` makes bpf_link_create fail.
        let link = program.attach(directory, CgroupAttachMode::Single).map_err(failed("attach"))?;
        self.link = Some(program.take_link(link).map_err(failed("attach"))?);
        Ok(())
    }

    /// Whether anything is counted.
    pub(super) fn are_counted(&self) -> bool {
        self.link.is_some()
    }

    pub(super) fn watch(&mut self, number: u32) -> Result<(), KernelError> {
        let cpus = nr_cpus().map_err(|(action, source)| KernelError::System { action, source })?;
        let nothing = PerCpuValues::try_from(vec![BackendCounts::default(); cpus])
            .map_err(|source| KernelError::System { action: "count the processors", source })?;
        match self.counts.insert(number, nothing, NO_EXIST) {
            Ok(()) => Ok(()),
            Err(source) => match KernelError::map(maps::BACKENDS, source) {
                // It goes on counting from where it is.
                error if error.exists() => Ok(()),
                error => Err(error),
            },
        }
    }

    pub(super) fn forget(&mut self, number: u32) -> Result<(), KernelError> {
        match self.counts.remove(&number) {
            Err(error) if !is_absent(&error) => Err(KernelError::map(maps::BACKENDS, error)),
            _ => Ok(()),
        }
    }

    /// The sum over all processors; `None` where nothing is counted.
    pub(super) fn of(&self, number: u32) -> Result<Option<BackendCounts>, KernelError> {
        if !self.are_counted() {
            return Ok(None);
        }
        match self.counts.get(&number, 0) {
            Ok(each) => {
                Ok(Some(each.iter().fold(BackendCounts::default(), |sum, one| sum.and(*one))))
            }
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(KernelError::map(maps::BACKENDS, error)),
        }
    }
}

fn program(ebpf: &mut Ebpf) -> Result<&mut SockOps, KernelError> {
    ebpf.program_mut(programs::SOCK_OPS)
        .ok_or(KernelError::Foreign(programs::SOCK_OPS))?
        .try_into()
        .map_err(|_| KernelError::Foreign(programs::SOCK_OPS))
}
