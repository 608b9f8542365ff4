//! `cgroup/connect4` and `cgroup/connect6` (Linux 4.17): a miss costs one hash lookup and, where it
//! matters who connects, a look at the port; a hit is rewritten to the slot of its original destination. TCP to what is intercepted, and UDP to DNS.

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};
use dispa_common::{Counter, DNS_PORT};

use crate::{
    GO_ON,
    admit::Whose,
    clients::{remember, remember_explicit4, remember_explicit6},
    context::{self, is_tcp, is_udp},
    datagram::DATAGRAMS,
    maps,
    redirect::{Outcomes, redirect4, redirect6},
};

const CONNECTIONS: Outcomes = Outcomes { v4: Counter::Redirected4, v6: Counter::Redirected6 };

#[cgroup_sock_addr(connect4)]
pub fn dispa_connect4(ctx: SockAddrContext) -> i32 {
    if is_tcp(&ctx) {
        match redirect4(&ctx, &CONNECTIONS) {
            Some(Whose::Program) => remember(&ctx),
            Some(Whose::Probe) => {}
            None => remember_explicit4(&ctx),
        }
    } else if is_dns(&ctx) {
        redirect4(&ctx, &DATAGRAMS);
    }
    GO_ON
}

#[cgroup_sock_addr(connect6)]
pub fn dispa_connect6(ctx: SockAddrContext) -> i32 {
    if is_tcp(&ctx) {
        match redirect6(&ctx, &CONNECTIONS) {
            Some(Whose::Program) => remember(&ctx),
            Some(Whose::Probe) => {}
            None => remember_explicit6(&ctx),
        }
    } else if is_dns(&ctx) {
        redirect6(&ctx, &DATAGRAMS);
    }
    GO_ON
}

/// Whether a UDP socket is about to speak to a resolver, and DNS is relayed.
#[inline(always)]
pub fn is_dns(ctx: &SockAddrContext) -> bool {
    maps::dns_on() && is_udp(ctx) && u16::from_be(context::port(ctx)) == DNS_PORT
}
