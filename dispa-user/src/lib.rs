//! The dispa daemon. ARCHITECTURE.md at the top of the repository is the map of this crate.
//!
//! Rooms, floor by floor; a room uses only rooms of lower floors.

// Floor 0: the words.
pub mod types;

// Floor 1: pure rules, and the life of tasks.
pub mod balance;
pub mod framing;
pub mod life;
pub mod rules;
pub mod sniff;

// Floor 2.
pub mod config;
pub mod exchange;
pub mod metrics;

// Floor 3.
pub mod net;

// Floor 4: each knows nothing of the others.
pub mod dns;
pub mod kernel;
pub mod sink;
pub mod upstream;

// Floor 5.
pub mod attribution;
pub mod keeper;
pub mod state;

// Floor 6.
pub mod proxy;

// Floor 7.
pub mod admin;
pub mod control;

// Floor 8.
pub mod app;
pub mod cli;
