//! Interim responses of a backend (RFC 9110 section 15.2), passed on to a client of HTTP/1.1.

use std::{io::Write as _, rc::Rc};

use bytes::Bytes;
use http::{Request, StatusCode, Version};

use super::{
    headers::remove_one_hop,
    serve::{Link, LinkKind},
};
use crate::upstream::Interim;

/// Where the interim responses to `request` go. Not to a client of HTTP/1.0, who knows of none
/// (RFC 9110 section 15.2), nor to one of HTTP/2, to whom hyper has no way to send them.
pub(super) fn sink<B>(request: &Request<B>, link: &Link) -> Option<Interim> {
    let LinkKind::Http1 { hop, .. } = &link.kind else { return None };
    if request.version() != Version::HTTP_11 {
        return None;
    }
    let hop = Rc::clone(hop);
    Some(Rc::new(move |status: StatusCode, mut fields| {
        remove_one_hop(&mut fields);
        let mut head = Vec::new();
        // Writing to memory cannot fail.
        let reason = status.canonical_reason().unwrap_or("");
        let _ = write!(head, "HTTP/1.1 {} {reason}\r\n", status.as_u16());
        for (name, value) in &fields {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        hop.interim(Bytes::from(head));
    }))
}
