//! Whether connections really arrive: the daemon's own probes that are under way, and what came of the last
//! look.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::lock;

/// Bytes that a probe hears which arrived where it should.
const WORD: usize = 8;

/// What is wrong with the path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Programs that are attached to nothing.
    #[error("no longer attached: {}", .0.join(", "))]
    Detached(Vec<&'static str>),
    /// The cgroup is not there.
    #[error("the cgroup {} was removed", .0.display())]
    CgroupRemoved(PathBuf),
    /// There is another one by its name.
    #[error("the cgroup {} was removed and made again, and what is in it now is not intercepted", .0.display())]
    CgroupReplaced(PathBuf),
    /// The programs pass everything on, and the daemon did not tell them to.
    #[error("redirection is paused in the kernel's map CONTROL, and not by dispa")]
    Paused,
    /// No heartbeat.
    #[error("a worker has shown no sign of life for {} ms: connections go direct", .0.as_millis())]
    Silent(Duration),
    /// Entries of the tables that are missing, or are other ones.
    #[error("{count} of the kernel's entries are not those of dispa, {example} among them")]
    Tables {
        /// Of those that were looked at.
        count: usize,
        /// One that is.
        example: String,
    },
    /// What the kernel says of itself cannot be read.
    #[error("the kernel does not tell: {0}")]
    Unreadable(String),
    /// A probe did not get where it should.
    #[error("a connection of dispa's own to {to} did not arrive: {why}")]
    NotArrived {
        /// What it asked for.
        to: SocketAddr,
        /// What came instead.
        why: String,
    },
    /// An IPv6 probe found no way.
    #[error("the route that leads IPv6 connections to dispa is gone: {0}")]
    NoRoute(String),
}

impl Fault {
    /// Whether attaching the programs anew may help.
    #[must_use]
    pub const fn is_loose(&self) -> bool {
        matches!(self, Self::Detached(_) | Self::CgroupReplaced(_))
    }

    /// What is to be done about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Detached(_) | Self::CgroupReplaced(_) => {
                "dispa attaches them again by itself; if that fails, its log says why"
            }
            Self::CgroupRemoved(_) => "make it again: dispa attaches to it by itself",
            Self::Paused | Self::Tables { .. } => {
                "find out who writes to dispa's maps (`bpftool map`), and restart dispa"
            }
            Self::Silent(_) => "the log tells why; restart dispa if it lasts",
            Self::Unreadable(_) => "the log of the kernel may tell why",
            Self::NotArrived { .. } => {
                "if nothing else is wrong, another program of the kernel is in the way: `dispa doctor` names them"
            }
            Self::NoRoute(_) => "restart dispa; whoever removed it may do it again",
        }
    }
}

/// How much is known of the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathStanding {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// Connections of the daemon's own arrived.
    Proven,
    /// They cannot, for it does not live where programs are intercepted; all else is as it should be.
    Assumed,
    /// Something is wrong.
    Broken,
}

impl PathStanding {
    /// The word that people and machines read.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Proven => "proven",
            Self::Assumed => "assumed",
            Self::Broken => "broken",
        }
    }
}

/// What came of looking.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How much is known.
    pub standing: PathStanding,
    /// Since when it has been so.
    pub since: Instant,
    /// When somebody looked last.
    pub looked: Instant,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

/// Probes, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeCounts {
    /// They arrived where they should.
    pub arrived: u64,
    /// They did not.
    pub failed: u64,
}

/// Shared by whoever sends probes, the workers at which they arrive, and whoever asks.
#[derive(Debug)]
pub struct Path {
    word: [u8; WORD],
    under_way: AtomicUsize,
    /// By the probe's own address: the destination that its slot is to stand for.
    expected: Mutex<HashMap<SocketAddr, SocketAddr>>,
    arrived: AtomicU64,
    failed: AtomicU64,
    finding: Mutex<Finding>,
    /// Where the next look at the tables begins.
    pub(super) next_entry: AtomicUsize,
}

impl Default for Path {
    fn default() -> Self {
        let now = Instant::now();
        let standing = PathStanding::Unknown;
        let finding = Finding { standing, since: now, looked: now, faults: Vec::new() };
        Self {
            // So that it cannot come from another by chance.
            word: fastrand::u64(..).to_ne_bytes(),
            under_way: AtomicUsize::new(0),
            expected: Mutex::default(),
            arrived: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            finding: Mutex::new(finding),
            next_entry: AtomicUsize::new(0),
        }
    }
}

/// A probe, until it is dropped.
#[derive(Debug)]
pub struct Expected<'a> {
    path: &'a Path,
    from: SocketAddr,
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        lock(&self.path.expected).remove(&self.from);
        self.path.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Path {
    /// A probe comes from `from`, to a slot that is to stand for `destination`. It is not on its way yet.
    pub fn expect(&self, from: SocketAddr, destination: SocketAddr) -> Expected<'_> {
        lock(&self.expected).insert(from, destination);
        self.under_way.fetch_add(1, Ordering::Release);
        Expected { path: self, from }
    }

    /// Whether what comes from `from` is a probe. Asked of every connection.
    #[must_use]
    pub fn expects(&self, from: SocketAddr) -> bool {
        self.under_way.load(Ordering::Acquire) > 0 && lock(&self.expected).contains_key(&from)
    }

    /// What the probe from `from` is to hear, which arrived at a slot that stands for `destination`; `None`:
    /// nothing, for that is another one.
    #[must_use]
    pub fn word_for(&self, from: SocketAddr, destination: SocketAddr) -> Option<[u8; WORD]> {
        (lock(&self.expected).get(&from) == Some(&destination)).then_some(self.word)
    }

    /// A probe heard `word`; whether that shows that it arrived.
    #[must_use]
    pub fn is_proof(&self, word: [u8; WORD]) -> bool {
        word == self.word
    }

    /// A probe has ended.
    pub fn count(&self, arrived: bool) {
        let count = if arrived { &self.arrived } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Probes so far.
    #[must_use]
    pub fn counts(&self) -> ProbeCounts {
        ProbeCounts {
            arrived: self.arrived.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// What somebody found who looked just now: `standing` if nothing is wrong.
    pub fn found(&self, standing: PathStanding, faults: Vec<Fault>, now: Instant) {
        let standing = if faults.is_empty() { standing } else { PathStanding::Broken };
        let mut finding = lock(&self.finding);
        let before = (finding.standing, std::mem::replace(&mut finding.faults, faults));
        if finding.standing != standing {
            (finding.standing, finding.since) = (standing, now);
        }
        finding.looked = now;
        match (before, standing) {
            ((PathStanding::Broken, _), PathStanding::Broken) => {}
            ((PathStanding::Broken, _), _) => tracing::info!("connections arrive again"),
            (_, PathStanding::Broken) => {
                for fault in &finding.faults {
                    let remedy = fault.remedy();
                    tracing::warn!(%fault, remedy, "connections may not be intercepted");
                }
            }
            _ => {}
        }
    }

    /// What is known at this moment.
    #[must_use]
    pub fn finding(&self) -> Finding {
        lock(&self.finding).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Path, PathStanding};
    use std::{
        net::SocketAddr,
        time::{Duration, Instant},
    };

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn only_a_probe_hears_the_word_and_only_at_the_slot_it_asked_for() {
        let path = Path::default();
        let [probe, program] = [address("127.0.0.1:1000"), address("127.0.0.1:1001")];
        let [wanted, other] = [address("192.0.2.1:80"), address("192.0.2.2:80")];
        let expected = path.expect(probe, wanted);
        assert!(path.expects(probe) && !path.expects(program));
        assert_eq!(path.word_for(program, wanted), None);
        assert_eq!(path.word_for(probe, other), None);
        assert!(path.word_for(probe, wanted).is_some_and(|word| path.is_proof(word)));
        assert!(!Path::default().is_proof(path.word));
        drop(expected);
        assert!(!path.expects(probe));
    }

    #[test]
    fn what_is_found_lasts_from_when_it_began() {
        let path = Path::default();
        assert_eq!(path.finding().standing, PathStanding::Unknown);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        path.found(PathStanding::Proven, Vec::new(), at(1));
        path.found(PathStanding::Proven, vec![Fault::Paused], at(2));
        path.found(PathStanding::Assumed, vec![Fault::Paused], at(3));
        let finding = path.finding();
        assert_eq!((finding.standing, finding.since), (PathStanding::Broken, at(2)));
        assert_eq!((finding.looked, finding.faults), (at(3), vec![Fault::Paused]));
        path.found(PathStanding::Proven, Vec::new(), at(4));
        let finding = path.finding();
        assert_eq!((finding.standing, finding.since), (PathStanding::Proven, at(4)));
        assert!(finding.faults.is_empty());
    }
}
