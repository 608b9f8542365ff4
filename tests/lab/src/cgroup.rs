//! A private child cgroup, and the way processes are started in it.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{janitor::Janitor, scratch::unique_name};

/// Kills what is left inside (Linux 5.14) and removes the cgroup with all its children, which
/// takes as long as the last process takes to die.
const CLEAN: &str = r#"
    [ -d "$0" ] || exit 0
    echo 1 > "$0/cgroup.kill"
    for try in $(seq 200); do
        find "$0" -depth -type d -exec rmdir {} + 2>/dev/null
        [ -d "$0" ] || exit 0
        sleep 0.02
    done
    exit 1"#;

/// Moves the shell into the cgroup `$0`, then becomes the program.
const ENTER: &str = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;

/// A cgroup v2 of our own; whatever still runs in it when it is dropped is killed.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    _janitor: Janitor,
}

impl Cgroup {
    /// Makes one, directly below the cgroup2 mount.
    pub fn new() -> Result<Self> {
        let path = Self::root()?.join(unique_name());
        let janitor = Janitor::new(CLEAN, &path)?;
        fs::create_dir(&path).with_context(|| format!("cannot make cgroup {}", path.display()))?;
        Ok(Self { path, _janitor: janitor })
    }

    /// Where the cgroup2 hierarchy is mounted; not always `/sys/fs/cgroup` (hybrid hosts).
    pub fn root() -> Result<PathBuf> {
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo")?;
        mounts.lines().find_map(cgroup2_mount).context("no cgroup2 is mounted on this machine")
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that will run inside; arguments and the rest are the caller's to add.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", ENTER]).arg(&self.path).arg(program);
        // A daemon makes it unless it is there; the lab's `/run` goes with the lab.
        command.env("DISPA__ADMIN__TOKEN_FILE", "/run/dispa/token");
        command
    }

    /// The processes in it, its children not included.
    pub fn processes(&self) -> Result<Vec<u32>> {
        let list = fs::read_to_string(self.path.join("cgroup.procs"))?;
        Ok(list.lines().map(str::parse).collect::<Result<_, _>>()?)
    }

    /// The names of the cgroups directly below it.
    pub fn children(&self) -> Result<Vec<String>> {
        let directories = fs::read_dir(&self.path)?
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        Ok(directories.map(|entry| entry.file_name().display().to_string()).collect())
    }
}

/// The mount point in a line of mountinfo, if it is one of cgroup2 (proc(5): the mount point is
/// the fifth field, the type the first one after " - ").
fn cgroup2_mount(line: &str) -> Option<PathBuf> {
    let (mount, filesystem) = line.split_once(" - ")?;
    filesystem.starts_with("cgroup2 ").then_some(())?;
    mount.split(' ').nth(4).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use anyhow::Result;

    use super::{Cgroup, cgroup2_mount};
    use crate::{poll::until, process::Process};

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn the_mount_is_found_on_hybrid_and_on_unified_hosts() {
        let hybrid = "38 31 0:38 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw";
        let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw,nsdelegate";
        let first = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu";
        assert_eq!(cgroup2_mount(hybrid), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(cgroup2_mount(unified), Some(PathBuf::from("/sys/fs/cgroup")));
        assert_eq!(cgroup2_mount(first), None);
    }

    #[test]
    fn a_command_runs_inside_under_the_pid_it_was_started_with() -> Result<()> {
        let cgroup = Cgroup::new()?;
        let sleeper = Process::start(cgroup.command("sleep").arg("60"))?;
        until(SOON, "the sleeper in the cgroup", || {
            (cgroup.processes().ok()? == [sleeper.id()]).then_some(())
        })
    }

    #[test]
    fn dropping_it_kills_what_runs_inside_and_removes_its_children_too() -> Result<()> {
        let cgroup = Cgroup::new()?;
        let path = cgroup.path().to_owned();
        let script = r#"mkdir "$0/child" && echo $$ > "$0/child/cgroup.procs" && echo in
                        exec sleep 60"#;
        let sleeper = Process::start(cgroup.command("sh").args(["-c", script]).arg(&path))?;
        sleeper.wait_for_line(SOON, |line| line.text == "in")?;
        assert_eq!(cgroup.children()?, ["child"]);

        drop(cgroup);
        assert!(!path.exists());
        assert_eq!(sleeper.finish(SOON)?.signal(), Some(9));
        Ok(())
    }
}
