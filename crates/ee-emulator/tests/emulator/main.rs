//! The emulator as its clients see it: every strictness rule and every fault, over HTTP.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod acting_as;
mod client;
mod code_grant;
mod compute;
mod earthengine;
mod faults;
mod federation;
mod jwt_grant;
mod lifecycle;
mod metadata;
mod notebook;
mod other_hosts;
mod refresh_grant;
