//! Token sources that wrap another source.

pub(crate) mod reloading;
