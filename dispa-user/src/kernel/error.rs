//! What can go wrong between the daemon and the kernel, sorted by who can mend it.

use std::{io, path::PathBuf};

use aya::{EbpfError, maps::MapError, programs::ProgramError};

use super::{OLDEST_KERNEL, require::lacks_perfmon};

/// An error of the kernel side.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The kernel is older than what the programs need.
    #[error(
        "this kernel is {found}; interception needs {}.{} or newer",
        OLDEST_KERNEL.0,
        OLDEST_KERNEL.1
    )]
    TooOld {
        /// The running kernel's release.
        found: String,
    },
    /// The process lacks capabilities.
    #[error(
        "interception needs {}: run as root, or grant them (AmbientCapabilities= in a unit, \
         setcap on the binary)",
        missing.join(" and ")
    )]
    LacksCapabilities {
        /// Their names.
        missing: Vec<&'static str>,
    },
    /// The process may not use BPF, in spite of its capabilities.
    #[error(
        "not permitted to {action}: a security module or a user namespace forbids it; `dispa doctor` \
         tells more"
    )]
    NotPermitted {
        /// What was refused.
        action: &'static str,
    },
    /// The cgroup cannot be opened.
    #[error("cannot open the cgroup {}: {source}", path.display())]
    Cgroup {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The cgroup is an ordinary directory, or one of cgroup v1.
    #[error(
        "{} is no directory of cgroup v2: name one below its mount in intercept.cgroup \
         (`grep cgroup2 /proc/mounts`)",
        path.display()
    )]
    NotCgroup2 {
        /// The directory.
        path: PathBuf,
    },
    /// The program that counts for the backends would run for every connection of the host.
    #[error(
        "this process is in {}, the root of all cgroups; run it as a systemd service, or in a cgroup \
         of its own",
        path.display()
    )]
    RootCgroup {
        /// The directory.
        path: PathBuf,
    },
    /// The kernel refused the object.
    #[error("cannot load the kernel programs: {}", chain(&**.0))]
    Load(#[source] Box<EbpfError>),
    /// The kernel refused a program or a link.
    #[error("cannot {action} the kernel program {program}: {}", chain(&**source))]
    Program {
        /// `load` or `attach`.
        action: &'static str,
        /// Its name in the object.
        program: &'static str,
        /// Why.
        source: Box<ProgramError>,
    },
    /// A map could not be read or written.
    #[error("kernel map {map}: {}", chain(&**source))]
    Map {
        /// Its name in the object.
        map: &'static str,
        /// Why.
        source: Box<MapError>,
    },
    /// The object lacks what this build of the daemon expects of it.
    #[error("the embedded kernel object has no {0}; it was built from other sources")]
    Foreign(&'static str),
    /// A call that is not BPF.
    #[error("{action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl KernelError {
    pub(super) fn load(source: EbpfError) -> Self {
        if is_refusal(&source) {
            return Self::NotPermitted { action: "load kernel programs" };
        }
        Self::Load(Box::new(source))
    }

    pub(super) fn program(
        action: &'static str,
        program: &'static str,
        source: ProgramError,
    ) -> Self {
        if is_refusal(&source) {
            return Self::NotPermitted {
                action: if action == "load" {
                    "load kernel programs"
                } else {
                    "attach kernel programs to the cgroup"
                },
            };
        }
        if action == "load" && lacks_perfmon() {
            return Self::LacksCapabilities { missing: vec!["CAP_PERFMON"] };
        }
        Self::Program { action, program, source: Box::new(source) }
    }

    /// Whether a map has the key already.
    pub(super) fn exists(&self) -> bool {
        let Self::Map { source, .. } = self else { return false };
        match &**source {
            MapError::SyscallError(error) => error.io_error.raw_os_error() == Some(libc::EEXIST),
            _ => false,
        }
    }

    pub(super) fn map(map: &'static str, source: impl Into<MapError>) -> Self {
        Self::Map { map, source: Box::new(source.into()) }
    }
}

/// An error and its causes in one line: aya's own line rarely has the kernel's word.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !line.contains(&words) {
            line = format!("{line}: {words}");
        }
        cause = error.source();
    }
    line
}

/// Whether anywhere in the chain of causes the kernel said EPERM or EACCES.
fn is_refusal(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            // A verifier's refusal is EACCES as well, but it is ours to mend, not the user's.
            return error.raw_os_error() == Some(libc::EPERM);
        }
        cause = error.source();
    }
    false
}
