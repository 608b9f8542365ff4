//! What interception needs of the host, checked before anything is touched.

use std::{fs, io};

use super::KernelError;

/// The oldest kernel whose BPF features are all there, as (major, minor): `bpf_link` on cgroups
/// (5.7), ring buffer (5.8), socket storage in cgroup hooks, and `SO_NETNS_COOKIE` (5.14).
pub const OLDEST_KERNEL: (u32, u32) = (5, 15);

/// Capabilities that loading and attaching need, by number (include/uapi/linux/capability.h).
const NEEDED: [(u32, &str); 2] = [(12, "CAP_NET_ADMIN"), (39, "CAP_BPF")];

/// Implies `CAP_BPF` and `CAP_PERFMON` (capabilities(7)).
const SYS_ADMIN: u32 = 21;
const PERFMON: u32 = 38;

/// Fails with the one thing that is missing, if any is.
pub fn require() -> Result<(), KernelError> {
    let release = kernel_release()?;
    if version_of(&release).is_none_or(|version| version < OLDEST_KERNEL) {
        return Err(KernelError::TooOld { found: release });
    }
    let missing = missing_capabilities()?;
    if missing.is_empty() { Ok(()) } else { Err(KernelError::LacksCapabilities { missing }) }
}

/// The running kernel's release, such as `6.1.0-35-amd64`.
pub fn kernel_release() -> Result<String, KernelError> {
    let path = "/proc/sys/kernel/osrelease";
    let failed = |source| KernelError::System { action: "read the kernel's release", source };
    Ok(fs::read_to_string(path).map_err(failed)?.trim().to_owned())
}

/// The capabilities this process lacks, by name.
pub fn missing_capabilities() -> Result<Vec<&'static str>, KernelError> {
    let effective = effective()?;
    let holds = |bit: u32| effective & (1 << bit) != 0;
    let granted = |bit: u32, name| holds(bit) || (name == "CAP_BPF" && holds(SYS_ADMIN));
    let missing = NEEDED.iter().filter(|(bit, name)| !granted(*bit, *name));
    Ok(missing.map(|(_, name)| *name).collect())
}

/// Whether this process is one that the verifier is stricter with: up to Linux 6.1 at least it takes no
/// program of such a process that writes over half of a pointer on its stack, as compilers do.
pub(super) fn lacks_perfmon() -> bool {
    effective().is_ok_and(|effective| effective & (1 << PERFMON | 1 << SYS_ADMIN) == 0)
}

/// The capabilities this process holds, a bit each.
fn effective() -> Result<u64, KernelError> {
    let failed = |source| KernelError::System { action: "read /proc/self/status", source };
    let status = fs::read_to_string("/proc/self/status").map_err(failed)?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .ok_or_else(|| failed(io::Error::other("it has no CapEff")))
}

/// (major, minor) of the running kernel; (0, 0) where its release tells none.
pub(super) fn kernel_version() -> Result<(u32, u32), KernelError> {
    Ok(version_of(&kernel_release()?).unwrap_or_default())
}

/// (major, minor) of a release.
fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{OLDEST_KERNEL, version_of};

    #[test]
    fn releases_compare_as_numbers() {
        assert_eq!(version_of("6.1.0-35-cloud-amd64"), Some((6, 1)));
        assert_eq!(version_of("5.15"), Some((5, 15)));
        assert!(version_of("5.4.0") < Some(OLDEST_KERNEL));
        assert_eq!(version_of("unknown"), None);
    }
}
