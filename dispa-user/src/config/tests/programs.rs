//! Lists of programs: who can be named, and how.

use super::{parse, refused};

refused! { each_kind_is_named_in_its_own_way,
r#"
[intercept]
include = { uids = [-1], executables = ["curl"] }
[intercept.exclude]
cgroups = ["/", "cron.service", "/sys/fs/cgroup/system.slice"]
units = ["cron", "a.slice/b.service"]
pids = [1]
"#,
r#"
error: `intercept.include.uids`: -1 is out of range
 --> c.toml:2:21
  |
2 | include = { uids = [-1], executables = ["curl"] }
  |                     ^^ must be from 0 to 4294967294

error: `intercept.include.executables`: not the absolute path of a file
 --> c.toml:2:41
  |
2 | include = { uids = [-1], executables = ["curl"] }
  |                                         ^^^^^^
  |
  = help: write what `readlink /proc/PID/exe` says, such as "/usr/bin/curl"

error: `intercept.exclude.cgroups`: not one cgroup among others
 --> c.toml:4:12
  |
4 | cgroups = ["/", "cron.service", "/sys/fs/cgroup/system.slice"]
  |            ^^^
  |
  = help: write it as in /proc/PID/cgroup, such as "/system.slice/cron.service"

error: `intercept.exclude.cgroups`: not the path of a cgroup from the root of all
 --> c.toml:4:17
  |
4 | cgroups = ["/", "cron.service", "/sys/fs/cgroup/system.slice"]
  |                 ^^^^^^^^^^^^^^
  |
  = help: write it as in /proc/PID/cgroup, such as "/system.slice/cron.service"

error: `intercept.exclude.cgroups`: the path of a directory, not of a cgroup from the root of all
 --> c.toml:4:33
  |
4 | cgroups = ["/", "cron.service", "/sys/fs/cgroup/system.slice"]
  |                                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: write it as in /proc/PID/cgroup, such as "/system.slice/cron.service"

error: `intercept.exclude.units`: not the name of a systemd unit that processes run in
 --> c.toml:5:10
  |
5 | units = ["cron", "a.slice/b.service"]
  |          ^^^^^^
  |
  = help: write a name such as "cron.service" or "user.slice"

error: `intercept.exclude.units`: not the name of a systemd unit that processes run in
 --> c.toml:5:18
  |
5 | units = ["cron", "a.slice/b.service"]
  |                  ^^^^^^^^^^^^^^^^^^^
  |
  = help: write a name such as "cron.service" or "user.slice"

error: unknown key `pids` in [intercept.exclude]
 --> c.toml:6:1
  |
6 | pids = [1]
  | ^^^^
  |
  = help: did you mean `uids`?

c.toml: 8 errors
"#
}

#[test]
fn what_is_written_is_what_is_meant() {
    let config = parse(
        "[intercept.exclude]\nuids = [0, 4294967294]\ncgroups = ['/a.slice/b/']\n\
         units = ['user@1000.service', 'dbus.socket']\nexecutables = ['/opt/a b']\n",
    );
    let exclude = config.expect("valid").intercept.exclude;
    assert_eq!(exclude.uids, [0, 4_294_967_294]);
    assert_eq!(exclude.cgroups, ["/a.slice/b"]);
    assert_eq!(exclude.units, ["user@1000.service", "dbus.socket"]);
    assert_eq!(exclude.executables, ["/opt/a b"]);
}

#[test]
fn a_list_is_no_longer_than_the_kernels_table() {
    let uids = |count: u32| {
        let uids: Vec<_> = (0..count).collect();
        format!("[intercept.exclude]\nuids = {uids:?}")
    };
    assert!(parse(&uids(256)).is_ok());
    let report = parse(&uids(257)).expect_err("too long").to_string();
    assert!(report.contains("`intercept.exclude.uids`: 257 entries; there may be 256"), "{report}");
}
