//! The schema as JSON Schema, for editors: what the code asks for, described as the shipped file does.

use serde_json::{Map, Value, json};

use super::Config;
use super::reference::{Entry, entries};
use super::section::Section;
use super::shape::{Known, Shape, What};

/// The dialect that the schema is written in.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

impl Config {
    /// The schema of the file, as JSON Schema 2020-12. What contradicts itself across keys is beyond it.
    #[must_use]
    pub fn schema() -> Value {
        let (outline, entries) = (Section::outline_of(Self::read), entries());
        let mut root = section("", &outline, &entries);
        if let Some(root) = root.as_object_mut() {
            root.insert("$schema".to_owned(), DIALECT.into());
            root.insert("title".to_owned(), "The configuration of dispa".into());
        }
        root
    }
}

/// A section, by its header.
fn section(header: &str, outline: &[Known], entries: &[Entry]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for known in outline.iter().filter(|known| known.section == header) {
        let path = path_of(header, known.name);
        let value = match &known.what {
            What::Section => section(&format!("[{path}]"), outline, entries),
            What::Sections => {
                let items = section(&format!("[[{path}]]"), outline, entries);
                json!({ "type": "array", "items": items })
            }
            What::Key { shape, required: is_required } => {
                if *is_required {
                    required.push(known.name);
                }
                key(shape, find(entries, header, known.name))
            }
        };
        properties.insert(known.name.to_owned(), value);
    }
    let mut object =
        json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if let (Some(object), false) = (object.as_object_mut(), required.is_empty()) {
        object.insert("required".to_owned(), required.into());
    }
    object
}

fn key(shape: &Shape, entry: Option<&Entry>) -> Value {
    let mut value = type_of(shape);
    if let (Some(value), Some(entry)) = (value.as_object_mut(), entry) {
        value.insert("description".to_owned(), entry.about.clone().into());
        if let Some(default) = entry.default().and_then(from_toml) {
            value.insert("default".to_owned(), default);
        }
    }
    value
}

fn type_of(shape: &Shape) -> Value {
    match shape {
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Integer(least, most) => {
            let bound = |bound: i128| i64::try_from(bound).ok();
            json!({ "type": "integer", "minimum": bound(*least), "maximum": bound(*most) })
        }
        Shape::Text => json!({ "type": "string" }),
        Shape::Choice(names) => json!({ "type": "string", "enum": names }),
        Shape::Array(items) => json!({ "type": "array", "items": type_of(items) }),
        Shape::Either(one, other) => json!({ "anyOf": [type_of(one), type_of(other)] }),
    }
}

/// What the shipped file says of a key.
pub(super) fn find<'e>(entries: &'e [Entry], header: &str, key: &str) -> Option<&'e Entry> {
    entries.iter().find(|entry| entry.section == header && entry.key == key)
}

/// `targets.load_balancing` in `[targets]`.
pub(super) fn path_of(header: &str, name: &str) -> String {
    match header.trim_matches(['[', ']']) {
        "" => name.to_owned(),
        outer => format!("{outer}.{name}"),
    }
}

fn from_toml(literal: &str) -> Option<Value> {
    let document: toml::Table = format!("value = {literal}").parse().ok()?;
    serde_json::to_value(document.get("value")?).ok()
}
