//! Whether it is among those whose connections are intercepted. Only hits come here, and only where
//! not everybody's are.

use aya_ebpf::{EbpfContext as _, helpers::bpf_get_current_cgroup_id, programs::SockAddrContext};
use dispa_common::selection::{self, verdict};

use crate::maps::{self, SELECTED_CGROUPS, SELECTED_USERS};

/// By user first, which is always known. A cgroup that is not known yet is for the daemon to judge, once
/// the connection has reached it.
#[inline(always)]
pub fn is_selected(ctx: &SockAddrContext) -> bool {
    let by = maps::selection();
    let user = if by & selection::BY_USER != 0 { user(ctx.uid()) } else { 0 };
    if user & verdict::EXCLUDED != 0 {
        return false;
    }
    let is_included = user & verdict::INCLUDED != 0;
    if by & selection::USERS_ONLY != 0 && !is_included {
        return false;
    }
    if by & selection::BY_CGROUP == 0 {
        return true;
    }
    let cgroup = cgroup();
    cgroup & verdict::EXCLUDED == 0 && (is_included || cgroup & verdict::NOT_INCLUDED == 0)
}

#[inline(always)]
fn user(user: u32) -> u8 {
    // SAFETY: the daemon writes an entry once, before the programs are attached.
    unsafe { SELECTED_USERS.get(&user) }.copied().unwrap_or(0)
}

#[inline(always)]
fn cgroup() -> u8 {
    // SAFETY: a helper without arguments.
    let cgroup = unsafe { bpf_get_current_cgroup_id() };
    // SAFETY: one byte, whichever of two writes it is of.
    unsafe { SELECTED_CGROUPS.get(&cgroup) }.copied().unwrap_or(0)
}
