//! What `config/dispa.toml` says of each key: its meaning, and its default or an example.
//!
//! That file is the one place where keys are described; a test holds it against the code.

/// The shipped file: every key, with its meaning, its unit and its default.
pub const REFERENCE: &str = include_str!("../../../config/dispa.toml");

/// How a comment says that the default is not what stands there.
const OTHER_DEFAULT: &str = "Default: ";

/// Where keys that say nothing for themselves are described.
const ELSEWHERE: &str = "As in ";

/// What the shipped file says of a section or a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// `[server]`; nothing for the whole document.
    pub(super) section: String,
    /// The key; empty for the section itself.
    pub(super) key: String,
    pub(super) about: String,
    /// Its default or an example, as TOML.
    literal: String,
    /// Whether it is left at its default.
    is_left_out: bool,
}

impl Entry {
    /// The default, as TOML, where it is always the same.
    pub(super) fn default(&self) -> Option<&str> {
        let always = self.is_left_out && !self.about.contains(OTHER_DEFAULT);
        always.then_some(&*self.literal)
    }

    /// The default in words, where it is not always the same.
    pub(super) fn default_in_words(&self) -> Option<&str> {
        let (_, words) = self.about.split_once(OTHER_DEFAULT)?;
        Some(words.split_once(". ").map_or(words, |(first, _)| first).trim_end_matches('.'))
    }
}

/// All of the shipped file.
pub(super) fn entries() -> Vec<Entry> {
    let mut reader = Reader::default();
    REFERENCE.lines().for_each(|line| reader.line(line));
    let all = reader.entries;
    let described = |entry: &Entry| match described_as(entry, &all) {
        Some(other) => Entry { about: other.about.clone(), ..entry.clone() },
        None => entry.clone(),
    };
    all.iter().map(described).collect()
}

/// The entry that says what `entry` only refers to.
fn described_as<'e>(entry: &Entry, all: &'e [Entry]) -> Option<&'e Entry> {
    let refers = entry.about.is_empty() || entry.about.starts_with(ELSEWHERE);
    let last = |section: &str| section.trim_end_matches(']').rsplit('.').next().map(str::to_owned);
    let mut others = all.iter().filter(|it| it.key == entry.key && it.section != entry.section);
    let is_like = |it: &&Entry| {
        last(&it.section) == last(&entry.section) || entry.about.contains(&it.section)
    };
    others.find(is_like).filter(|_| refers && !entry.key.is_empty())
}

#[derive(Default)]
struct Reader {
    section: String,
    about: String,
    entries: Vec<Entry>,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let setting = line.strip_prefix('#').unwrap_or(line);
        if line.trim().is_empty() {
            self.about.clear();
        } else if setting.starts_with('[') {
            setting.trim().clone_into(&mut self.section);
            self.push(String::new(), String::new(), false);
            self.about.clear();
        } else if let (Some((key, literal)), false) =
            (setting.split_once(" = "), setting.starts_with(' '))
        {
            self.push(key.to_owned(), literal.to_owned(), line.starts_with('#'));
        } else {
            if !self.about.is_empty() {
                self.about.push(' ');
            }
            self.about.push_str(setting.trim());
        }
    }

    fn push(&mut self, key: String, literal: String, is_left_out: bool) {
        let (section, about) = (self.section.clone(), self.about.clone());
        self.entries.push(Entry { section, key, about, literal, is_left_out });
    }
}
