//! The web page that shows what goes on: one file, and the questions it asks. Nothing can be changed
//! by it.
//!
//! Everybody on this host can reach the port, and so can every site that a browser on it has open. What
//! is told is told to who has the token; a request for a host that is not ours is refused, for a name
//! may be made to lead here after a stranger's page was loaded by it.

mod token;

use std::{io, net::IpAddr, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body::Body;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use super::{
    conversation::{self, Answer, answer},
    monitoring,
    serve::refusal,
    view::{self, View},
};
use crate::{
    config,
    net::{ListenError, Listener},
    state::{Live, Reloader},
    types::HostName,
};
use token::Token;

/// The page.
const PAGE: &str = include_str!("page.html");

/// What every answer says of itself: it is for nobody else, and for nothing else.
const FIELDS: [(HeaderName, HeaderValue); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// Where the page will be, once its port is open and its token there.
#[derive(Debug)]
pub struct PagePort {
    listener: Listener,
    gate: Gate,
}

impl PagePort {
    /// Opens the port, or goes on with the predecessor's, and reads or makes the token. `None` where no page
    /// is wanted, or it cannot be had and nobody insists.
    pub fn open(
        page: &config::Page,
        handed: Option<Listener>,
    ) -> Result<Option<Self>, ListenError> {
        let Some(port) = &page.port else { return Ok(None) };
        let Some(listener) = monitoring::open(port, "page", handed)? else { return Ok(None) };
        let address = listener.local_addr().unwrap_or(port.address);
        match Token::read_or_make(&page.token_file, address) {
            Ok(token) => {
                let gate = Gate::new(token, &page.allowed_hosts, address.ip());
                Ok(Some(Self { listener, gate }))
            }
            Err(error) => {
                tracing::warn!(%error, "no page: nobody could open it");
                Ok(None)
            }
        }
    }
}

impl PagePort {
    /// The same listener by another descriptor.
    pub fn share(&self) -> io::Result<Listener> {
        self.listener.try_clone()
    }
}

/// Serves the page until it is dropped.
#[derive(Debug)]
pub struct Page(JoinHandle<()>);

impl Page {
    /// Serves it at the port, on this runtime.
    #[must_use]
    pub fn serve(port: PagePort, live: &Arc<Live>, reloader: &Arc<Reloader>) -> Option<Self> {
        let PagePort { listener, gate } = port;
        let listener = monitoring::on_runtime(listener)?;
        let desk = Arc::new(Desk { gate, policy: policy(PAGE), view: View::new(live, reloader) });
        Some(Self(tokio::spawn(conversation::serve(listener, move |stream| {
            let desk = Arc::clone(&desk);
            conversation::converse(stream, move |request| {
                let desk = Arc::clone(&desk);
                async move { desk.answer(&request).await }
            })
        }))))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Who gets in.
#[derive(Debug)]
struct Gate {
    token: Token,
    hosts: Vec<HostName>,
}

impl Gate {
    fn new(token: Token, hosts: &[HostName], address: IpAddr) -> Self {
        let own = HostName::parse(&address.to_string());
        Self { token, hosts: hosts.iter().cloned().chain(own).collect() }
    }

    /// Whether the request is for a host of ours, by all that it says.
    fn is_ours(&self, uri: &Uri, fields: &HeaderMap) -> bool {
        let mut named = fields.get_all(header::HOST).iter();
        let (Some(host), None) = (named.next(), named.next()) else { return false };
        let is_ours = |text: &str| {
            HostName::from_authority(text).is_ok_and(|(host, _)| self.hosts.contains(&host))
        };
        host.to_str().is_ok_and(is_ours)
            && uri.authority().is_none_or(|authority| is_ours(authority.as_str()))
    }

    /// Whether the token comes with it (RFC 6750 section 2.1).
    fn admits(&self, fields: &HeaderMap) -> bool {
        let mut said = fields.get_all(header::AUTHORIZATION).iter();
        let (Some(said), None) = (said.next(), said.next()) else { return false };
        let Some((scheme, token)) = said.to_str().ok().and_then(|it| it.split_once(' ')) else {
            return false;
        };
        scheme.eq_ignore_ascii_case("bearer") && self.token.is(token.trim())
    }
}

/// What answers are made of.
#[derive(Debug)]
struct Desk {
    gate: Gate,
    policy: HeaderValue,
    view: View,
}

impl Desk {
    async fn answer<B: Body>(&self, request: &Request<B>) -> Answer {
        let mut answer = self.unguarded(request).await;
        answer.headers_mut().extend(FIELDS.map(|(name, value)| (Some(name), value)));
        answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        answer
    }

    async fn unguarded<B: Body>(&self, request: &Request<B>) -> Answer {
        if !self.gate.is_ours(request.uri(), request.headers()) {
            let why = "asked for by a host that is not in admin.allowed_hosts";
            return refusal(StatusCode::MISDIRECTED_REQUEST, why);
        }
        if request.method() != Method::GET {
            let mut refusal = refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET");
            refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
            return refusal;
        }
        if !request.body().is_end_stream() {
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, "a question has no body");
        }
        match request.uri().path() {
            "/" => answer(StatusCode::OK, "text/html; charset=utf-8", PAGE),
            path if !view::PATHS.contains(&path) => {
                let there_is = format!("there is only /, {}", view::PATHS.join(", "));
                refusal(StatusCode::NOT_FOUND, &there_is)
            }
            _ if !self.gate.admits(request.headers()) => {
                let mut refusal =
                    refusal(StatusCode::UNAUTHORIZED, "the token is missing or wrong");
                let scheme = HeaderValue::from_static("Bearer");
                refusal.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
                refusal
            }
            path => self.view.answer(path, request.uri().query().unwrap_or_default()).await,
        }
    }
}

/// What a browser lets the page do (CSP 3): run its own script and style, by their digests, and ask
/// where it came from.
fn policy(page: &str) -> HeaderValue {
    let digest = |element: &str| {
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        let text = page.split_once(&open).and_then(|(_, rest)| rest.split_once(&close));
        BASE64_STANDARD.encode(Sha256::digest(text.map_or("", |(text, _)| text)))
    };
    let (script, style) = (digest("script"), digest("style"));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    // Base64 has nothing that a field could not hold.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

#[cfg(test)]
mod tests;
