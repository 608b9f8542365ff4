//! Broken configuration files: each is refused with exactly its message, by `dispa check` as by a start.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dispa_lab::{Dispa, run};

const SOON: Duration = Duration::from_secs(20);

/// `NAME.toml` is the file, `NAME.txt` what is said of it.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/broken");

/// The names of all of them.
fn names() -> Result<Vec<String>> {
    let entries = fs::read_dir(FILES)?.map(|entry| Ok(entry?.file_name()));
    let names = entries.collect::<Result<Vec<_>>>()?;
    let mut names: Vec<String> = names
        .iter()
        .filter_map(|name| Some(name.to_str()?.strip_suffix(".toml")?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// Runs `dispa` where the files are, with these words.
fn dispa(words: &[&str]) -> Result<(Option<i32>, String, String)> {
    let mut command = Command::new(Dispa::binary()?);
    let told = run(command.args(words).current_dir(FILES), SOON)?;
    Ok((told.code(), told.stdout(), told.stderr()))
}

#[test]
fn each_broken_file_is_refused_with_its_message() -> Result<()> {
    let names = names()?;
    ensure!(names.len() >= 40, "{} files", names.len());
    for name in names {
        let expected = fs::read_to_string(Path::new(FILES).join(&name).with_extension("txt"))
            .with_context(|| name.clone())?;
        let file = format!("{name}.toml");
        let (code, out, error) = dispa(&["check", &file])?;
        assert_eq!((code, &*out), (Some(1), ""), "{name}");
        assert_eq!(error.trim_end(), expected.trim_end(), "{name}");
        // A start says the same, and starts nothing.
        assert_eq!(dispa(&["-c", &file])?, (code, out, error), "{name}");
    }
    Ok(())
}

#[test]
fn a_machine_is_told_the_same() -> Result<()> {
    let (code, out, error) = dispa(&["check", "--json", "key-misspelt.toml"])?;
    assert_eq!((code, &*error), (Some(1), ""));
    let told: serde_json::Value = serde_json::from_str(&out)?;
    assert_eq!(told["valid"], false);
    let report = told["error"].as_str().context("a report")?;
    let expected = fs::read_to_string(Path::new(FILES).join("key-misspelt.txt"))?;
    assert_eq!(report.trim_end(), expected.trim_end());
    Ok(())
}
