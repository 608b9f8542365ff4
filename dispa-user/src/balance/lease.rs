//! The count of exchanges under way, kept right by ownership.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Balancer;

/// One exchange under way on a backend. Dropping it, in whatever way the exchange ends, takes it
/// off the count.
#[derive(Debug)]
pub struct Lease {
    balancer: Arc<Balancer>,
    index: usize,
}

impl Lease {
    pub(super) fn new(balancer: Arc<Balancer>, index: usize) -> Self {
        if let Some(count) = balancer.outstanding.get(index) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Self { balancer, index }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(count) = self.balancer.outstanding.get(self.index) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
