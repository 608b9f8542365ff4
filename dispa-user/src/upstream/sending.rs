//! A request on its way to a backend, and to another one if need be.

use std::{fmt, io, rc::Rc, time::Duration};

use http::{
    HeaderValue, Request, Uri, Version,
    header::HOST,
    uri::{PathAndQuery, Scheme},
};
use hyper::body::Incoming;

use super::{
    Interim, UpstreamError,
    go_ahead::GoAhead,
    request_body::{BodyState, Kept, Progress, RequestBody},
};

/// A request as a client sent it, and what its sender wants beyond its response.
pub struct Outgoing {
    /// In the form that the server takes.
    pub request: Request<Incoming>,
    /// Who is told of interim responses.
    pub interim: Option<Interim>,
    /// Longest time to the beginning of its response, after the last of its body was sent.
    pub limit: Duration,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("request", &self.request).finish_non_exhaustive()
    }
}

/// A request on its way.
pub struct Sending {
    pub(super) request: Request<RequestBody>,
    pub(super) interim: Option<Interim>,
    pub(super) go_ahead: Option<Rc<GoAhead>>,
    pub(super) progress: Progress,
    pub(super) limit: Duration,
    /// `request` is all of it.
    whole: bool,
    /// How often it was given away, and did not come back as it was.
    sends: u32,
    /// It waits for one of our own connections.
    pub(super) in_line: bool,
    /// It was sent once more to the backend it was sent to.
    pub(super) was_repeated: bool,
    again: Option<Again>,
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("request", &self.request).finish_non_exhaustive()
    }
}

impl Sending {
    pub(super) fn new(
        request: Request<RequestBody>,
        interim: Option<Interim>,
        go_ahead: Option<Rc<GoAhead>>,
        progress: Progress,
        limit: Duration,
    ) -> Self {
        Self {
            request,
            interim,
            go_ahead,
            progress,
            limit,
            whole: true,
            sends: 0,
            in_line: false,
            was_repeated: false,
            again: None,
        }
    }

    /// Whether nothing of it has been sent: it may go wherever it likes.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        self.sends == 0
    }

    /// Whether it may be sent to another backend after `error`: nothing of it was sent, or it may be
    /// sent once more, and there is all that takes.
    #[must_use]
    pub fn may_go_elsewhere(&mut self, error: &UpstreamError) -> bool {
        if !error.is_no_reason_to_end() {
            return false;
        }
        self.whole || !is_answer(error) && self.repeats()
    }

    /// Whether `error` tells against the backend. Time that was spent waiting for our own limits does
    /// not.
    #[must_use]
    pub fn is_blamed_on_backend(&self, error: &UpstreamError) -> bool {
        error.is_the_backends() && !(self.in_line && matches!(error, UpstreamError::TimedOut(_)))
    }

    /// How much longer it may wait for its answer, all attempts together; while the client sends more
    /// of its body it may all the time.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.limit.saturating_sub(self.progress.since_client())
    }

    /// The client's body, of which nothing was sent; `None` if some was.
    #[must_use]
    pub fn into_body(mut self) -> Option<Incoming> {
        self.request.body_mut().take_client().filter(|_| self.whole && self.sends == 0)
    }

    /// How far its body has got.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// How long the backend has had for its answer.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.progress.since_last()
    }

    /// Tells it another host.
    pub fn rename(&mut self, host: &HeaderValue) {
        rename(&mut self.request, host);
    }

    /// The request; what is left of it is a request for nothing. What it takes to send it once more is
    /// kept if it may be: it is idempotent (RFC 9110 section 9.2.2), or `even_if_not`.
    pub(super) fn take(&mut self, even_if_not: bool) -> Request<RequestBody> {
        let keeps = even_if_not || self.request.method().is_idempotent();
        self.again = keeps.then(|| Again::of(&mut self.request));
        self.whole = false;
        self.sends += 1;
        let nothing = Request::new(RequestBody::nothing(&self.progress));
        std::mem::replace(&mut self.request, nothing)
    }

    /// It came back as it was given.
    pub(super) fn came_back(&mut self, request: Request<RequestBody>) {
        self.request = request;
        self.whole = true;
        self.sends -= 1;
    }

    /// The backend says that it has done nothing with it, which is as good as if it had come back.
    /// Whether it is whole again.
    pub(super) fn is_restored(&mut self) -> bool {
        let restored = self.is_kept();
        self.sends -= u32::from(restored);
        restored
    }

    /// Makes it whole again, if it may be sent twice; whoever had it must be gone.
    fn repeats(&mut self) -> bool {
        let may_be = self.again.as_ref().is_some_and(|it| it.head.method().is_idempotent());
        may_be && self.is_kept()
    }

    /// Whether it could be made whole again from what was kept of it.
    fn is_kept(&mut self) -> bool {
        let kept = self.again.take().and_then(|again| again.restore(&self.progress));
        let Some(kept) = kept else { return false };
        self.request = kept;
        self.whole = true;
        true
    }
}

/// What it takes to send a request once more.
struct Again {
    head: Request<()>,
    /// None where there is none to send.
    body: Option<Kept>,
}

impl Again {
    fn of(request: &mut Request<RequestBody>) -> Self {
        use http_body::Body as _;
        let head = head_of(request);
        let has_body = !request.body().is_end_stream();
        Self { head, body: has_body.then(|| request.body_mut().keep()) }
    }

    fn restore(self, progress: &Progress) -> Option<Request<RequestBody>> {
        let body = match &self.body {
            None => RequestBody::nothing(progress),
            Some(kept) => RequestBody::from_kept(kept, progress)?,
        };
        Some(self.head.map(|()| body))
    }
}

/// All of a request but its body; the protocol that an extended CONNECT asks for (RFC 8441 section 4) is
/// among the extensions.
#[must_use]
pub fn head_of<B>(request: &Request<B>) -> Request<()> {
    let mut head = Request::new(());
    request.method().clone_into(head.method_mut());
    request.uri().clone_into(head.uri_mut());
    request.headers().clone_into(head.headers_mut());
    *head.version_mut() = request.version();
    request.extensions().clone_into(head.extensions_mut());
    head
}

/// Whether a response came before all of its request was sent: the rest must not wait for the client
/// to read it, and its connection is not used again.
pub(super) fn response_is_early(progress: &Progress) -> bool {
    progress.state() != BodyState::Ended
}

/// Whose fault it is where a request broke off in its body.
pub(super) fn blame(error: UpstreamError, progress: &Progress) -> UpstreamError {
    match progress.state() {
        BodyState::Broken => UpstreamError::RequestBroken,
        BodyState::Stalled => UpstreamError::RequestStalled,
        BodyState::Open if progress.waits_for_client() => match error {
            UpstreamError::TimedOut(_) => UpstreamError::RequestStalled,
            error => error,
        },
        BodyState::Open | BodyState::Ended => error,
    }
}

/// Tells a request that its server is `host`.
pub fn rename<B>(request: &mut Request<B>, host: &HeaderValue) {
    if request.version() != Version::HTTP_2 {
        request.headers_mut().insert(HOST, host.clone());
    } else if let Some(target) = absolute_form(request.uri(), host) {
        *request.uri_mut() = target;
    }
}

/// The target in its parts, as HTTP/2 sends it (RFC 9113 section 8.3.1).
#[must_use]
pub fn absolute_form(target: &Uri, host: &HeaderValue) -> Option<Uri> {
    let path = target.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let builder = Uri::builder().scheme(Scheme::HTTP).authority(host.as_bytes());
    builder.path_and_query(path).build().ok()
}

/// Whether the backend said something, though nothing that makes sense: another one would not, the
/// second time.
fn is_answer(error: &UpstreamError) -> bool {
    use std::error::Error as _;
    let UpstreamError::Failed(error) = error else { return false };
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    error.is_parse() || source.is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
}
