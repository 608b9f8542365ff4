//! `[intercept.include]` and `[intercept.exclude]`: programs, by what they run as.

use super::problem::Problem;
use super::section::Section;
use super::value::{Reading, Value, integer, list, parsed};

/// Entries of one list; users have a place each in a table of the kernel's.
const MAX_ENTRIES: usize = 256;

/// The number after it is nobody's: it stands for -1 (setresuid(2)).
const MAX_UID: u32 = u32::MAX - 1;

/// What systemd calls the kinds of units that processes run in (systemd.unit(5)).
const UNIT_KINDS: [&str; 6] = ["service", "scope", "slice", "socket", "mount", "swap"];

const NO_UNIT: &str = "not the name of a systemd unit that processes run in";

/// Programs: each that one of the lists has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Programs {
    /// Their users' ids.
    pub uids: Vec<u32>,
    /// The cgroups they are in, or below: from the hierarchy's root, without a slash at the end.
    pub cgroups: Vec<String>,
    /// The systemd units they are in, or below.
    pub units: Vec<String>,
    /// The files that they run: absolute paths.
    pub executables: Vec<String>,
}

impl Programs {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            uids: section.key_or("uids", limited(integer(0..=MAX_UID)), Vec::new()),
            cgroups: section.key_or("cgroups", limited(cgroup), Vec::new()),
            units: section.key_or("units", limited(unit), Vec::new()),
            executables: section.key_or("executables", limited(executable), Vec::new()),
        }
    }

    /// Whether none are named.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.uids.is_empty() && !self.goes_by_cgroup() && self.executables.is_empty()
    }

    /// Whether any are named by a cgroup, or by a unit, which is one.
    #[must_use]
    pub const fn goes_by_cgroup(&self) -> bool {
        !self.cgroups.is_empty() || !self.units.is_empty()
    }

    /// Whether more than the user has to be known.
    #[must_use]
    pub const fn goes_by_process(&self) -> bool {
        self.goes_by_cgroup() || !self.executables.is_empty()
    }
}

fn limited<T>(kind: impl Fn(&Value<'_>) -> Reading<T>) -> impl Fn(&Value<'_>) -> Reading<Vec<T>> {
    let all = list(kind);
    move |value| {
        let entries = all(value)?;
        if entries.len() > MAX_ENTRIES {
            let title = format!("{} entries; there may be {MAX_ENTRIES}", entries.len());
            return Err(vec![Problem::error(title).at(value.span(), "")]);
        }
        Ok(entries)
    }
}

fn cgroup(value: &Value<'_>) -> Reading<String> {
    let parse = |text: &str| match text.trim_end_matches('/') {
        "" => Err("not one cgroup among others"),
        path if !path.starts_with('/') => Err("not the path of a cgroup from the root of all"),
        path if path.starts_with("/sys/fs/cgroup") => {
            Err("the path of a directory, not of a cgroup from the root of all")
        }
        path => Ok(path.to_owned()),
    };
    let help = "write it as in /proc/PID/cgroup, such as \"/system.slice/cron.service\"";
    parsed(parse, help)(value)
}

fn unit(value: &Value<'_>) -> Reading<String> {
    let parse = |text: &str| match text.rsplit_once('.') {
        Some((name, kind)) if UNIT_KINDS.contains(&kind) && !name.is_empty() => {
            if name.contains('/') { Err(NO_UNIT) } else { Ok(text.to_owned()) }
        }
        _ => Err(NO_UNIT),
    };
    parsed(parse, "write a name such as \"cron.service\" or \"user.slice\"")(value)
}

fn executable(value: &Value<'_>) -> Reading<String> {
    let parse = |text: &str| match text {
        path if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') => {
            Err("not the absolute path of a file")
        }
        path => Ok(path.to_owned()),
    };
    parsed(parse, "write what `readlink /proc/PID/exe` says, such as \"/usr/bin/curl\"")(value)
}
