//! Judges what a backend sends, before hyper parses it: responses by RFC 9112, one for each request.

use std::{
    cell::{Cell, RefCell},
    fmt, io,
    rc::Rc,
    task::Poll,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header::UPGRADE};

use super::{Sending, go_ahead::GoAhead};
use crate::{
    framing::{BodyFrame, Fault, HeadLimits, ResponseScan},
    net::{Judge, Judgement},
};

/// Interim responses that one request may have.
const MOST_INTERIM: u32 = 16;

/// Who is told of interim responses other than 100.
pub type Interim = Rc<dyn Fn(StatusCode, HeaderMap)>;

/// What the two ends of an upstream connection, the one that asks and the one that judges the
/// answers, know of the exchange that is under way.
#[derive(Default)]
pub(super) struct Talk {
    /// A response is due.
    asked: Cell<bool>,
    to_head: Cell<bool>,
    may_switch: Cell<bool>,
    /// The response was whole, and nothing came after it.
    whole: Cell<bool>,
    /// The backend takes nothing any more; what it said before may still be an answer.
    deaf: Cell<bool>,
    interim: RefCell<Option<Interim>>,
    go_ahead: RefCell<Option<Rc<GoAhead>>>,
}

impl fmt::Debug for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Talk").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Talk {
    /// A request is about to be sent.
    pub(super) fn begin(&self, sending: &Sending) {
        self.asked.set(true);
        self.whole.set(false);
        self.to_head.set(*sending.request.method() == Method::HEAD);
        self.may_switch.set(sending.request.headers().contains_key(UPGRADE));
        self.interim.replace(sending.interim.clone());
        self.go_ahead.replace(sending.go_ahead.clone());
    }

    /// Whether the connection may be used for another exchange, as far as the backend goes.
    pub(super) fn is_clean(&self) -> bool {
        self.whole.get() && !self.deaf.get() && !self.asked.get()
    }

    fn interim(&self, head: &[u8], status: u16) {
        if let Some(go_ahead) = self.go_ahead.borrow().as_ref().filter(|_| status == 100) {
            return go_ahead.give();
        }
        if let Some(interim) = self.interim.borrow().as_ref().filter(|_| status != 100)
            && let Some((status, fields)) = parse(head)
        {
            interim(status, fields);
        }
    }

    fn ends(&self) {
        self.asked.set(false);
        self.whole.set(true);
        self.interim.take();
        self.go_ahead.take();
    }
}

/// The judge of one connection.
#[derive(Debug)]
pub(super) struct Outbound {
    limits: HeadLimits,
    talk: Rc<Talk>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Head {
        scan: ResponseScan,
        interim: u32,
    },
    Body(BodyFrame),
    /// It speaks another protocol now.
    Switched,
}

impl Outbound {
    pub(super) fn new(limits: HeadLimits, talk: Rc<Talk>) -> Self {
        Self { limits, talk, stage: Self::head(limits, 0) }
    }

    const fn head(limits: HeadLimits, interim: u32) -> Stage {
        Stage::Head { scan: ResponseScan::new(limits), interim }
    }

    fn advance(&mut self, bytes: &[u8]) -> Result<Judgement, Fault> {
        if bytes.is_empty() {
            return Ok(Judgement::More);
        }
        let taken = match &mut self.stage {
            Stage::Switched => return Ok(Judgement::Pass(bytes.len())),
            Stage::Body(body) => body.advance(bytes)?,
            Stage::Head { .. } if !self.talk.asked.get() => return Err(Fault::Excess),
            Stage::Head { scan, interim } => {
                let Some(head) = scan.advance(bytes, self.talk.to_head.get())? else {
                    return Ok(Judgement::More);
                };
                if head.is_interim() {
                    let interim = *interim + 1;
                    self.stage = Self::head(self.limits, interim);
                    if interim > MOST_INTERIM {
                        return Err(Fault::Interim);
                    }
                    self.talk.interim(bytes.get(..head.length).unwrap_or_default(), head.status);
                    return Ok(Judgement::Drop(head.length));
                }
                if head.status == 101 {
                    let asked = self.talk.may_switch.get();
                    self.stage = Stage::Switched;
                    return if asked {
                        Ok(Judgement::Pass(bytes.len()))
                    } else {
                        Err(Fault::Unasked)
                    };
                }
                let mut body = head.body;
                let taken = body.advance(bytes.get(head.length..).unwrap_or_default())?;
                self.stage = Stage::Body(body);
                head.length + taken
            }
        };
        if let Stage::Body(body) = &self.stage
            && body.is_done()
        {
            self.stage = Self::head(self.limits, 0);
            self.talk.ends();
        }
        Ok(Judgement::Pass(taken))
    }
}

impl Judge for Outbound {
    fn judge(&mut self, bytes: &[u8]) -> Judgement {
        self.advance(bytes).unwrap_or_else(Judgement::Refuse)
    }

    fn closed(&mut self, left: usize) -> Judgement {
        match &self.stage {
            Stage::Head { .. } if left > 0 => Judgement::Refuse(Fault::Incomplete),
            Stage::Head { .. } | Stage::Body(_) | Stage::Switched => Judgement::Pass(0),
        }
    }

    /// A backend may answer, and close, before it has taken the whole request: what it said is
    /// worth more than what it did not hear.
    fn wrote(
        &mut self,
        result: Poll<io::Result<usize>>,
        offered: usize,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Err(_)) if self.talk.asked.get() => {
                self.talk.deaf.set(true);
                Poll::Ready(Ok(offered))
            }
            result => result,
        }
    }
}

/// The fields of a head that was found sound.
fn parse(head: &[u8]) -> Option<(StatusCode, HeaderMap)> {
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut response = httparse::Response::new(&mut fields);
    response.parse(head).ok()?;
    let status = StatusCode::from_u16(response.code?).ok()?;
    let fields = response.headers.iter().map(|field| {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(field.value).ok()?))
    });
    let mut map = HeaderMap::new();
    for field in fields {
        let (name, value) = field?;
        map.append(name, value);
    }
    Some((status, map))
}
