//! Faults over real sockets: what a program is told, that nothing is lost, and that it goes on when
//! the fault ends. `docs/src/faults.md` has a row for each.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

#[path = "../../crates/ee-cli/tests/real_tls/certificates.rs"]
mod certificates;
mod clocks;
mod disk;
mod front;
mod hosts;
mod identities;
mod kept;
mod providers;
mod proxy;
mod runtimes;
mod town;
mod verifiers;
