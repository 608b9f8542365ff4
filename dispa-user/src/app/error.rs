//! Why the daemon did not start, and the exit code that says so.

use std::io;

use crate::{
    config::ConfigError,
    keeper::KeeperError,
    kernel::{CgroupError, KernelError},
    net::ListenError,
    sink::OpenError,
};

/// An error that ends the start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken, or not ours.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No cgroup to attach to.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The kernel side.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A target is dispa itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No exchange could be written down.
    #[error(transparent)]
    TrafficLog(#[from] OpenError),
    /// The keeper.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// The operating system refused something else.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl StartError {
    pub(super) fn system(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { action, source }
    }

    /// The process' exit code: 1 where the configuration is at fault, 2 where an address cannot be bound, 3 where the
    /// traffic log cannot be written, 77 where a permission is missing, 71 (`EX_OSERR`, sysexits.h) where the system lacks what interception needs.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Listen(error) if error.is_refusal() => 77,
            Self::Config(_) => 1,
            Self::Listen(_) => 2,
            Self::TrafficLog(_) => 3,
            Self::Kernel(
                KernelError::NotPermitted { .. } | KernelError::LacksCapabilities { .. },
            ) => 77,
            Self::System { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => 77,
            Self::Cgroup(_) | Self::Kernel(_) | Self::Keeper(_) | Self::System { .. } => 71,
        }
    }
}
