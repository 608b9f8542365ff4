//! What breaks around the daemon, or in it, costs nobody else anything. Each test prints its figures, which
//! `docs/faults.md` keeps.

mod around;
mod ends;
mod scene;
