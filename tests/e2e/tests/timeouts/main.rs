//! Each timeout: it ends what does not move, not before its time and not long after, and leaves
//! alone what does.

mod backend;
mod bodies;
mod heads;
mod idle;
mod responses;
mod stopping;
mod upgrades;
