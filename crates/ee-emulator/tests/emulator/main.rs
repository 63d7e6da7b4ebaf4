//! Tests of the emulator over HTTP: each validation rule and each fault.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod client;
mod code_grant;
mod compute;
mod earthengine;
mod faults;
mod federation;
mod images;
mod impersonation;
mod jwt_grant;
mod lifecycle;
mod metadata;
mod notebook;
mod other_hosts;
mod refresh_grant;
