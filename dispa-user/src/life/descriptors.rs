//! How many descriptors this process may have, and has.

use std::{fs, io};

use nix::sys::resource::{Resource, getrlimit};

const OWN: &str = "/proc/self/fd";

/// How many it may have open at once.
pub fn descriptor_limit() -> io::Result<usize> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(usize::try_from(soft).unwrap_or(usize::MAX))
}

/// How many are open.
pub fn open_descriptors() -> io::Result<usize> {
    // Linux tells the number as the directory's size, since 6.2; before that it is 0.
    match fs::metadata(OWN)?.len() {
        0 => Ok(fs::read_dir(OWN)?.count()),
        count => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::{descriptor_limit, open_descriptors};
    use std::fs::File;

    #[test]
    fn what_is_open_is_counted() {
        let limit = descriptor_limit().expect("a limit");
        let held: Vec<_> = (0..50).map(|_| File::open("/dev/null").expect("open")).collect();
        let open = open_descriptors().expect("a count");
        assert!(held.len() <= open && open <= limit, "{open} of {limit}");
    }
}
