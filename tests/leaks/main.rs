//! Secrets that are planted everywhere, and looked for wherever a text comes out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod answers;
mod broken;
mod canary;
mod debug;
mod every_kind;
mod hostile;
mod kinds;
mod logins;
mod misplaced;
mod other_ways;
mod panics;
mod path_settings;
mod self_test;
mod sinks;

/// Earth Engine's own OAuth client is in every copy of its Python client: no secret.
const PUBLIC_CLIENT_ID: &str =
    "517222506229-vsmmajv00ul0bs7p89v5m89qs8eb9359.apps.googleusercontent.com";
const PUBLIC_CLIENT_SECRET: &str = "RUP0RZ6e0pPhDzsqIJ7KlNd1";
