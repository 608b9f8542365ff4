//! `[targets.load_balancing]`, or that of a virtual host: how exchanges are spread over a pool.

use std::{fmt, sync::Arc};

use http::{HeaderName, HeaderValue};

use super::problem::{Problem, Span, quoted};
use super::section::Section;
use super::value::{Reading, Value, boolean, choice, integer, located, parsed, text};
use crate::balance::Algorithm;

/// Fewer can be guessed.
const LEAST_KEY: usize = 16;
/// A year, in seconds.
const LONGEST_AGE: u64 = 31_536_000;
const DEFAULT_COOKIE: &str = "dispa_backend";

/// How exchanges are spread over a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balancing {
    /// The choice of the next backend.
    pub algorithm: Algorithm,
    /// What `hash` goes by.
    pub key: HashKey,
    /// The cookie by which a client stays with its backend.
    pub sticky: Option<StickyCookie>,
}

/// What a request is hashed by. Where a request lacks it, by the client's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address.
    Source,
    /// The value of this field.
    Header(HeaderName),
    /// The value of this cookie.
    Cookie(Arc<str>),
    /// The path, without its query.
    Path,
    /// The process that made the connection.
    Process,
}

/// A cookie that keeps a client with its backend (RFC 6265).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickyCookie {
    /// Its name.
    pub name: Arc<str>,
    /// What follows its value in Set-Cookie: `; Path=/; HttpOnly` and so on.
    pub attributes: Arc<str>,
    /// What its values are signed with; `None`: one that is made at the start.
    pub key: Option<Secret>,
}

/// What is not to be seen in any log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Arc<str>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StickyBy {
    Cookie,
    Hash(&'static HashKey),
}

const STICKY_BY: &[(&str, StickyBy)] = &[
    ("cookie", StickyBy::Cookie),
    ("source", StickyBy::Hash(&HashKey::Source)),
    ("process", StickyBy::Hash(&HashKey::Process)),
];
const SAME_SITE: &[(&str, &str)] = &[("strict", "Strict"), ("lax", "Lax"), ("none", "None")];

impl Balancing {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let algorithm = section.key_or("type", choice(Algorithm::NAMES), Algorithm::RoundRobin);
        let key = section.key("hash_key", located(hash_key));
        let is_sticky = section.key_or("sticky_sessions", boolean, false);
        let by = section.key("sticky_by", located(choice(STICKY_BY)));
        let cookie = section.table("sticky_cookie", StickyCookie::read);
        let way = by.as_ref().map_or(StickyBy::Cookie, |by| by.value);
        let hashed_by = match (is_sticky, way) {
            (true, StickyBy::Hash(key)) => Some(key.clone()),
            _ => None,
        };
        if let Some(by) = by.filter(|_| !is_sticky) {
            warn_of_idle(section, "sticky_by", by.span, "`sticky_sessions = true`");
        }
        if let Some(span) = cookie.span.filter(|_| !is_sticky || hashed_by.is_some()) {
            warn_of_idle(section, "sticky_cookie", span, "sticky sessions by cookie");
        }
        let hashes = algorithm == Algorithm::Hash && hashed_by.is_none();
        let key = match key {
            Some(key) if !hashes => {
                warn_of_idle(section, "hash_key", key.span, "`type = \"hash\"`");
                HashKey::Source
            }
            Some(key) => key.value,
            None => HashKey::Source,
        };
        match hashed_by {
            Some(key) => Self { algorithm: Algorithm::Sticky, key, sticky: None },
            None => Self { algorithm, key, sticky: is_sticky.then_some(cookie.value) },
        }
    }
}

fn warn_of_idle(section: &mut Section<'_>, key: &str, span: Span, needs: &str) {
    let problem = Problem::warning(format!("`{key}` has no effect without {needs}"));
    section.report(problem.at(span, ""));
}

/// What `sticky_cookie` says, and where.
struct DeclaredCookie {
    value: StickyCookie,
    /// None if it is not there.
    span: Option<Span>,
}

impl Balancing {
    /// Whether it is to be known which process makes a connection.
    #[must_use]
    pub fn goes_by_process(&self) -> bool {
        let hashes = matches!(self.algorithm, Algorithm::Hash | Algorithm::Sticky);
        hashes && self.key == HashKey::Process
    }
}

impl StickyCookie {
    fn read(section: &mut Section<'_>) -> DeclaredCookie {
        let name = section.key_or("name", cookie_name, DEFAULT_COOKIE.into());
        let path = section.key_or("path", attribute, "/".to_owned());
        let domain = section.key("domain", attribute);
        let max_age = section.key("max_age", integer(1..=LONGEST_AGE));
        let secure = section.key_or("secure", boolean, false);
        let http_only = section.key_or("http_only", boolean, true);
        let same_site = section.key_or("same_site", choice(SAME_SITE), "Lax");
        let key = section.key("key", secret);
        if same_site == "None" && !secure {
            let problem = Problem::error("browsers drop a cookie of `same_site = \"none\"`");
            section.report_here(problem.help("add `secure = true`, or choose \"lax\""));
        }
        let attributes = [
            Some(format!("; Path={path}")),
            domain.map(|domain| format!("; Domain={domain}")),
            max_age.map(|age| format!("; Max-Age={age}")),
            Some(format!("; SameSite={same_site}")),
            secure.then(|| "; Secure".to_owned()),
            http_only.then(|| "; HttpOnly".to_owned()),
        ];
        let attributes: String = attributes.into_iter().flatten().collect();
        let value = Self { name, attributes: attributes.into(), key };
        DeclaredCookie { value, span: section.span() }
    }
}

/// `source`, `path`, `process`, `header:X-User` or `cookie:session`.
fn hash_key(value: &Value<'_>) -> Reading<HashKey> {
    let parse = |text: &str| match text.split_once(':') {
        None if text == "source" => Ok(HashKey::Source),
        None if text == "path" => Ok(HashKey::Path),
        None if text == "process" => Ok(HashKey::Process),
        Some(("header", name)) => name
            .parse()
            .map(HashKey::Header)
            .map_err(|_| format!("{} is no name of a field", quoted(name))),
        Some(("cookie", name)) if is_token(name) => Ok(HashKey::Cookie(name.into())),
        Some(("cookie", name)) => Err(format!("{} is no name of a cookie", quoted(name))),
        _ => Err(format!("unknown key {}", quoted(text))),
    };
    parsed(parse, "write \"source\", \"path\", \"process\", \"header:NAME\" or \"cookie:NAME\"")(
        value,
    )
}

fn cookie_name(value: &Value<'_>) -> Reading<Arc<str>> {
    let parse = |text: &str| is_token(text).then(|| text.into()).ok_or("no name of a cookie");
    parsed(parse, "use letters, digits, `-` and `_`")(value)
}

/// What may stand in an attribute of a cookie (RFC 6265 section 4.1.1).
fn attribute(value: &Value<'_>) -> Reading<String> {
    let parse = |text: &str| {
        let is_clean = HeaderValue::from_str(text).is_ok() && !text.contains([';', ',', ' ']);
        let good = is_clean && text.is_ascii() && !text.is_empty();
        good.then(|| text.to_owned()).ok_or("no attribute of a cookie")
    };
    parsed(parse, "write it without spaces, `;` and `,`")(value)
}

fn secret(value: &Value<'_>) -> Reading<Secret> {
    let text = text(value)?;
    if text.len() < LEAST_KEY {
        // Without its place: that would show it.
        let problem = Problem::error(format!("a key of {} bytes can be guessed", text.len()));
        return Err(vec![problem.help(format!("make it {LEAST_KEY} bytes or longer"))]);
    }
    Ok(Secret(text.into()))
}

/// RFC 9110 section 5.6.2, which is what a name of a cookie is too.
fn is_token(text: &str) -> bool {
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_one)
}
