//! The kernel object, embedded; `build.rs` refuses to build without it.

/// The ELF object of `dispa-ebpf`, aligned as its parser needs it.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/dispa-ebpf.o"));
