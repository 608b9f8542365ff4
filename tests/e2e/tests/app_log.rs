//! Where the application log goes, and how a line looks there.

use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::Site;
use dispa_lab::{Dispa, Lab, run, until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const SOON: Duration = Duration::from_secs(20);

/// A file with its standard settings, but for the log's, as text.
fn config(site: &Site<'_>, logging: &str) -> String {
    let text = Site::config_of_one().text(site.cgroup.path());
    text.replace("level = \"info\"\nformat = \"json\"\n", logging)
}

/// Runs the daemon until it is ready, which `log` is to tell, and stops it.
fn run_until_ready(command: &mut Command, log: impl Fn() -> Result<String>) -> Result<()> {
    let mut daemon = command.stdin(Stdio::null()).spawn().context("the daemon")?;
    let ready =
        until(SOON, "the daemon to be ready", || log().ok()?.contains("ready").then_some(()));
    kill(Pid::from_raw(i32::try_from(daemon.id())?), Signal::SIGTERM)?;
    let status = daemon.wait()?;
    ready?;
    ensure!(status.success(), "{status}");
    Ok(())
}

#[test]
fn it_goes_to_a_file_that_others_cannot_read() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let path = lab.directory().join("log/dispa.log");
        let logging = format!("output = \"file\"\nfile_path = {:?}\n", path.display().to_string());
        let file = lab.file("to-file.toml", &config(&site, &logging))?;
        let stderr = lab.directory().join("stderr");
        let mut command = site.cgroup.command(Dispa::binary()?);
        command.arg("-c").arg(file).stderr(File::create(&stderr)?);
        run_until_ready(&mut command, || Ok(fs::read_to_string(&path)?))?;
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains(" INFO ready\n") && text.contains(" INFO stopped "), "{text}");
        ensure!(!text.contains('\u{1b}'), "no colours: {text}");
        assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_to_string(&stderr)?, "", "nothing is told twice");
        Ok(())
    })
}

#[test]
fn a_file_that_cannot_be_opened_ends_the_start() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let file = config(&site, "output = \"file\"\nfile_path = \"/proc/no/such/file\"\n");
        let file = lab.file("nowhere.toml", &file)?;
        let told = run(site.cgroup.command(Dispa::binary()?).arg("-c").arg(file), SOON)?;
        assert_eq!(told.code(), Some(71));
        ensure!(told.stderr().starts_with("dispa: cannot open the log's file: "), "{told:?}");
        Ok(())
    })
}

#[test]
fn in_the_journal_lines_have_priorities_and_no_time() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let file = lab.file("journal.toml", &config(&site, ""))?;
        let stream = lab.directory().join("stream");
        let stderr = File::create(&stream)?;
        let metadata = stderr.metadata()?;
        let mut command = site.cgroup.command(Dispa::binary()?);
        command.arg("-c").arg(file).stderr(stderr);
        // As systemd says it of a service's standard error.
        command.env("JOURNAL_STREAM", format!("{}:{}", metadata.dev(), metadata.ino()));
        run_until_ready(&mut command, || Ok(fs::read_to_string(&stream)?))?;
        let text = fs::read_to_string(&stream)?;
        ensure!(text.lines().any(|line| line == "<6>ready"), "{text}");
        ensure!(text.lines().all(|line| line.starts_with('<')), "{text}");
        Ok(())
    })
}
