//! `DISPA__SERVER__WORKERS=4`: keys of sections, from the environment. They win over the file.

use toml::de::{DeTable, DeValue};

use super::problem::{Problem, quoted};

/// What the names of such variables begin with.
const PREFIX: &str = "DISPA__";

/// The file's text, and below it a line for each variable, so that what is wrong with one can be
/// shown like everything else.
#[derive(Debug)]
pub(super) struct Environment {
    /// Both.
    pub(super) text: String,
    /// Where the file's text ends.
    file: usize,
    settings: Vec<Setting>,
}

/// One variable.
#[derive(Debug)]
pub(super) struct Setting {
    path: Vec<String>,
    /// `DISPA__SERVER__WORKERS = 4`, after as many spaces as there are bytes before it.
    line: String,
}

impl Environment {
    /// Those of `variables` that are for us. A value that is no TOML is taken for a string.
    pub(super) fn below(text: &str, variables: &[(String, String)]) -> Self {
        let mut all = Self { text: text.to_owned(), file: text.len(), settings: Vec::new() };
        for (name, value) in variables {
            let Some(path) = name.strip_prefix(PREFIX) else { continue };
            let path = path.split("__").map(str::to_ascii_lowercase).collect();
            let literal = format!("{name} = {value}");
            let is_toml = DeTable::parse(&literal).is_ok_and(|table| table.get_ref().len() == 1);
            let line = if is_toml { literal } else { format!("{name} = {value:?}") };
            all.text.push('\n');
            let padding = " ".repeat(all.text.len());
            all.text.push_str(&line);
            all.settings.push(Setting { path, line: padding + &line });
        }
        all
    }

    /// The file's text alone.
    pub(super) fn file(&self) -> &str {
        self.text.get(..self.file).unwrap_or_default()
    }

    /// The one that is written at this byte.
    pub(super) fn setting_at(&self, at: usize) -> Option<&Setting> {
        self.settings.iter().rev().find(|setting| setting.start() <= at)
    }

    /// Sets what they say in `tree`; what cannot be set.
    pub(super) fn apply<'d>(&'d self, tree: &mut DeTable<'d>) -> Vec<Problem> {
        self.settings.iter().filter_map(|setting| setting.apply(tree).err()).collect()
    }
}

impl Setting {
    /// The variable's.
    pub(super) fn name(&self) -> &str {
        self.line.trim_start().split(" = ").next().unwrap_or_default()
    }

    fn start(&self) -> usize {
        self.line.len() - self.line.trim_start().len()
    }

    fn apply<'d>(&'d self, tree: &mut DeTable<'d>) -> Result<(), Problem> {
        let parsed = DeTable::parse(&self.line).map(toml::Spanned::into_inner);
        let only = parsed.ok().and_then(|table| table.into_iter().next());
        let (Some((variable, value)), Some((key, sections))) = (only, self.path.split_last())
        else {
            let problem = Problem::error(format!("{} names no key", quoted(self.name())));
            return Err(problem.help("a variable is written as DISPA__SECTION__KEY"));
        };
        let span = variable.span();
        let named = |name: &'d str| toml::Spanned::new(span.clone(), name.into());
        let mut table = tree;
        for section in sections {
            if !table.contains_key(section.as_str()) {
                let empty = toml::Spanned::new(span.clone(), DeValue::Table(DeTable::new()));
                table.insert(named(section), empty);
            }
            let next = table.get_mut(section.as_str()).map(toml::Spanned::get_mut);
            let Some(DeValue::Table(next)) = next else {
                let title = format!("`{section}` is no section of which a variable can set a key");
                return Err(Problem::error(title).at(span, ""));
            };
            table = next;
        }
        table.remove(key.as_str());
        table.insert(named(key), value);
        Ok(())
    }
}
