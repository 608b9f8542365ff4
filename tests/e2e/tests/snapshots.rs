//! What `status`, `explain`, `check`, `doctor` and `config show` print, text and JSON, as people and
//! machines get it. `UPDATE_SNAPSHOTS=1` writes the files anew; look at what has changed.

use std::{env, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::Site;
use dispa_lab::{Cgroup, Config, Dispa, Lab, run};

const SOON: Duration = Duration::from_secs(30);

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots");

/// Runs `dispa`; its standard output, and what it says on standard error.
fn dispa(lab: &Lab, words: &[&str]) -> Result<String> {
    let cgroup = Cgroup::new()?;
    let mut command = cgroup.command(Dispa::binary()?);
    command.env_remove("DISPA__ADMIN__TOKEN_FILE").current_dir(lab.directory());
    let told = run(command.args(words), SOON)?;
    let (out, error) = (told.stdout(), told.stderr());
    ensure!(!out.contains('\x1b') && !error.contains('\x1b'), "no terminal, no colours: {told:?}");
    let place = cgroup.path().display().to_string();
    let code = told.code().unwrap_or(-1);
    let text = format!("{out}\n--- standard error ---\n{error}\n--- exit code {code} ---\n");
    Ok(text.replace(&place, "/sys/fs/cgroup/PLACE"))
}

/// What differs from machine to machine.
fn of_no_machine(text: &str, site: &Site<'_>) -> Result<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let root = Cgroup::root()?.display().to_string();
    let lab = site.lab.directory().display().to_string();
    let own = site.cgroup.path().display().to_string();
    let text = text.replace(&own, "/sys/fs/cgroup/SITE").replace(&lab, "/LAB");
    Ok(text.replace(&root, "/sys/fs/cgroup").replace(release.trim(), "RELEASE"))
}

/// Of numbers and columns only that they are there.
fn without_numbers(text: &str) -> String {
    let mut plain = String::new();
    for character in text.chars() {
        let character = if character.is_ascii_digit() { '#' } else { character };
        let repeats = plain.ends_with(character) && matches!(character, '#' | ' ');
        if !repeats {
            plain.push(character);
        }
    }
    plain
}

/// Holds `text` against the file of this name.
fn check(name: &str, text: &str) -> Result<()> {
    let file = Path::new(FILES).join(name).with_extension("txt");
    if env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&file, text)?;
    }
    let expected = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    assert_eq!(text, expected, "{name}");
    Ok(())
}

/// One domain, one that is excluded, one target that is up.
fn config() -> Config {
    Config::new(&[Site::NAME4]).exclude(&[Site::NAME6]).target("one", Site::backend(1))
}

#[test]
fn a_running_daemon_tells_of_itself() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let daemon = site.dispa(&config())?;
        site.curl(&["http://four.example.com/[1-3]"])?;
        let file = daemon.file().display().to_string();
        for (name, words) in [
            ("status", &["status"][..]),
            ("status-json", &["status", "--json"]),
            ("explain", &["explain", "http://four.example.com/"]),
            ("explain-json", &["explain", "http://four.example.com/", "--json"]),
            ("explain-excluded", &["explain", Site::NAME6]),
            ("explain-address", &["explain", "198.51.100.10"]),
        ] {
            let text = dispa(lab, &[words, &["-c", &file]].concat())?;
            check(name, &without_numbers(&of_no_machine(&text, &site)?))?;
        }
        Ok(())
    })
}

#[test]
fn a_file_tells_of_itself() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let odd = "\n[http]\nvia = \"me\"\n[[backends]]\nid = \"idle\"\naddress = \"127.0.0.1:9\"\ntags = [\"t\"]";
        lab.file("good.toml", &config().text(site.cgroup.path()))?;
        lab.file("odd.toml", &config().sections(odd).text(site.cgroup.path()))?;
        for (name, words) in [
            ("check", &["check", "good.toml"][..]),
            ("check-json", &["check", "good.toml", "--json"]),
            ("check-odd", &["check", "odd.toml"]),
            ("check-odd-json", &["check", "odd.toml", "--json"]),
            ("config-show", &["config", "show", "-c", "odd.toml"]),
            ("config-show-origin", &["config", "show", "--origin", "-c", "odd.toml"]),
            ("explain-file", &["explain", Site::NAME4, "--file-only", "-c", "good.toml"]),
            ("explain-nonsense", &["explain", "a b", "-c", "good.toml"]),
            ("status-nobody", &["status", "-c", "good.toml"]),
        ] {
            check(name, &of_no_machine(&dispa(lab, words)?, &site)?)?;
        }
        Ok(())
    })
}

#[test]
fn a_host_is_told_of() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        lab.file("good.toml", &config().text(site.cgroup.path()))?;
        for (name, words) in [
            ("doctor", &["doctor", "-c", "good.toml"][..]),
            ("doctor-json", &["doctor", "--json", "-c", "good.toml"]),
            ("doctor-no-file", &["doctor", "-c", "/no/such/file"]),
        ] {
            check(name, &of_no_machine(&dispa(lab, words)?, &site)?)?;
        }
        Ok(())
    })
}
