//! The clocks that `bpf_ktime_get_ns` and `bpf_ktime_get_boot_ns` read.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[must_use]
pub fn monotonic_ns() -> u64 {
    now_ns(ClockId::CLOCK_MONOTONIC)
}

/// Nanoseconds of `CLOCK_BOOTTIME`.
pub(super) fn boot_ns() -> u64 {
    now_ns(ClockId::CLOCK_BOOTTIME)
}

fn now_ns(clock: ClockId) -> u64 {
    // The call cannot fail for these clocks; were it to, a stamp of 0 is stale and passes traffic on.
    let Ok(now) = clock_gettime(clock) else { return 0 };
    let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec()).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}
