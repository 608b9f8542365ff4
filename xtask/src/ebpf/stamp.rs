//! Tells whether the kernel object was made of the sources that are here now.
//!
//! Shared by xtask, which makes the object, and by dispa-user's build script, which embeds it:
//! the standard library only, and every path given from the top of the repository.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The object.
pub(crate) const OBJECT: &str = "target/ebpf/dispa-ebpf.o";
/// The fingerprint of the sources it was made of.
pub(crate) const STAMP: &str = "target/ebpf/dispa-ebpf.stamp";
/// The files and directories it is made of.
pub(crate) const SOURCES: [&str; 5] = [
    "dispa-common/Cargo.toml",
    "dispa-common/src",
    "dispa-ebpf/Cargo.lock",
    "dispa-ebpf/Cargo.toml",
    "dispa-ebpf/src",
];

/// The fingerprint of the sources: FNV-1a, 64 bits, over each file's path, size and bytes.
pub(crate) fn of_sources(root: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(root, Path::new(source), &mut files)?;
    }
    files.sort();
    let mut hash = Fnv1a::new();
    for file in files {
        let content = fs::read(root.join(&file))?;
        hash.add(file.as_os_str().as_encoded_bytes());
        hash.add(&content.len().to_le_bytes());
        hash.add(&content);
    }
    Ok(format!("{:016x}\n", hash.0))
}

/// Adds a file, or all files below a directory; hidden ones are an editor's.
fn collect(root: &Path, path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !root.join(path).is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(root.join(path))? {
        let name = entry?.file_name();
        if !name.as_encoded_bytes().starts_with(b".") {
            collect(root, &path.join(name), files)?;
        }
    }
    Ok(())
}

/// The hash of <http://www.isthe.com/chongo/tech/comp/fnv/>: the same on every machine and Rust.
struct Fnv1a(u64);

impl Fnv1a {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Fnv1a;

    #[test]
    fn the_hash_is_fnv_1a() {
        let mut hash = Fnv1a::new();
        hash.add(b"foobar");
        assert_eq!(hash.0, 0x8594_4171_f739_67e8);
    }
}
