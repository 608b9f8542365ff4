//! What became of each `connect()` that hit an intercepted destination. A miss is not counted: it
//! must cost next to nothing beyond one hash lookup.

/// Index into the per-CPU counter array; one for each outcome of a hit.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Sent to an IPv4 slot (v4-mapped destinations included).
    Redirected4 = 0,
    /// Sent to an IPv6 slot.
    Redirected6 = 1,
    /// Passed: the daemon is stopping.
    Paused = 2,
    /// Passed: no fresh heartbeat.
    StaleHeartbeat = 3,
    /// Passed: the socket lives in another network namespace.
    OtherNetns = 4,
    /// Passed: the socket is bound to a device, from which loopback cannot be reached.
    BoundDevice = 5,
    /// Passed: the daemon's own connection, or another instance's.
    OwnSocket = 6,
    /// Passed: the destination is known but no slot could be given to it.
    NoSlot = 7,
    /// Debug events that found the ring full.
    EventLost = 8,
    /// DNS over UDP sent to an IPv4 slot.
    Dns4 = 9,
    /// DNS over UDP sent to an IPv6 slot.
    Dns6 = 10,
    /// Passed: its user or cgroup is not among those that are intercepted.
    Excluded = 11,
    /// The daemon's own, made to see whether connections arrive; it is no program's.
    Probe = 12,
    /// Passed: as many connections are open as there may be.
    OverLimit = 13,
    /// Passed: few more can be opened, and its user's programs in its cgroup have more than their share.
    OverShare = 14,
}

/// Entries of the counter array.
pub const COUNTER_COUNT: u32 = 15;

impl Counter {
    /// All of them, in index order.
    pub const ALL: [Self; COUNTER_COUNT as usize] = [
        Self::Redirected4,
        Self::Redirected6,
        Self::Paused,
        Self::StaleHeartbeat,
        Self::OtherNetns,
        Self::BoundDevice,
        Self::OwnSocket,
        Self::NoSlot,
        Self::EventLost,
        Self::Dns4,
        Self::Dns6,
        Self::Excluded,
        Self::Probe,
        Self::OverLimit,
        Self::OverShare,
    ];

    /// The name used in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redirected4 => "redirected_v4",
            Self::Redirected6 => "redirected_v6",
            Self::Paused => "paused",
            Self::StaleHeartbeat => "stale_heartbeat",
            Self::OtherNetns => "other_netns",
            Self::BoundDevice => "bound_device",
            Self::OwnSocket => "own_socket",
            Self::NoSlot => "no_slot",
            Self::EventLost => "event_lost",
            Self::Dns4 => "dns_v4",
            Self::Dns6 => "dns_v6",
            Self::Excluded => "excluded",
            Self::Probe => "probe",
            Self::OverLimit => "over_limit",
            Self::OverShare => "over_share",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Counter;

    #[test]
    fn the_list_of_counters_is_in_index_order() {
        for (index, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, index);
        }
    }
}
