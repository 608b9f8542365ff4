//! What the lists mean for a process, and what the kernel side is told of them.

use dispa_common::selection::{
    BY_CGROUP, BY_USER, USERS_ONLY,
    verdict::{EXCLUDED, INCLUDED, NOT_INCLUDED},
};

use super::{flags_of, kernel_selection, leaves_alone};
use crate::{
    config::{Config, Overrides, Programs},
    exchange::Process,
};

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn uids(uids: &[u32]) -> Programs {
    Programs { uids: uids.to_vec(), ..Programs::default() }
}

fn cgroups(paths: &[&str]) -> Programs {
    Programs { cgroups: texts(paths), ..Programs::default() }
}

fn units(names: &[&str]) -> Programs {
    Programs { units: texts(names), ..Programs::default() }
}

fn executables(paths: &[&str]) -> Programs {
    Programs { executables: texts(paths), ..Programs::default() }
}

fn process(uid: u32, cgroup: Option<&str>, executable: Option<&str>) -> Process {
    Process {
        cgroup: cgroup.map(Into::into),
        executable: executable.map(Into::into),
        ..Process::numbered(1, uid)
    }
}

fn cron(uid: u32) -> Process {
    process(uid, Some("/system.slice/cron.service"), Some("/usr/bin/curl"))
}

#[test]
fn an_excluded_program_is_left_alone_and_no_other_one() {
    for (exclude, alone) in [
        (Programs::default(), false),
        (uids(&[7]), true),
        (uids(&[8]), false),
        (cgroups(&["/system.slice"]), true),
        (cgroups(&["/system.slice/cron.service"]), true),
        (cgroups(&["/system.slice/cron"]), false),
        (cgroups(&["/user.slice", "/system.slice/cron.service/below"]), false),
        (units(&["cron.service"]), true),
        (units(&["system.slice"]), true),
        (units(&["ron.service"]), false),
        (executables(&["/usr/bin/curl"]), true),
        (executables(&["/usr/bin/cur"]), false),
    ] {
        assert_eq!(leaves_alone(&Programs::default(), &exclude, &cron(7)), alone, "{exclude:?}");
    }
}

#[test]
fn only_included_programs_are_not_left_alone_and_exclude_wins() {
    let nobody = Programs::default();
    for (include, alone) in [
        (uids(&[7]), false),
        (uids(&[8]), true),
        (Programs { uids: vec![8], ..units(&["cron.service"]) }, false),
        (Programs { uids: vec![8], ..executables(&["/usr/bin/curl"]) }, false),
        (cgroups(&["/user.slice"]), true),
    ] {
        assert_eq!(leaves_alone(&include, &nobody, &cron(7)), alone, "{include:?}");
        assert!(leaves_alone(&include, &executables(&["/usr/bin/curl"]), &cron(7)));
    }
}

#[test]
fn what_cannot_be_told_is_left_alone() {
    let (nobody, unknown) = (Programs::default(), process(7, None, None));
    for list in [cgroups(&["/user.slice"]), units(&["a.service"]), executables(&["/bin/a"])] {
        assert!(leaves_alone(&nobody, &list, &unknown), "{list:?}");
        assert!(leaves_alone(&list, &nobody, &unknown), "{list:?}");
        // Where the user is reason enough, nothing else matters.
        assert!(!leaves_alone(&Programs { uids: vec![7], ..list }, &nobody, &unknown));
    }
    assert!(!leaves_alone(&uids(&[7]), &uids(&[8]), &unknown));
}

#[test]
fn the_kernel_is_told_of_a_cgroup_only_what_holds_for_all_in_it() {
    let (nobody, path) = (Programs::default(), "/system.slice/cron.service");
    for (include, exclude, flags) in [
        (nobody.clone(), nobody.clone(), 0),
        (nobody.clone(), units(&["cron.service"]), EXCLUDED),
        (nobody.clone(), cgroups(&["/user.slice"]), 0),
        (cgroups(&["/user.slice"]), nobody.clone(), NOT_INCLUDED),
        (cgroups(&["/system.slice"]), nobody.clone(), 0),
        (cgroups(&["/system.slice"]), units(&["cron.service"]), EXCLUDED),
        // Some user's, or some executable's, may be.
        (uids(&[7]), nobody.clone(), 0),
        (
            Programs { executables: texts(&["/bin/a"]), ..cgroups(&["/user.slice"]) },
            nobody.clone(),
            0,
        ),
    ] {
        assert_eq!(flags_of(&include, &exclude, path), flags, "{include:?} {exclude:?}");
    }
}

#[test]
fn the_kernel_looks_at_what_is_named() {
    for (lists, flags, users) in [
        ("", 0, vec![]),
        ("exclude.uids = [1, 2]", BY_USER, vec![(1, EXCLUDED), (2, EXCLUDED)]),
        ("include.uids = [1]", BY_USER | USERS_ONLY, vec![(1, INCLUDED)]),
        (
            "include.uids = [1, 2]\nexclude.uids = [2]",
            BY_USER | USERS_ONLY,
            vec![(1, INCLUDED), (2, EXCLUDED), (2, EXCLUDED)],
        ),
        ("exclude.cgroups = ['/a/']", BY_CGROUP, vec![]),
        ("include.units = ['a.service']", BY_CGROUP, vec![]),
        (
            "include.uids = [1]\ninclude.units = ['a.service']",
            BY_USER | BY_CGROUP,
            vec![(1, INCLUDED)],
        ),
        ("include.uids = [1]\ninclude.executables = ['/a']", BY_USER, vec![(1, INCLUDED)]),
        ("exclude.executables = ['/a']", 0, vec![]),
    ] {
        let text = format!("[intercept]\n{lists}\n");
        let config = Config::parse(&text, "c.toml", &Overrides::default()).expect("valid");
        let selection = kernel_selection(&config.intercept);
        assert_eq!((selection.flags, selection.users), (flags, users), "{lists}");
    }
}
