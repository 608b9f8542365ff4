//! Names of real processes: our own, children, and such as are gone.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    process::{self, Child, Command},
    sync::Arc,
    thread,
};

use dispa_common::ClientProcess;
use nix::time::{ClockId, clock_gettime};

use super::{GOOD_NS, Names};
use crate::{attribution::cgroups::Cgroups, keeper::Lookup, kernel::Cgroup2};

fn boot_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("a clock");
    u64::try_from(now.tv_sec()).expect("past") * 1_000_000_000
        + u64::try_from(now.tv_nsec()).expect("past")
}

/// What the kernel would note if process `pid` of our user and cgroup connected now.
fn note(pid: u32) -> ClientProcess {
    let own = Cgroup2::find().expect("mounted").own().expect("in one");
    let cgroup = fs::metadata(own).expect("there").ino();
    ClientProcess { at_ns: boot_ns(), cgroup, process: pid, user: 0 }
}

/// A program that runs until its input ends.
fn sleeper() -> Child {
    let child = Command::new("cat").stdin(process::Stdio::piped()).spawn().expect("cat");
    let exe = format!("/proc/{}/exe", child.id());
    let own = std::env::current_exe().expect("a file");
    while fs::read_link(&exe).expect("it runs") == own {
        thread::yield_now();
    }
    child
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    child.wait().expect("ended");
}

#[test]
fn a_process_that_runs_has_all_its_names() {
    let (names, cgroups, child) =
        (Names::new(Lookup::own()), Cgroups::new(Lookup::own()), sleeper());
    let note = note(child.id());
    let process = names.of(&note, &cgroups);
    assert_eq!((process.pid, process.uid), (child.id(), Some(0)));
    assert_eq!(process.name.as_deref(), Some("cat"));
    assert!(process.executable.as_deref().expect("read").starts_with('/'));
    assert!(process.cgroup.as_deref().expect("found").starts_with('/'));
    // Read once: later it is the same, also once it is gone, if it connected before that.
    assert!(Arc::ptr_eq(&process, &names.of(&note, &cgroups)));
    end(child);
    assert!(Arc::ptr_eq(&process, &names.of(&note, &cgroups)));
}

#[test]
fn of_a_process_that_is_gone_stays_known_what_the_kernel_noted() {
    let (names, cgroups, child) =
        (Names::new(Lookup::own()), Cgroups::new(Lookup::own()), sleeper());
    let note = note(child.id());
    end(child);
    let process = names.of(&note, &cgroups);
    assert_eq!((process.pid, process.uid, &process.name), (note.process, Some(0), &None));
    assert_eq!(process.executable, None);
    assert!(process.cgroup.is_some());
}

#[test]
fn a_number_that_another_process_has_by_now_gives_no_names() {
    let (names, cgroups, child) =
        (Names::new(Lookup::own()), Cgroups::new(Lookup::own()), sleeper());
    let earlier = ClientProcess { at_ns: 1, ..note(child.id()) };
    assert_eq!(names.of(&earlier, &cgroups).name, None);
    // Nor do those of the other one count, once they are known.
    assert!(names.of(&note(child.id()), &cgroups).name.is_some());
    assert_eq!(names.of(&earlier, &cgroups).name, None);
    end(child);
}

#[test]
fn a_process_that_becomes_another_program_is_called_by_its_new_name() {
    let (names, cgroups) = (Names::new(Lookup::own()), Cgroups::new(Lookup::own()));
    let mut child = Command::new("sh")
        .args(["-c", "read line; exec cat"])
        .stdin(process::Stdio::piped())
        .spawn()
        .expect("sh");
    let comm = format!("/proc/{}/comm", child.id());
    let is_called = |name: &str| fs::read_to_string(&comm).expect("it runs").trim_end() == name;
    while !is_called("sh") {
        thread::yield_now();
    }
    let shell = note(child.id());
    assert_eq!(names.of(&shell, &cgroups).name.as_deref(), Some("sh"));
    let input = child.stdin.as_mut().expect("piped");
    std::io::Write::write_all(input, b"\n").expect("it reads");
    while !is_called("cat") {
        thread::yield_now();
    }
    let later = ClientProcess { at_ns: shell.at_ns + 2 * GOOD_NS, ..shell };
    assert_eq!(names.of(&later, &cgroups).name.as_deref(), Some("cat"));
    end(child);
}

#[test]
fn a_process_under_another_user_is_another_client() {
    let (names, cgroups, child) =
        (Names::new(Lookup::own()), Cgroups::new(Lookup::own()), sleeper());
    let root = note(child.id());
    assert_eq!(names.of(&root, &cgroups).uid, Some(0));
    let other = ClientProcess { user: 1001, ..root };
    assert_eq!(names.of(&other, &cgroups).uid, Some(1001));
    end(child);
}
