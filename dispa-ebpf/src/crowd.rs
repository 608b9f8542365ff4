//! Whether the daemon has room for one more connection of this program.

use aya_ebpf::{EbpfContext as _, helpers::bpf_get_current_cgroup_id, programs::SockAddrContext};
use dispa_common::{ClientGroup, Counter, level};

use crate::{
    context::is_tcp,
    maps::{self, GREEDY},
};

/// As long as there is room for all nobody is looked up. The error is the outcome that passes the
/// connection on.
#[inline(always)]
pub fn has_room(ctx: &SockAddrContext, load: u32) -> Result<(), Counter> {
    if load == level::ROOM || !is_tcp(ctx) {
        return Ok(());
    }
    if load != level::CROWDED {
        return Err(Counter::OverLimit);
    }
    // SAFETY: a helper without arguments.
    let cgroup = unsafe { bpf_get_current_cgroup_id() };
    let group = ClientGroup { cgroup, user: ctx.uid(), padding: 0 };
    // SAFETY: whether it is there is all that is asked.
    if maps::clients_on() && unsafe { GREEDY.get(&group) }.is_some() {
        return Err(Counter::OverShare);
    }
    Ok(())
}
