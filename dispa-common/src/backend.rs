//! What the kernel counted on the way to one backend.

/// Entries of [`crate::maps::BACKENDS`] there may be: backends that are counted at once.
pub const BACKEND_COUNT: u32 = 4096;

/// The accounts of one backend: of one CPU in the map, summed up where they are read.
///
/// Bytes are payload of TCP, as the kernel accounts for them: no headers, nothing sent twice, and
/// neither SYN nor FIN, which take up a number in the sequence as if they were a byte.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendCounts {
    /// Connections that were established.
    pub opened: u64,
    /// Connections that were tried and not established: refused, unanswered, or given up.
    pub failed: u64,
    /// Established connections that have ended.
    pub closed: u64,
    /// Bytes that the backend's host acknowledged.
    pub bytes_out: u64,
    /// Bytes that arrived from the backend, in order.
    pub bytes_in: u64,
    /// Segments that were sent again, SYNs among them.
    pub retransmits: u64,
    /// The smoothed round trip time last seen, and when; see [`BackendCounts::rtt_us`].
    pub rtt: u64,
}

impl BackendCounts {
    /// Which bits of a time in ns tell which of two round trip times is the newer one: steps of
    /// 67 ms, which 32 bits count for nine years.
    const MOMENT_SHIFT: u32 = 26;

    /// The value of [`BackendCounts::rtt`] for what was seen at `now_ns` (`CLOCK_MONOTONIC`). Time and
    /// value are one word, so that they are never torn apart, and the newer is the greater one.
    #[inline]
    #[must_use]
    pub const fn rtt_at(now_ns: u64, rtt_us: u32) -> u64 {
        now_ns >> Self::MOMENT_SHIFT << 32 | rtt_us as u64
    }

    /// The smoothed round trip time last seen, in µs; 0 before the first.
    #[must_use]
    pub const fn rtt_us(&self) -> u64 {
        self.rtt & 0xffff_ffff
    }

    /// These accounts and `other`, of the same backend, as one.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            opened: self.opened.wrapping_add(other.opened),
            failed: self.failed.wrapping_add(other.failed),
            closed: self.closed.wrapping_add(other.closed),
            bytes_out: self.bytes_out.wrapping_add(other.bytes_out),
            bytes_in: self.bytes_in.wrapping_add(other.bytes_in),
            retransmits: self.retransmits.wrapping_add(other.retransmits),
            rtt: if self.rtt > other.rtt { self.rtt } else { other.rtt },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::BackendCounts;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn accounts_add_up_and_the_newest_round_trip_stays() {
        let first = BackendCounts {
            opened: 1,
            failed: 2,
            closed: 3,
            bytes_out: 4,
            bytes_in: 5,
            retransmits: 6,
            rtt: BackendCounts::rtt_at(SECOND, 900),
        };
        let second = BackendCounts { rtt: BackendCounts::rtt_at(2 * SECOND, 70), ..first };
        let both = first.and(second);
        assert_eq!(both, second.and(first));
        assert_eq!(both.rtt_us(), 70);
        let BackendCounts { opened, failed, closed, bytes_out, bytes_in, retransmits, .. } = both;
        assert_eq!(
            (opened, failed, closed, bytes_out, bytes_in, retransmits),
            (2, 4, 6, 8, 10, 12)
        );
    }

    #[test]
    fn there_is_no_round_trip_time_before_the_first() {
        assert_eq!(BackendCounts::default().rtt_us(), 0);
        assert_eq!(BackendCounts::default().and(BackendCounts::default()).rtt, 0);
    }
}
