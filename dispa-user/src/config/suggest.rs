//! "Did you mean ...?"

/// Longer than any name of ours: no use comparing.
const MAX_COMPARED_BYTES: usize = 64;

/// The known name that `found` is most likely a misspelling of: at most one letter in three
/// differs, not counting case or `-` for `_`.
pub(super) fn closest<'a>(
    found: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if found.len() > MAX_COMPARED_BYTES {
        return None;
    }
    let found = found.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&found, name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::closest;

    const NAMES: [&str; 3] = ["workers", "weight", "keep_alive_timeout"];

    #[test]
    fn finds_what_was_meant() {
        assert_eq!(closest("worker", NAMES), Some("workers"));
        assert_eq!(closest("wieght", NAMES), Some("weight"));
        assert_eq!(closest("Keep-Alive-Timeout", NAMES), Some("keep_alive_timeout"));
    }

    #[test]
    fn does_not_guess_wildly() {
        assert_eq!(closest("threads", NAMES), None);
        assert_eq!(closest("", ["a_long_name"]), None);
        assert_eq!(closest(&"workers".repeat(10), NAMES), None);
    }
}
