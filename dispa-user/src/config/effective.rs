//! What counts in the end, key by key, and where each value came from.

use std::fmt;

use serde::Serialize;
use toml::de::{DeTable, DeValue};

use super::environment::Environment;
use super::reference::{Entry, entries};
use super::schema::{find, path_of};
use super::section::Section;
use super::shape::{Known, What};
use super::syntax::Parsed;
use super::value::Value;
use super::{Config, ConfigError, Overrides};

/// What stands for a value that is not to be shown.
const HIDDEN: &str = "\"(hidden)\"";

/// One key and what it is set to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The header of its section: `[server]`.
    pub section: String,
    /// Which of the `[[section]]`s it is in, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// The key.
    pub key: &'static str,
    /// What it is set to, as TOML; `None` where the default is not always the same.
    pub value: Option<String>,
    /// Who says so.
    pub origin: Origin,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Nobody said anything; in words, where the default is not always the same.
    Default(Option<String>),
    /// The file, at this line, from 1.
    File(usize),
    /// The environment variable of this name.
    Environment(String),
    /// `--bind`, or `DISPA_BIND`.
    Bind,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default(None) => f.write_str("default"),
            Self::Default(Some(words)) => write!(f, "default: {words}"),
            Self::File(line) => write!(f, "line {line}"),
            Self::Environment(name) => f.write_str(name),
            Self::Bind => f.write_str("--bind or DISPA_BIND"),
        }
    }
}

impl Config {
    /// What counts if `text` is the configuration's, in the order of the reference. An invalid one is
    /// an error.
    pub fn effective(
        text: &str,
        name: &str,
        overrides: &Overrides,
    ) -> Result<Vec<Setting>, ConfigError> {
        Self::parse(text, name, overrides)?;
        let environment = Environment::below(text, &overrides.environment);
        let Parsed { mut tree, .. } = Parsed::new(environment.file());
        environment.apply(tree.get_mut());
        let outline = Section::outline_of(Self::read);
        let said = Said { environment: &environment, entries: entries(), outline };
        let mut settings = Vec::new();
        said.section("", None, Some(tree.get_ref()), &mut settings);
        if let Some(address) = overrides.bind_address {
            let is_it = |it: &&mut Setting| it.section == "[server]" && it.key == "bind_address";
            if let Some(setting) = settings.iter_mut().find(is_it) {
                setting.value = Some(format!("\"{address}\""));
                setting.origin = Origin::Bind;
            }
        }
        Ok(settings)
    }
}

/// What was said, and by whom.
struct Said<'s> {
    environment: &'s Environment,
    entries: Vec<Entry>,
    outline: Vec<Known>,
}

impl Said<'_> {
    /// Keys first, then sections, as TOML wants it.
    fn section(
        &self,
        header: &str,
        index: Option<usize>,
        table: Option<&DeTable<'_>>,
        into: &mut Vec<Setting>,
    ) {
        let known = || self.outline.iter().filter(|known| known.section == header);
        let is_key = |known: &&Known| matches!(known.what, What::Key { .. });
        for known in known().filter(is_key) {
            let value = table.and_then(|table| table.get(known.name));
            into.push(self.setting(header, index, known.name, value));
        }
        for known in known() {
            let inner = table.and_then(|table| table.get(known.name)).map(toml::Spanned::get_ref);
            let path = path_of(header, known.name);
            match &known.what {
                What::Key { .. } => {}
                What::Section => {
                    let inner = inner.and_then(DeValue::as_table);
                    self.section(&format!("[{path}]"), index, inner, into);
                }
                What::Sections => {
                    let all = inner.and_then(DeValue::as_array).into_iter().flatten();
                    for (index, item) in all.enumerate() {
                        let item = item.get_ref().as_table();
                        self.section(&format!("[[{path}]]"), Some(index), item, into);
                    }
                }
            }
        }
    }

    fn setting(
        &self,
        header: &str,
        index: Option<usize>,
        key: &'static str,
        value: Option<&Value<'_>>,
    ) -> Setting {
        let section = header.to_owned();
        if let Some(value) = value {
            let origin = self.origin(value);
            return Setting {
                section,
                index,
                key,
                value: Some(shown(key, value.get_ref())),
                origin,
            };
        }
        let entry = find(&self.entries, header, key);
        let words = entry.and_then(Entry::default_in_words).map(str::to_owned);
        let value = entry.and_then(Entry::default).map(str::to_owned);
        Setting { section, index, key, value, origin: Origin::Default(words) }
    }

    fn origin(&self, value: &Value<'_>) -> Origin {
        let at = value.span().start;
        if let Some(variable) = self.environment.setting_at(at) {
            return Origin::Environment(variable.name().to_owned());
        }
        let before = self.environment.text.get(..at).unwrap_or_default();
        Origin::File(before.matches('\n').count() + 1)
    }
}

/// A value as TOML; what is a secret is not.
fn shown(key: &str, value: &DeValue<'_>) -> String {
    match (key, value) {
        ("key", _) => HIDDEN.to_owned(),
        ("url", DeValue::String(url)) => quoted(&without_password(url)),
        _ => literal(value),
    }
}

/// A value as TOML.
fn literal(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| literal(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => {
            let pairs = table.iter();
            let pairs: Vec<String> = pairs
                .map(|(key, value)| {
                    format!("{} = {}", key.get_ref(), shown(key.get_ref(), value.get_ref()))
                })
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// `postgres://user:secret@host/base` without the secret, whatever is in it (RFC 3986 section 3.2.1), and
/// without the query, which may have one too.
pub(super) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (user, place) = match rest.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, rest),
    };
    let user = user.map(|user| match user.split_once(':') {
        Some((name, _)) => format!("{name}:(hidden)@"),
        None => format!("{user}@"),
    });
    let place = match place.split_once('?') {
        Some((place, _)) => format!("{place}?(hidden)"),
        None => place.to_owned(),
    };
    format!("{scheme}://{}{place}", user.unwrap_or_default())
}
