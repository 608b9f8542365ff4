//! The frames of an HTTP/2 client, counted by their headers (RFC 9113 section 4.1): h2 answers each
//! of them as it should, and would go on answering for ever.

use std::time::{Duration, Instant};

/// RFC 9113 section 3.4.
const PREFACE: usize = 24;
/// RFC 9113 section 4.1.
const HEADER: usize = 9;

/// RFC 9113 section 6: the types that are counted, or known to be harmless.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// RFC 9113 section 6.1.
const END_STREAM: u8 = 1;
/// RFC 9113 sections 6.2 and 6.10.
const END_HEADERS: u8 = 4;

const SECOND: Duration = Duration::from_secs(1);

/// What a client may send in a second.
#[derive(Clone, Copy, Debug)]
pub struct FloodLimits {
    /// `RST_STREAM` frames (CVE-2023-44487).
    pub resets: u32,
    /// Frames that carry nothing of an exchange: PING, SETTINGS, PRIORITY, unknown ones, and DATA
    /// without data (CVE-2019-9512, -9515, -9518).
    pub control: u32,
}

/// Why a connection is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// The client sends more than it may.
    #[error("more frames in a second than an exchange can need")]
    Flood,
    /// RFC 9113 section 3.4.
    #[error("the first frame is not SETTINGS")]
    NoSettings,
}

/// Counts the frames of one connection.
#[derive(Debug)]
pub struct Frames {
    limits: FloodLimits,
    /// Bytes to pass over: of the preface or of a payload.
    skip: usize,
    header: [u8; HEADER],
    seen: usize,
    second: Instant,
    resets: u32,
    control: u32,
    /// Since when a head, or the preface, has been incomplete.
    head: Option<Instant>,
    /// The present frame is the last of a head.
    head_ends: bool,
    /// The client has sent its settings.
    settled: bool,
}

impl Frames {
    /// Of a connection whose preface is still to come.
    #[must_use]
    pub const fn new(limits: FloodLimits, now: Instant) -> Self {
        let header = [0; HEADER];
        Self {
            limits,
            skip: PREFACE,
            header,
            seen: 0,
            second: now,
            resets: 0,
            control: 0,
            head: Some(now),
            head_ends: true,
            settled: false,
        }
    }

    /// Takes in what the client sent next.
    pub fn advance(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), FrameFault> {
        if now.saturating_duration_since(self.second) >= SECOND {
            (self.second, self.resets, self.control) = (now, 0, 0);
        }
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            self.end_head();
            let taken = (HEADER - self.seen).min(bytes.len());
            let (head, rest) = bytes.split_at(taken);
            self.header[self.seen..self.seen + taken].copy_from_slice(head);
            self.seen += taken;
            bytes = rest;
            if self.seen == HEADER {
                self.seen = 0;
                self.count(now)?;
                self.end_head();
            }
        }
        Ok(())
    }

    fn end_head(&mut self) {
        if self.skip == 0 && self.head_ends {
            (self.head, self.head_ends) = (None, false);
        }
    }

    /// Whether a head has been incomplete for longer than `limit`.
    #[must_use]
    pub fn head_is_older_than(&self, limit: Duration) -> bool {
        self.head.is_some_and(|since| since.elapsed() > limit)
    }

    fn count(&mut self, now: Instant) -> Result<(), FrameFault> {
        let [high, middle, low, kind, flags, ..] = self.header;
        self.skip = u32::from_be_bytes([0, high, middle, low]) as usize;
        if !std::mem::replace(&mut self.settled, true) {
            return if kind == SETTINGS { Ok(()) } else { Err(FrameFault::NoSettings) };
        }
        if matches!(kind, HEADERS | CONTINUATION) {
            self.head.get_or_insert(now);
            self.head_ends = flags & END_HEADERS != 0;
        }
        let (count, limit) = match kind {
            HEADERS | WINDOW_UPDATE | CONTINUATION => return Ok(()),
            DATA if self.skip > 0 || flags & END_STREAM != 0 => return Ok(()),
            RST_STREAM => (&mut self.resets, self.limits.resets),
            _ => (&mut self.control, self.limits.control),
        };
        *count += 1;
        if *count > limit { Err(FrameFault::Flood) } else { Ok(()) }
    }
}
