//! Logging in.

mod consent;
mod pkce;
mod web;

pub use web::{Pending, WebFlow, WebLogin};
