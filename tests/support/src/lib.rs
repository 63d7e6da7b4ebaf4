//! Servers, certificates and fixtures that the tests of several crates share.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]
#![allow(
    missing_debug_implementations,
    reason = "test servers and keys are not printed"
)]

pub mod canaries;
pub mod certificates;
pub mod faulty_server;
pub mod fleet;
pub mod http;
pub mod installed;
pub mod misplaced;
pub mod relay;
pub mod retirement;
pub mod round_trips;
pub mod subprocess;
pub mod success;
