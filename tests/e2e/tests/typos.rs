//! A person who never read the docs: a typo in a command or an option suggests the right one, and the
//! help of each command shows an example.

use std::{process::Command, time::Duration};

use anyhow::{Result, ensure};
use dispa_lab::{Dispa, Finished, run};

const SOON: Duration = Duration::from_secs(20);

/// What sysexits(3) calls a wrong command line.
const USAGE: i32 = 64;

/// Runs `dispa` with these words.
fn dispa(words: &[&str]) -> Result<Finished> {
    run(Command::new(Dispa::binary()?).args(words), SOON)
}

/// The commands that `dispa --help` lists.
fn commands() -> Result<Vec<String>> {
    let help = dispa(&["--help"])?.success()?;
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let entries = list.take_while(|line| !line.is_empty());
    // Deeper lines go on with what a command is for.
    let names =
        entries.filter_map(|line| line.strip_prefix("  ").filter(|it| !it.starts_with(' ')));
    let names = names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned);
    let names: Vec<_> = names.filter(|name| name != "help").collect();
    ensure!(names.len() >= 10, "{help}");
    Ok(names)
}

/// The long options in a command's help, each with its dashes.
fn options(help: &str) -> Vec<&str> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let names = lines.filter_map(|line| line.split_whitespace().find(|it| it.starts_with("--")));
    names.map(|name| name.split(['=', '[']).next().unwrap_or(name)).collect()
}

/// The name with its last letter twice: a slip that is nearer to it than to every other name.
fn misspelt(name: &str) -> String {
    name.chars().chain(name.chars().last()).collect()
}

/// Checks that the words are refused, with this name suggested and nothing done.
fn suggests(words: &[&str], name: &str) -> Result<()> {
    let told = dispa(words)?;
    ensure!(told.code() == Some(USAGE), "{words:?}: {told:?}");
    ensure!(told.stdout().is_empty(), "{words:?}: {told:?}");
    let suggestion = told.stderr();
    let similar = suggestion.lines().find(|line| line.contains("similar"));
    let quoted = format!("'{name}'");
    ensure!(similar.is_some_and(|line| line.contains(&quoted)), "{words:?}: {suggestion}");
    Ok(())
}

#[test]
fn a_misspelt_command_suggests_the_right_one() -> Result<()> {
    for command in commands()? {
        suggests(&[&misspelt(&command)], &command)?;
    }
    Ok(())
}

#[test]
fn a_misspelt_option_suggests_the_right_one() -> Result<()> {
    let help = dispa(&["--help"])?.success()?;
    for option in options(&help) {
        suggests(&[&misspelt(option)], option)?;
    }
    for command in commands()? {
        let help = dispa(&[&command, "--help"])?.success()?;
        for option in options(&help) {
            suggests(&[&command, &misspelt(option)], option)?;
        }
    }
    Ok(())
}

#[test]
fn the_help_of_every_command_shows_an_example() -> Result<()> {
    for command in commands()? {
        let help = dispa(&[&command, "--help"])?.success()?;
        let example = help.lines().find_map(|line| line.strip_prefix("Example: dispa "));
        ensure!(example.is_some_and(|it| it.starts_with(&command)), "{command}: {help}");
    }
    Ok(())
}
