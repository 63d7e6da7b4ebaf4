//! Secrets are planted everywhere, and must not appear in any output.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod broker;
mod captured_output;
mod cases;
mod credential_kinds;
mod debug;
mod error_kinds;
mod hostile_server;
mod integrations;
mod logins;
mod malformed_credentials;
mod malformed_responses;
mod panics;
mod path_settings;
mod self_test;

/// Earth Engine's own OAuth client is in every copy of its Python client, and therefore not secret.
const PUBLIC_CLIENT_ID: &str =
    "517222506229-vsmmajv00ul0bs7p89v5m89qs8eb9359.apps.googleusercontent.com";
const PUBLIC_CLIENT_SECRET: &str = "RUP0RZ6e0pPhDzsqIJ7KlNd1";
