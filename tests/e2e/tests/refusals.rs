//! Where dispa cannot start it says why in one clear line, exits with the right code, and leaves
//! nothing behind.

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use anyhow::{Result, ensure};
use dispa_e2e::{Site, Traces, direct};
use dispa_lab::{Cgroup, Config, Dispa, Lab, Process, Record, TcpServer, run};

const SOON: Duration = Duration::from_mins(1);

/// Exit codes, as the manual has them.
const CONFIGURATION: i32 = 1;
const BIND: i32 = 2;
const USAGE: i32 = 64;
/// The system lacks what interception needs (`EX_OSERR` of sysexits.h).
const SYSTEM: i32 = 71;
const NO_PERMISSION: i32 = 77;

/// Runs `command`, which must refuse with `code` and leave the lab as it was.
fn refusal(cgroup: &Cgroup, command: &mut Command, code: i32) -> Result<String> {
    let before = Traces::of(cgroup)?;
    let finished = run(command, SOON)?;
    finished.failure(code)?;
    assert_eq!(Traces::of(cgroup)?, before);
    ensure!(finished.stdout().is_empty(), "{finished:?}");
    Ok(finished.stderr())
}

/// The only line that is no log record, which must name each of `words`.
fn one_line_about(text: &str, words: &[&str]) {
    let told: Vec<_> = text.lines().filter(|line| Record::parse(line).is_none()).collect();
    let [text] = told[..] else { panic!("not one line: {text}") };
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}

/// The daemon inside `cgroup`, wrapped in a program that takes something away from it.
fn without(lab: &Lab, cgroup: &Cgroup, wrapper: &[&str]) -> Result<Command> {
    let config = Dispa::write(lab, &Site::config(), cgroup.path())?;
    let mut command = cgroup.command(wrapper[0]);
    command.args(&wrapper[1..]).arg(Dispa::binary()?).arg("-c").arg(config);
    Ok(command)
}

#[test]
fn without_root() -> Result<()> {
    Lab::run(|lab| {
        let cgroup = Cgroup::new()?;
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        let mut command = without(lab, &cgroup, &nobody)?;
        one_line_about(&refusal(&cgroup, &mut command, NO_PERMISSION)?, &["root", "CAP_BPF"]);
        Ok(())
    })
}

#[test]
fn without_the_capability_to_load_programs() -> Result<()> {
    Lab::run(|lab| {
        let cgroup = Cgroup::new()?;
        let bounded = ["setpriv", "--bounding-set=-bpf,-sys_admin", "--inh-caps=-all"];
        let mut command = without(lab, &cgroup, &bounded)?;
        one_line_about(&refusal(&cgroup, &mut command, NO_PERMISSION)?, &["CAP_BPF"]);
        Ok(())
    })
}

#[test]
fn without_a_cgroup2_mount() -> Result<()> {
    Lab::run(|lab| {
        let cgroup = Cgroup::new()?;
        let root = Cgroup::root()?.display().to_string();
        let script = r#"umount -l "$0" && exec "$@""#;
        let unmounted = ["unshare", "--mount", "sh", "-c", script, &root];
        let config = lab.file("auto.toml", &Site::config().text(Path::new("auto")))?;
        let mut command = cgroup.command(unmounted[0]);
        command.args(&unmounted[1..]).arg(Dispa::binary()?).arg("-c").arg(config);
        one_line_about(&refusal(&cgroup, &mut command, SYSTEM)?, &["cgroup2"]);
        Ok(())
    })
}

#[test]
fn with_a_cgroup_that_does_not_exist() -> Result<()> {
    Lab::run(|lab| {
        let cgroup = Cgroup::new()?;
        let config = lab.file("x.toml", &Site::config().text(&cgroup.path().join("missing")))?;
        let mut command = cgroup.command(Dispa::binary()?);
        let text = refusal(&cgroup, command.arg("-c").arg(config), SYSTEM)?;
        one_line_about(&text, &["missing", "No such file"]);
        Ok(())
    })
}

#[test]
fn with_a_directory_that_is_no_cgroup() -> Result<()> {
    Lab::run(|lab| {
        let cgroup = Cgroup::new()?;
        let config = lab.file("x.toml", &Site::config().text(lab.directory()))?;
        let mut command = cgroup.command(Dispa::binary()?);
        let text = refusal(&cgroup, command.arg("-c").arg(config), SYSTEM)?;
        one_line_about(&text, &["no directory of cgroup v2", "intercept.cgroup"]);
        Ok(())
    })
}

#[test]
fn with_its_port_taken() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _owner = TcpServer::start(&[Config::EXPLICIT_DOOR], |_| Ok(()))?;
        let mut command = Dispa::command(&Dispa::binary()?, lab, &site.cgroup, &Site::config())?;
        let text = refusal(&site.cgroup, &mut command, BIND)?;
        one_line_about(&text, &["127.0.0.1:8080", "in use"]);
        Ok(())
    })
}

/// Runs the daemon with these arguments outside any intercepted cgroup.
fn dispa(arguments: &[&str], code: i32) -> Result<String> {
    let cgroup = Cgroup::new()?;
    refusal(&cgroup, cgroup.command(Dispa::binary()?).args(arguments), code)
}

#[test]
fn with_a_broken_configuration() -> Result<()> {
    Lab::run(|lab| {
        let text = "[server]\nbind_adress = \"127.0.0.1:8080\"\nworkers = \"two\"\n[domains\n";
        let syntax = lab.file("syntax.toml", text)?.display().to_string();
        let told = dispa(&["-c", &syntax], CONFIGURATION)?;
        assert!(told.contains("syntax.toml:4"), "{told}");

        let no_target = Config::new(&[Site::NAME]).text(Path::new("auto"));
        let no_target = lab.file("none.toml", &no_target)?.display().to_string();
        let told = dispa(&["-c", &no_target], CONFIGURATION)?;
        assert!(told.contains("none.toml:5") && told.contains("no target"), "{told}");

        let keys = text.replace("[domains\n", "");
        let keys = lab.file("keys.toml", &keys)?.display().to_string();
        let told = dispa(&["-c", &keys], CONFIGURATION)?;
        // Both mistakes at once, each with its place, and the key that was meant.
        for word in ["keys.toml:2", "bind_address", "keys.toml:3", "workers"] {
            assert!(told.contains(word), "{word:?} is not in {told}");
        }
        Ok(())
    })
}

#[test]
fn with_a_configuration_that_is_not_there() -> Result<()> {
    Lab::run(|_| {
        let told = dispa(&["-c", "/no/such/dispa.toml"], CONFIGURATION)?;
        one_line_about(&told, &["/no/such/dispa.toml", "No such file"]);
        Ok(())
    })
}

#[test]
fn with_arguments_it_does_not_know() -> Result<()> {
    Lab::run(|_| {
        assert!(dispa(&["--no-such-flag"], USAGE)?.contains("--no-such-flag"));
        assert!(dispa(&["-b", "no-address"], USAGE)?.contains("no-address"));
        Ok(())
    })
}

#[test]
fn the_address_on_the_command_line_wins() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let _owner = TcpServer::start(&[Config::EXPLICIT_DOOR], |_| Ok(()))?;
        let other: SocketAddr = "127.0.0.1:8085".parse()?;
        let config = Dispa::write(lab, &Site::config_of_one(), site.cgroup.path())?;
        let mut command = site.cgroup.command(Dispa::binary()?);
        command.arg("-c").arg(config).args(["-b", &other.to_string()]);
        let daemon = Process::start(&mut command)?;
        daemon.wait_for_line(SOON, |line| line.text.contains("\"ready\""))?;
        let arguments = ["-sS", "-H", "Host: example.com", "http://127.0.0.1:8085/"];
        assert_eq!(direct("curl", &arguments)?.success()?, "one");
        Ok(())
    })
}
