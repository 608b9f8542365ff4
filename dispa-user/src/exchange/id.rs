//! Numbers of exchanges.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::{Builder, Uuid};

/// The number of an exchange that began at `began`: a UUID of version 7 (RFC 9562 section 5.7), so that
/// they sort by time. Its random part is no secret, and asks the kernel for nothing.
#[must_use]
pub fn new_id(began: SystemTime) -> Uuid {
    let since = began.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let milliseconds = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let [chance @ .., _, _, _, _, _, _] = fastrand::u128(..).to_ne_bytes();
    Builder::from_unix_timestamp_millis(milliseconds, &chance).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::new_id;

    #[test]
    fn ids_sort_by_time_and_differ() {
        let then = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let (first, second) = (new_id(then), new_id(then + Duration::from_millis(1)));
        assert!(first < second, "{first} {second}");
        assert_ne!(first, new_id(then));
        assert_eq!(first.get_version_num(), 7);
    }
}
