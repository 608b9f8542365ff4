//! The floors of the house: a room uses only rooms of lower floors, and one of its own floor
//! only where that floor allows it and the other does not use it back.
//!
//! The floors are those that dispa-user's lib.rs writes down: a comment `// Floor N`, and the
//! rooms below it.

mod paths;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use super::{Finding, HOUSE, Source};

/// Where the rooms are.
const ROOMS: &str = "dispa-user/src/";
/// The floor whose rooms know nothing of one another.
const WALLED: u8 = 4;

/// The floor of each room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Floors(BTreeMap<String, u8>);

/// One room naming another.
struct Use<'a> {
    source: &'a Source,
    line: usize,
    room: String,
    other: String,
}

impl Floors {
    /// Reads the floors off the file that declares the rooms.
    pub(super) fn parse(house: &str) -> Result<Self> {
        let mut floor = None;
        let mut rooms = BTreeMap::new();
        for line in house.lines() {
            if let Some(comment) = line.strip_prefix("// Floor ") {
                let digits = comment.split(|it: char| !it.is_ascii_digit()).next();
                floor = digits.and_then(|digits| digits.parse().ok());
            } else if let Some(room) = declared(line) {
                let floor = floor.with_context(|| format!("the room {room} is on no floor"))?;
                rooms.insert(room.to_owned(), floor);
            }
        }
        if rooms.is_empty() {
            bail!("it declares no rooms");
        }
        Ok(Self(rooms))
    }

    fn of(&self, room: &str) -> Option<u8> {
        self.0.get(room).copied()
    }

    /// Why `room` may not name `other`; `mutual` where `other` names it too.
    fn objection(&self, room: &str, other: &str, mutual: bool) -> Option<String> {
        let (from, to) = (self.of(room)?, self.of(other)?);
        let why = if to > from {
            format!("the room above it, {other} (floor {to})")
        } else if to == from && from == WALLED {
            format!("{other}: rooms of this floor know nothing of one another")
        } else if to == from && mutual {
            format!("{other}, which uses it too")
        } else {
            return None;
        };
        Some(format!("{room} (floor {from}) uses {why}"))
    }
}

/// The module that a line declares.
fn declared(line: &str) -> Option<&str> {
    line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ")?.strip_suffix(';')
}

/// Holds every room against the floors.
pub(super) fn check(floors: &Floors, sources: &[Source]) -> Vec<Finding> {
    let uses: Vec<_> = sources.iter().flat_map(|source| uses(floors, source)).collect();
    let pairs: BTreeSet<_> = uses.iter().map(|it| (it.room.as_str(), it.other.as_str())).collect();
    let breach = |it: &Use<'_>| {
        let mutual = pairs.contains(&(it.other.as_str(), it.room.as_str()));
        let objection = floors.objection(&it.room, &it.other, mutual)?;
        Some(it.source.finding(it.line, objection))
    };
    uses.iter().filter_map(breach).collect()
}

/// The other rooms that a file of a room names.
fn uses<'a>(floors: &Floors, source: &'a Source) -> Vec<Use<'a>> {
    let Some(path) = source.path.strip_prefix(ROOMS).filter(|_| source.path != HOUSE) else {
        return Vec::new();
    };
    let room = path.split('/').next().unwrap_or(path).trim_end_matches(".rs");
    let named = paths::from_the_root(&source.tokens(), paths::depth(path));
    named
        .into_iter()
        .filter(|(_, other)| *other != room && floors.of(other).is_some())
        .map(|(line, other)| Use { source, line, room: room.to_owned(), other: other.to_owned() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Floors, Source, check};

    const HOUSE: &str = "//! House.\n\n// Floor 0: words.\npub mod types;\n\n\
        // Floor 4: each alone.\npub mod dns;\npub mod kernel;\n\n\
        // Floor 7.\npub mod admin;\npub mod control;\n";

    fn complaints(files: &[(&str, &str)]) -> Vec<String> {
        let floors = Floors::parse(HOUSE).expect("the house is sound");
        let sources: Vec<_> = files
            .iter()
            .map(|(path, text)| Source {
                path: format!("dispa-user/src/{path}"),
                text: (*text).to_owned(),
            })
            .collect();
        check(&floors, &sources).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn floors_are_read_from_the_comments() {
        let floors = Floors::parse(HOUSE).expect("the house is sound");
        assert_eq!((floors.of("types"), floors.of("kernel")), (Some(0), Some(4)));
        assert_eq!(floors.of("attic"), None);
    }

    #[test]
    fn a_room_without_a_floor_is_refused() {
        assert!(Floors::parse("pub mod types;\n// Floor 1\npub mod net;").is_err());
    }

    #[test]
    fn downward_is_allowed() {
        assert!(complaints(&[("dns/mod.rs", "use crate::types::Name;")]).is_empty());
    }

    #[test]
    fn upward_is_refused_in_every_shape() {
        for text in [
            "use crate::dns::Relay;",
            "use crate::{\n types, dns::Relay};",
            "fn f() { crate::dns::g() }",
            "use super::super::dns;",
            "mod tests { use super::super::super::dns; }",
        ] {
            let said = complaints(&[("types/name.rs", text)]);
            assert_eq!(said.len(), 1, "{text}");
            assert!(said[0].contains("types (floor 0) uses the room above it, dns"), "{}", said[0]);
        }
    }

    #[test]
    fn a_rooms_own_parts_may_be_called_as_a_room_is() {
        let text = "use super::dns; use crate::types::dns; mod tests { use super::super::dns; }";
        assert!(complaints(&[("types/name.rs", text)]).is_empty());
    }

    #[test]
    fn rooms_of_floor_4_are_walled_off() {
        let said = complaints(&[("dns/mod.rs", "use super::kernel;")]);
        assert!(said[0].starts_with("dispa-user/src/dns/mod.rs:1: dns (floor 4) uses kernel:"));
    }

    #[test]
    fn neighbours_may_use_each_other_one_way_only() {
        let one = ("admin.rs", "use crate::control::reload;");
        let back = ("control/mod.rs", "use crate::admin::serve;");
        assert!(complaints(&[one]).is_empty());
        assert_eq!(complaints(&[one, back]).len(), 2);
    }
}
