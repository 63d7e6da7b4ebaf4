//! Faults over real sockets: the error of each, what is retried, and recovery when the fault ends.
//! `docs/src/faults.md` has a row for each.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod broker;
mod certificates;
mod clocks;
mod crypto_providers;
mod disk;
mod google_hosts;
mod hosts;
mod identities;
mod proxy;
mod runtimes;
mod stale_connections;
