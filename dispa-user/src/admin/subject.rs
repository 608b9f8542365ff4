//! What is asked about: a host name, an IP address, or a URL.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::types::{HostName, HostNameError};

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A host name, on every port that may be intercepted.
    Name(HostName),
    /// An IP address, whatever is asked for there.
    Address(IpAddr),
    /// One request.
    Url(Url),
}

/// As much of a URL as decides where its request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// What is spoken.
    pub protocol: Protocol,
    /// A name or an IP address.
    pub host: HostName,
    /// Never 0.
    pub port: u16,
}

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1 in the clear.
    Http,
    /// TLS, whatever is in it.
    Tls,
}

/// Why a text is nothing to be explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// Another scheme than HTTP's.
    #[error("{text:?}: only http:// and https:// URLs can be explained")]
    Scheme {
        /// What was given.
        text: String,
    },
    /// A port without a scheme.
    #[error(
        "{text:?}: with a port it must be a URL, which says what is spoken there: http://{text}"
    )]
    NoScheme {
        /// What was given: a valid host and port.
        text: String,
    },
    /// No host.
    #[error("{text:?} is no host name, IP address or URL: {source}")]
    Host {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: HostNameError,
    },
}

impl Subject {
    /// Reads `example.com`, `192.0.2.1`, `2001:db8::1` or `https://example.com:8443/path`.
    pub fn parse(text: &str) -> Result<Self, SubjectError> {
        let text = text.trim();
        if let Some((scheme, rest)) = text.split_once("://") {
            return Url::parse(text, scheme, rest).map(Self::Url);
        }
        match HostName::parse(text) {
            Ok(host) => Ok(host.ip().map_or(Self::Name(host), Self::Address)),
            Err(_) if matches!(HostName::from_authority(text), Ok((_, Some(_)))) => {
                Err(SubjectError::NoScheme { text: text.to_owned() })
            }
            Err(source) => Err(SubjectError::Host { text: text.to_owned(), source }),
        }
    }

    /// The host that a request asks for; `None` where any may be asked for.
    #[must_use]
    pub fn host(&self) -> Option<&HostName> {
        match self {
            Self::Name(host) | Self::Url(Url { host, .. }) => Some(host),
            Self::Address(_) => None,
        }
    }

    /// The address that is connected to; `None` where the DNS says which.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Name(host) | Self::Url(Url { host, .. }) => host.ip(),
        }
    }

    /// The protocols and ports to be explained, where `ports` are those that are intercepted: 80 and
    /// 443 as everyone uses them, and on others either protocol.
    #[must_use]
    pub fn cases(&self, ports: &[u16]) -> Vec<(Protocol, u16)> {
        if let Self::Url(url) = self {
            return vec![(url.protocol, url.port)];
        }
        let others = ports.iter().filter(|port| ![80, 443].contains(port));
        [(Protocol::Http, 80), (Protocol::Tls, 443)]
            .into_iter()
            .chain(others.flat_map(|&port| [(Protocol::Http, port), (Protocol::Tls, port)]))
            .collect()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(host) => host.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

impl Url {
    fn parse(text: &str, scheme: &str, rest: &str) -> Result<Self, SubjectError> {
        let protocol = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => Protocol::Http,
            "https" | "wss" => Protocol::Tls,
            _ => return Err(SubjectError::Scheme { text: text.to_owned() }),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = HostName::from_authority(host)
            .map_err(|source| SubjectError::Host { text: text.to_owned(), source })?;
        Ok(Self { protocol, host, port: port.unwrap_or(protocol.default_port()) })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Http => "http",
            Protocol::Tls => "https",
        };
        match self.host.ip() {
            Some(IpAddr::V6(address)) => write!(f, "{scheme}://[{address}]")?,
            _ => write!(f, "{scheme}://{}", self.host)?,
        }
        if self.port == self.protocol.default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl Protocol {
    /// RFC 9110 sections 4.2.1 and 4.2.2.
    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Tls => 443,
        }
    }

    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Tls => "TLS",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Protocol, Subject};

    fn shown(text: &str) -> String {
        match Subject::parse(text) {
            Ok(subject) => {
                let kind = match subject {
                    Subject::Name(_) => "name",
                    Subject::Address(_) => "address",
                    Subject::Url(_) => "url",
                };
                format!("{kind} {subject}")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn each_kind_is_told_by_its_shape() {
        assert_eq!(shown(" Example.COM. "), "name example.com");
        assert_eq!(shown("bücher.example"), "name xn--bcher-kva.example");
        assert_eq!(shown("192.0.2.1"), "address 192.0.2.1");
        assert_eq!(shown("::ffff:192.0.2.1"), "address 192.0.2.1");
        assert_eq!(shown("[2001:db8::1]"), "address 2001:db8::1");
        assert_eq!(shown("HTTP://Example.com/a?b#c"), "url http://example.com");
        assert_eq!(shown("https://u:p@a.example:8443"), "url https://a.example:8443");
        assert_eq!(shown("http://[2001:db8::1]:81/"), "url http://[2001:db8::1]:81");
        assert_eq!(shown("wss://a.example/chat"), "url https://a.example");
    }

    #[test]
    fn what_is_none_of_them_says_why() {
        assert_eq!(
            shown("a b"),
            "\"a b\" is no host name, IP address or URL: ' ' cannot be part of a host name"
        );
        assert_eq!(
            shown("*.a.example"),
            "\"*.a.example\" is no host name, IP address or URL: '*' cannot be part of a host name"
        );
        assert_eq!(
            shown(""),
            "\"\" is no host name, IP address or URL: a host name cannot be empty"
        );
        assert_eq!(
            shown("a.example:80"),
            "\"a.example:80\": with a port it must be a URL, which says what is spoken there: \
             http://a.example:80"
        );
        assert_eq!(
            shown("ftp://a.example"),
            "\"ftp://a.example\": only http:// and https:// URLs can be explained"
        );
        assert_eq!(
            shown("http://a.example:0"),
            "\"http://a.example:0\" is no host name, IP address or URL: a port is a number from 1 \
             to 65535"
        );
    }

    #[test]
    fn a_subject_survives_being_written_and_read() {
        for text in ["a.example", "2001:db8::1", "https://[2001:db8::1]:81", "http://a.example"] {
            let subject = Subject::parse(text).expect("valid");
            assert_eq!(Subject::parse(&subject.to_string()), Ok(subject));
        }
    }

    #[test]
    fn well_known_ports_have_one_protocol_and_others_both() {
        let name = Subject::parse("a.example").expect("valid");
        assert_eq!(
            name.cases(&[443, 8080]),
            [
                (Protocol::Http, 80),
                (Protocol::Tls, 443),
                (Protocol::Http, 8080),
                (Protocol::Tls, 8080)
            ]
        );
        let url = Subject::parse("https://a.example:8080").expect("valid");
        assert_eq!(url.cases(&[80]), [(Protocol::Tls, 8080)]);
    }
}
