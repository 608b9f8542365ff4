//! `cgroup/sendmsg4/6` (Linux 4.18) and `cgroup/recvmsg4/6` (Linux 5.2): DNS over UDP sockets that
//! are not connected goes to slots as well, and what comes back shows where it was sent.

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};
use dispa_common::Counter;

use crate::{
    GO_ON,
    connect::is_dns,
    peer::{restore4, restore6},
    redirect::{Outcomes, redirect4, redirect6},
};

pub const DATAGRAMS: Outcomes = Outcomes { v4: Counter::Dns4, v6: Counter::Dns6 };

#[cgroup_sock_addr(sendmsg4)]
pub fn dispa_send4(ctx: SockAddrContext) -> i32 {
    if is_dns(&ctx) {
        redirect4(&ctx, &DATAGRAMS);
    }
    GO_ON
}

#[cgroup_sock_addr(sendmsg6)]
pub fn dispa_send6(ctx: SockAddrContext) -> i32 {
    if is_dns(&ctx) {
        redirect6(&ctx, &DATAGRAMS);
    }
    GO_ON
}

#[cgroup_sock_addr(recvmsg4)]
pub fn dispa_receive4(ctx: SockAddrContext) -> i32 {
    restore4(&ctx);
    GO_ON
}

#[cgroup_sock_addr(recvmsg6)]
pub fn dispa_receive6(ctx: SockAddrContext) -> i32 {
    restore6(&ctx);
    GO_ON
}
