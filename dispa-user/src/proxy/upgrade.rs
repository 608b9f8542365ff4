//! An exchange that leaves HTTP: WebSocket, as an Upgrade of HTTP/1.1 (RFC 9110 section 7.8) or on a
//! stream of HTTP/2 (RFC 8441), and other protocols that the configuration allows. Once both sides
//! agree their bytes are relayed unread.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use http_body::Body as _;
use http_body_util::{Either, Full};
use hyper::{body::Incoming, ext::Protocol as StreamProtocol, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    finish::{Record, Recorded},
    headers::{asked_upgrades, remove_one_hop},
    reply::{AnyBody, Refusal, Replier},
    serve::{Link, LinkKind, UnderWay},
    worker::Worker,
};
use crate::{
    config::Protocol,
    net::{self, Relayed, Side},
    types::Outcome,
    upstream::{ResponseBody, Tunnel},
};

/// RFC 6455 section 1.3.
const WEBSOCKET_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A change of protocol that a client asks for.
#[derive(Debug)]
pub(super) struct Asked {
    protocol: String,
    /// What a WebSocket's key is, towards whoever speaks HTTP/1.1: the client's own, or one of ours.
    key: HeaderValue,
    /// The client's stream, over HTTP/2.
    stream: Option<OnUpgrade>,
}

/// A change of protocol that was agreed to, on a connection of HTTP/1.1.
#[derive(Debug)]
pub(super) struct Switched {
    tunnel: Tunnel,
    record: Record,
    _under_way: UnderWay,
}

impl Asked {
    /// What `request` asks for, if it is one of `allowed`. A request with a body asks for nothing:
    /// where that ends and the other protocol begins would be one more thing to agree on.
    pub(super) fn by(request: &mut Request<Incoming>, allowed: &[String]) -> Option<Self> {
        let as_allowed = |name: &str| allowed.iter().find(|it| it.eq_ignore_ascii_case(name));
        if let Some(protocol) = request.extensions().get::<StreamProtocol>() {
            let protocol = protocol.as_str().to_owned();
            let stream = Some(hyper::upgrade::on(request));
            return Some(Self { protocol, key: new_key(), stream });
        }
        // In HTTP/1.0 there is none (RFC 9110 section 7.8).
        if request.version() != Version::HTTP_11 || !request.body().is_end_stream() {
            return None;
        }
        let protocol = asked_upgrades(request.headers()).find_map(as_allowed)?.clone();
        let key = request.headers().get(SEC_WEBSOCKET_KEY).cloned().unwrap_or_else(new_key);
        Some(Self { protocol, key, stream: None })
    }

    /// Asks the next hop, in its own way.
    pub(super) fn put(&self, request: &mut Request<Incoming>, protocol: Protocol) {
        match protocol {
            Protocol::Http1 => {
                if self.stream.is_some() {
                    *request.method_mut() = Method::GET;
                    request.extensions_mut().remove::<StreamProtocol>();
                    let fields = request.headers_mut();
                    fields.insert(SEC_WEBSOCKET_KEY, self.key.clone());
                    fields.entry(SEC_WEBSOCKET_VERSION).or_insert(HeaderValue::from_static("13"));
                }
                put_upgrade(request.headers_mut(), &self.protocol);
            }
            Protocol::Http2 => {
                *request.method_mut() = Method::CONNECT;
                request.headers_mut().remove(SEC_WEBSOCKET_KEY);
                let protocol = StreamProtocol::from(&*self.protocol);
                request.extensions_mut().insert(protocol);
            }
        }
    }
}

/// Whether a response to such a request agrees to it, by its status.
pub(super) fn is_agreed<B>(response: &Response<B>) -> bool {
    match response.version() {
        Version::HTTP_2 => response.status().is_success(),
        _ => response.status() == StatusCode::SWITCHING_PROTOCOLS,
    }
}

/// Passes the agreement on, in the client's way, and has relayed what follows.
pub(super) async fn switch(
    mut response: Response<ResponseBody>,
    asked: Asked,
    link: &Link,
    replier: Replier,
    mut record: Record,
) -> Response<AnyBody> {
    let broken = Refusal::of(Outcome::BackendFailed);
    if response.version() != Version::HTTP_2 && !agrees(response.headers(), &asked) {
        // It changes to what nobody asked for.
        return replier.refuse(&broken, record);
    }
    remove_one_hop(response.headers_mut());
    let (parts, body) = response.into_parts();
    let Some(tunnel) = body.into_tunnel().await else {
        return replier.refuse(&broken, record);
    };
    let mut fields = parts.headers;
    let under_way = replier.into_under_way();
    let status = match (asked.stream, &link.kind) {
        (Some(stream), _) => {
            fields.remove(SEC_WEBSOCKET_ACCEPT);
            record.status(StatusCode::OK);
            let limit = link.worker.state().http.websocket_timeout;
            link.worker.tasks.spawn(async move {
                let _under_way = under_way;
                match stream.await {
                    Ok(client) => relay_between(TokioIo::new(client), tunnel, record, limit).await,
                    Err(_) => record.client_aborted(),
                }
            });
            StatusCode::OK
        }
        (None, LinkKind::Http1 { switched, .. }) => {
            if parts.version == Version::HTTP_2 {
                fields.insert(SEC_WEBSOCKET_ACCEPT, accept(&asked.key));
            }
            put_upgrade(&mut fields, &asked.protocol);
            record.status(StatusCode::SWITCHING_PROTOCOLS);
            switched.replace(Some(Switched { tunnel, record, _under_way: under_way }));
            StatusCode::SWITCHING_PROTOCOLS
        }
        // Over HTTP/2 it is asked for by a stream, or not at all.
        (None, LinkKind::Http2 { .. }) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut answer = Response::new(Recorded::unrecorded(Either::Right(Full::default())));
    *answer.status_mut() = status;
    *answer.headers_mut() = fields;
    answer
}

/// Relays what follows an agreement on a connection of HTTP/1.1.
pub(super) async fn relay<C>(client: C, switched: Switched, worker: &Worker)
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let Switched { tunnel, record, _under_way } = switched;
    relay_between(client, tunnel, record, worker.state().http.websocket_timeout).await;
}

async fn relay_between<C>(
    mut client: C,
    mut tunnel: Tunnel,
    mut record: Record,
    limit: std::time::Duration,
) where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let Relayed { sent, received, failed } = net::relay(&mut client, tunnel.stream(), limit).await;
    record.bytes(sent, received);
    record.outcome(match failed {
        None => Outcome::Ok,
        Some(net::Failure::Side(Side::Client)) => Outcome::ClientAborted,
        Some(net::Failure::Side(Side::Server)) => Outcome::BackendFailed,
        Some(net::Failure::Idle) => Outcome::Timeout,
    });
}

/// Whether a 101 is to what was asked for; of a WebSocket, with the right key (RFC 6455 section
/// 4.1).
fn agrees(fields: &HeaderMap, asked: &Asked) -> bool {
    let same = asked_upgrades(fields).any(|name| name.eq_ignore_ascii_case(&asked.protocol));
    // A client of HTTP/1.1 checks that itself.
    same && (asked.stream.is_none()
        || fields.get(SEC_WEBSOCKET_ACCEPT) == Some(&accept(&asked.key)))
}

fn put_upgrade(fields: &mut HeaderMap, protocol: &str) {
    if let Ok(protocol) = HeaderValue::from_str(protocol) {
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        fields.insert(UPGRADE, protocol);
    }
}

/// RFC 6455 section 4.1.
fn new_key() -> HeaderValue {
    base64_value(&fastrand::u128(..).to_ne_bytes())
}

/// RFC 6455 section 4.2.2.
fn accept(key: &HeaderValue) -> HeaderValue {
    let digest = Sha1::new().chain_update(key.as_bytes()).chain_update(WEBSOCKET_GUID).finalize();
    base64_value(&digest)
}

fn base64_value(bytes: &[u8]) -> HeaderValue {
    // Base64 has no character that a field cannot have.
    HeaderValue::try_from(BASE64.encode(bytes)).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::{accept, new_key};

    #[test]
    fn the_answer_to_a_key_is_that_of_the_rfc() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_is_new_each_time() {
        assert_ne!(new_key(), new_key());
        assert_eq!(new_key().len(), 24);
    }
}
