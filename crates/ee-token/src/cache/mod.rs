//! The token cache: keeps one token current for any number of callers.

pub(crate) mod clock;
#[cfg(test)]
pub(crate) mod model;
pub(crate) mod sync;
#[cfg(test)]
mod tests;
pub(crate) mod token_cache;
