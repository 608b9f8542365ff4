//! `dispa exec` and `dispa doctor`.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::Result;
use dispa_e2e::{Attachment, ForeignProgram, Site, Traces};
use dispa_lab::{Cgroup, Config, Dispa, Finished, Lab, Process, run};
use nix::sys::signal::Signal;

const SOON: Duration = Duration::from_mins(1);

/// Runs `dispa exec` with the site's configuration; the cgroup it makes is its own affair.
fn exec(site: &Site<'_>, command: &[&str]) -> Result<Finished> {
    run(&mut exec_command(site, command)?, SOON)
}

fn exec_command(site: &Site<'_>, command: &[&str]) -> Result<Command> {
    let config = Dispa::write(site.lab, &Site::config_of_one(), site.cgroup.path())?;
    let mut dispa = site.cgroup.command(Dispa::binary()?);
    dispa.arg("exec").arg("-c").arg(config).arg("--").args(command);
    Ok(dispa)
}

/// Runs `dispa doctor` in a cgroup of its own.
fn doctor(config: &Path) -> Result<Finished> {
    let cgroup = Cgroup::new()?;
    run(cgroup.command(Dispa::binary()?).arg("doctor").arg("-c").arg(config), SOON)
}

#[test]
fn exec_intercepts_one_command_and_nothing_else() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let before = Traces::of(&site.cgroup)?;
        // The command's own output, and a look from outside while it runs.
        let script = r#"curl -sS http://example.com/; echo $$ > "$0/cgroup.procs"
                        curl -sS http://example.com/"#;
        let outside = Cgroup::new()?;
        let place = outside.path().display().to_string();
        let finished = exec(&site, &["sh", "-c", script, &place])?;
        assert_eq!(finished.success()?, "one\noriginal");
        assert_eq!(Traces::of(&site.cgroup)?, before);
        Ok(())
    })
}

#[test]
fn exec_passes_the_exit_status_on() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let before = Traces::of(&site.cgroup)?;
        for (script, code) in
            [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
        {
            let finished = exec(&site, &["sh", "-c", script])?;
            assert_eq!(finished.code(), Some(code), "{script}: {finished:?}");
        }
        // As a shell has it: not found is 127.
        assert_eq!(exec(&site, &["/no/such/program"])?.code(), Some(127));
        assert_eq!(Traces::of(&site.cgroup)?, before);
        Ok(())
    })
}

#[test]
fn exec_passes_a_request_to_end_on() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let before = Traces::of(&site.cgroup)?;
        let command = ["sh", "-c", "echo running; exec sleep 300"];
        let exec = Process::start(&mut exec_command(&site, &command)?)?;
        exec.wait_for_line(SOON, |line| line.text == "running")?;
        exec.signal(Signal::SIGTERM)?;
        assert_eq!(exec.finish(SOON)?.code(), Some(143));
        assert_eq!(Traces::of(&site.cgroup)?, before);
        Ok(())
    })
}

#[test]
fn what_a_command_leaves_running_goes_on_where_it_would_have_been() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let leaves_a_child = "sleep 300 >/dev/null 2>&1 & echo $!";
        let child = exec(&site, &["sh", "-c", leaves_a_child])?.success()?;
        assert_eq!(site.cgroup.processes()?, [child.parse::<u32>()?]);
        assert_eq!(site.cgroup.children()?, [""; 0]);
        Ok(())
    })
}

#[test]
fn doctor_tells_what_it_looked_at_line_by_line() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config = Dispa::write(lab, &Site::config(), site.cgroup.path())?;
        let report = doctor(&config)?.success()?;
        assert!(report.lines().all(|line| line.starts_with("ok ")), "{report}");
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let mount = Cgroup::root()?.display().to_string();
        let facts = [
            release.trim(),
            &mount,
            "BTF",
            "CAP_BPF",
            "target counts",
            "IPv4",
            "IPv6",
            "3 of 3 exact names",
        ];
        for fact in facts {
            assert!(report.contains(fact), "{fact:?} is not in {report}");
        }
        Ok(())
    })
}

/// Nothing is attached there; it only looks.
#[test]
fn doctor_notes_that_in_the_root_cgroup_the_kernel_does_not_count() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config = Dispa::write(lab, &Site::config(), site.cgroup.path())?;
        let enter = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;
        let mut command = Command::new("sh");
        command.args(["-c", enter]).arg(Cgroup::root()?).arg(Dispa::binary()?);
        let report = run(command.arg("doctor").arg("-c").arg(config), SOON)?.success()?;
        let others: Vec<_> = report.lines().filter(|line| !line.starts_with("ok ")).collect();
        let [note] = others[..] else { anyhow::bail!("{report}") };
        assert!(note.starts_with("note  target counts"), "{note}");
        assert!(note.contains("a cgroup of its own"), "{note}");
        Ok(())
    })
}

#[test]
fn doctor_fails_over_what_is_wrong_and_says_how_to_mend_it() -> Result<()> {
    Lab::run(|_| {
        let report = doctor(Path::new("/no/such/dispa.toml"))?.failure(1)?;
        let wrong: Vec<_> = report.lines().filter(|line| !line.starts_with("ok ")).collect();
        let [fault, fix] = wrong[..] else { anyhow::bail!("{report}") };
        assert!(fault.starts_with("FAIL ") && fault.contains("/no/such/dispa.toml"), "{fault}");
        assert!(fix.trim_start().starts_with("fix: "), "{fix}");
        Ok(())
    })
}

#[test]
fn doctor_names_the_programs_of_others() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _foreign = ForeignProgram::attach(
            &site.cgroup,
            "198.51.100.77",
            "198.51.100.10",
            Attachment::Link,
        )?;
        let config = Dispa::write(lab, &Site::config(), site.cgroup.path())?;
        let report = doctor(&config)?.success()?;
        assert!(report.contains("foreign"), "{report}");
        Ok(())
    })
}

/// Runs `dispa` with these words.
fn dispa(words: &[&str]) -> Result<Finished> {
    run(Command::new(Dispa::binary()?).args(words), SOON)
}

#[test]
fn check_says_what_is_wrong_and_starts_nothing() -> Result<()> {
    Lab::run(|lab| {
        let file = |name: &str, text: &str| anyhow::Ok(lab.file(name, text)?.display().to_string());
        let target = "[[targets.targets]]\nname = \"a\"\nurl = \"http://127.0.0.1:1\"\n";
        let good =
            file("good.toml", &format!("[domains]\nintercept_domains = [\"a.com\"]\n{target}"))?;
        let odd = file("odd.toml", target)?;
        let bad = file("bad.toml", &format!("[domians]\n{target}"))?;
        let own = file("own.toml", &target.replace(":1", ":8080"))?;
        for (words, code, out, error) in [
            (vec!["check", &good], 0, "nothing is wrong with it", ""),
            (vec!["-c", &good, "--validate"], 0, "nothing is wrong with it", ""),
            (vec!["check", &odd], 0, "1 warning", "no domain is intercepted"),
            (vec!["check", &bad], 1, "", "did you mean `domains`?"),
            (vec!["check", &own], 1, "", "own explicit door"),
            (vec!["check", "/no/such/file"], 1, "", "cannot read"),
            (vec!["chekc"], 64, "", "similar subcommand exists: 'check'"),
        ] {
            let told = dispa(&words)?;
            assert_eq!(told.code(), Some(code), "{words:?}: {told:?}");
            assert!(told.stdout().contains(out) && told.stderr().contains(error), "{told:?}");
            assert!(!out.is_empty() || told.stdout().is_empty(), "{told:?}");
        }
        Ok(())
    })
}

#[test]
fn check_asks_whether_a_domain_is_a_targets_own_address() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config =
            |port| Config::new(&[Site::NAME4, Site::NAME6]).target("own", (Site::V4, port).into());
        let check = |config: &Config| {
            let file = Dispa::write(lab, config, site.cgroup.path())?.display().to_string();
            dispa(&["check", &file])
        };
        let told = check(&config(80))?;
        assert_eq!(told.code(), Some(0));
        let warning = "`four.example.com` has the address of a target, 198.51.100.10:80";
        assert!(told.stderr().contains(warning), "{}", told.stderr());
        assert!(told.stdout().contains("1 warning"), "{}", told.stdout());
        let told = check(&config(8081))?;
        assert!(told.stderr().is_empty(), "{}", told.stderr());
        Ok(())
    })
}

#[test]
fn it_describes_itself_to_shells_and_readers() -> Result<()> {
    let info = dispa(&["--version-info"])?.success()?;
    assert!(info.starts_with("dispa ") && info.contains("Linux 5.15 or newer"), "{info}");
    for shell in ["bash", "zsh", "fish"] {
        let text = dispa(&["completion", shell])?.success()?;
        assert!(text.contains("dispa") && text.contains("doctor"), "{shell}: {text}");
    }
    let script = "eval \"$(\"$0\" completion bash)\" && complete -p dispa";
    let binary = Dispa::binary()?.display().to_string();
    let told = run(Command::new("bash").args(["-c", script, &binary]), SOON)?.success()?;
    assert!(told.contains("_dispa"), "{told}");
    let page = dispa(&["man"])?.success()?;
    assert!(page.contains(".TH dispa 1") && page.contains("doctor"), "{page}");
    let pages = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    fs::create_dir_all(&pages)?;
    dispa(&["man", "--all-into", &pages.display().to_string()])?.success()?;
    for name in ["dispa.1", "dispa-reload.1", "dispa-config-show.1"] {
        assert!(fs::read_to_string(pages.join(name))?.contains(".TH"), "{name}");
    }
    Ok(fs::remove_dir_all(pages)?)
}
