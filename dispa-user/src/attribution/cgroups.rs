//! The names of cgroups: their path, and the systemd unit and the container that the path tells of.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{recent::Recent, status::printable};
use crate::{
    keeper::Lookup,
    kernel::{Cgroup2, CgroupPaths},
};

/// Hexadecimal digits of a container's id (Docker, Podman, containerd, CRI-O).
const ID_LENGTH: usize = 64;

/// What a cgroup is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cgroup {
    /// From the hierarchy's root.
    pub(super) path: Arc<str>,
    /// The innermost service or scope of systemd that it is, or is in.
    pub(super) unit: Option<Arc<str>>,
    /// The id of the innermost container.
    pub(super) container: Option<Arc<str>>,
}

impl Cgroup {
    fn named(path: &str) -> Self {
        let mut within = path.rsplit('/');
        Self {
            path: printable(path.as_bytes()),
            unit: units(path).rfind(|unit| is_run_in(unit)).map(|it| printable(it.as_bytes())),
            container: within.find_map(container).map(Arc::from),
        }
    }
}

/// What each part of the path is called as a unit: systemd puts a `_` before a name that the kernel could
/// take for one of its files (its `cg_escape`).
pub(super) fn units(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').map(|part| part.strip_prefix('_').unwrap_or(part))
}

fn is_run_in(unit: &str) -> bool {
    matches!(unit.rsplit_once('.'), Some((_, "service" | "scope")))
}

/// The id that a part of a path ends with: `ID`, `docker-ID.scope`, `libpod-ID.scope`, `cri-containerd-ID.scope`,
/// or `kubepods-burstable-podUID.slice:cri-containerd:ID`. The monitors beside a container are none.
fn container(part: &str) -> Option<&str> {
    let part = part.strip_suffix(".scope").unwrap_or(part);
    let (kind, id) = part.rsplit_once(['-', ':']).unwrap_or(("", part));
    let is_id = id.len() == ID_LENGTH && id.bytes().all(|it| it.is_ascii_hexdigit());
    (is_id && !kind.ends_with("conmon")).then_some(id)
}

/// The cgroups that connections were made in of late.
#[derive(Debug)]
pub(super) struct Cgroups {
    lookup: Lookup,
    recent: Mutex<Recent<Arc<Cgroup>>>,
}

impl Cgroups {
    /// Those that this shows.
    pub(super) fn new(lookup: Lookup) -> Self {
        Self { lookup, recent: Mutex::default() }
    }

    /// The cgroup with this id, which process `pid` was in when it connected.
    pub(super) fn of(&self, id: u64, pid: u32) -> Option<Arc<Cgroup>> {
        let known = self.table().of(id);
        known.or_else(|| {
            let cgroup = Arc::new(Cgroup::named(&self.lookup.cgroup(id, pid)?));
            self.table().put(id, Arc::clone(&cgroup));
            Some(cgroup)
        })
    }

    fn table(&self) -> MutexGuard<'_, Recent<Arc<Cgroup>>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ids and paths of up to `most` cgroups that there are.
pub(super) fn all(most: usize) -> Vec<(u64, String)> {
    let paths = Cgroup2::find().ok().and_then(|it| CgroupPaths::open(&it).ok());
    paths.map(|paths| paths.all(most)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Cgroup;

    const ID: &str = "4f5e0c1d2b3a49586776859403122130a1b2c3d4e5f60718293a4b5c6d7e8f90";

    #[test]
    fn a_path_tells_the_unit() {
        for (path, unit) in [
            ("/", None),
            ("/system.slice/foo.service", Some("foo.service")),
            ("/system.slice/foo.service/payload", Some("foo.service")),
            ("/system.slice/system-getty.slice/getty@tty1.service", Some("getty@tty1.service")),
            ("/system.slice/_cpu.service", Some("cpu.service")),
            ("/user.slice/user-1000.slice/session-3.scope", Some("session-3.scope")),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/app-a.scope",
                Some("app-a.scope"),
            ),
            ("/user.slice", None),
            ("/mine/service", None),
        ] {
            assert_eq!(Cgroup::named(path).unit.as_deref(), unit, "{path}");
        }
    }

    #[test]
    fn a_path_tells_the_container() {
        for path in [
            format!("/docker/{ID}"),
            format!("/system.slice/docker-{ID}.scope"),
            format!("/system.slice/docker-{ID}.scope/init.scope"),
            format!("/machine.slice/libpod-{ID}.scope/container"),
            format!("/libpod_parent/libpod-{ID}"),
            format!("/user.slice/user-0.slice/user@0.service/user.slice/libpod-{ID}.scope"),
            format!("/kubepods/burstable/pod0f3a-11/{ID}"),
            format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"),
            format!("/kubepods.slice/kubepods-besteffort.slice/crio-{ID}.scope"),
            format!("/system.slice/kubepods-burstable-pod1.slice:cri-containerd:{ID}"),
            format!("/docker/{}/docker/{ID}", ID.replace('4', "5")),
        ] {
            assert_eq!(Cgroup::named(&path).container.as_deref(), Some(ID), "{path}");
        }
    }

    #[test]
    fn what_is_no_containers_is_of_none() {
        for path in [
            "/".to_owned(),
            "/system.slice/docker.service".to_owned(),
            format!("/machine.slice/libpod-conmon-{ID}.scope"),
            format!("/kubepods.slice/crio-conmon-{ID}.scope"),
            format!("/docker/{}", ID.split_at(63).0),
            format!("/docker/{}", ID.replace('f', "g")),
            format!("/docker/{ID}0"),
        ] {
            assert_eq!(Cgroup::named(&path).container, None, "{path}");
        }
    }
}
