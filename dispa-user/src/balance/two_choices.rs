//! The better of two that chance picks (Mitzenmacher, 2001), by load and by how slow each has been.

use std::time::Duration;

use super::{Member, load::FAILURE, random::Random};

/// The better of two that `random` picks.
pub(super) fn pick(
    random: &Random,
    members: &[Member],
    now: Duration,
    usable: impl Fn(usize) -> bool,
) -> Option<usize> {
    let one = random.pick(members, &usable)?;
    let Some(other) = random.pick(members, |index| index != one && usable(index)) else {
        return Some(one);
    };
    Some(if cost(&members[other], now) < cost(&members[one], now) { other } else { one })
}

/// What one exchange more would cost there. One that was never measured costs nothing, for it is to
/// be measured; while it is, it costs as much as one that fails. Nothing is forgotten as long as
/// answers are due: one that hangs must not look better the longer it does.
fn cost(member: &Member, now: Duration) -> f64 {
    let outstanding = member.load.outstanding();
    let latency = if outstanding == 0 {
        member.load.decayed(now).unwrap_or(0.0)
    } else {
        member.load.latency().unwrap_or(FAILURE).as_secs_f64() * 1e6
    };
    (f64::from(outstanding) + 1.0) * latency / f64::from(member.weight.max(1))
}
