//! The token cache: one token for any number of callers, refreshed before it expires.

pub(crate) mod clock;
#[cfg(test)]
pub(crate) mod model;
pub(crate) mod sync;
#[cfg(test)]
mod tests;
pub(crate) mod token_cache;
