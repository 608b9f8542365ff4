//! What `/proc` says of a process (proc(5)).

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    sync::{Arc, LazyLock},
};

use nix::unistd::{SysconfVar, sysconf};

/// Inode number of the first pid namespace (`PROC_PID_INIT_INO`, `include/linux/proc_ns.h`).
const FIRST_NAMESPACE: u64 = 0xefff_fffc;

/// Longer than `/proc/PID/stat` is to the field that counts: a name of 64 bytes at most (a kernel
/// thread's), and 20 numbers of 20 digits at most.
const LONGEST: usize = 512;

/// Nanoseconds of the unit that a start is told in.
static TICK_NS: LazyLock<u64> = LazyLock::new(|| {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    // 100 on every architecture that runs eBPF (USER_HZ, include/asm-generic/param.h).
    1_000_000_000 / ticks.and_then(|it| u64::try_from(it).ok()).filter(|it| *it > 0).unwrap_or(100)
});

/// Of a process that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    /// Its name (`comm`).
    pub(super) name: Arc<str>,
    /// When it started, in ns since the boot; not later than it did, and up to a tick earlier.
    pub(super) started_ns: u64,
}

impl Status {
    /// Of the process that has this id now.
    pub(super) fn read(pid: u32) -> io::Result<Self> {
        let mut text = [0; LONGEST];
        let length = File::open(format!("/proc/{pid}/stat"))?.read(&mut text)?;
        let text = text.get(..length).unwrap_or_default();
        Self::parse(text).ok_or(io::ErrorKind::InvalidData.into())
    }

    fn parse(text: &[u8]) -> Option<Self> {
        // A name may have anything in it, parentheses too; nothing behind it has.
        let begin = text.iter().position(|it| *it == b'(')?;
        let end = text.iter().rposition(|it| *it == b')')?;
        let name = printable(text.get(begin + 1..end)?);
        // Field 22; behind the name is field 3.
        let field = text.get(end + 2..)?.split(|it| *it == b' ').nth(19)?;
        let ticks: u64 = str::from_utf8(field).ok()?.parse().ok()?;
        Some(Self { name, started_ns: ticks.saturating_mul(*TICK_NS) })
    }
}

/// Whether `/proc` calls processes by the numbers that the kernel notes: those of the first pid namespace.
pub(super) fn has_kernels_numbers() -> bool {
    fs::metadata("/proc/self/ns/pid").is_ok_and(|it| it.ino() == FIRST_NAMESPACE)
}

/// As text without control characters: it is written into logs and to terminals.
pub(super) fn printable(bytes: &[u8]) -> Arc<str> {
    let text = String::from_utf8_lossy(bytes);
    if text.contains(char::is_control) {
        return text.replace(char::is_control, "\u{fffd}").into();
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use std::{process, sync::Arc};

    use super::{Status, TICK_NS, printable};

    #[test]
    fn name_and_start_are_read_whatever_the_name() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        for (comm, name) in [
            ("curl", "curl"),
            ("a) S (b", "a) S (b"),
            ("two words", "two words"),
            ("\x1b[31m\n", "\u{fffd}[31m\u{fffd}"),
            ("", ""),
        ] {
            let text = format!("42 ({comm}) {rest}");
            let status = Status::parse(text.as_bytes()).expect("whole");
            assert_eq!((&*status.name, status.started_ns), (name, 4711 * *TICK_NS));
        }
        for text in ["", "42", "42 (", "42 (a", "42 (a)", "42 (a) S 1 2", "42 )a( S"] {
            assert_eq!(Status::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn our_own_process_is_told_and_one_that_is_gone_is_not() {
        let status = Status::read(process::id()).expect("it runs");
        assert_ne!(status.started_ns, 0);
        // Beyond the most that there may be (2^22, include/linux/threads.h).
        assert!(Status::read(u32::MAX).is_err());
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(printable(b"/opt/\xff"), Arc::from("/opt/\u{fffd}"));
    }
}
