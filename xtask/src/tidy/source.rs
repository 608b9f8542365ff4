//! The Rust files of the repository.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Finding;
use super::lexer::{self, Token};

/// Directories of cargo's making, from the top of the repository.
const BUILT: [&str; 3] = ["target", "dispa-ebpf/target", "fuzz/target"];

/// One file.
#[derive(Debug)]
pub(super) struct Source {
    /// From the top of the repository.
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    /// The file's tokens, without comments and literals.
    pub(super) fn tokens(&self) -> Vec<Token<'_>> {
        lexer::tokens(&self.text)
    }

    /// Something to be said about one of its lines.
    pub(super) fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, message: message.into() }
    }
}

/// All of them, in order of their paths.
pub(super) fn all(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    collect(root, "", &mut sources)?;
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(sources)
}

fn collect(root: &Path, directory: &str, sources: &mut Vec<Source>) -> Result<()> {
    for entry in fs::read_dir(root.join(directory)).with_context(|| directory.to_owned())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
        if name.starts_with('.') || BUILT.contains(&path.as_str()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(root, &path, sources)?;
        } else if Path::new(&name).extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(entry.path()).with_context(|| path.clone())?;
            sources.push(Source { path, text });
        }
    }
    Ok(())
}
