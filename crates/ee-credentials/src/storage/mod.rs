//! Files that this crate writes: logins and cached tokens.

#[cfg(feature = "disk-cache")]
pub(crate) mod disk_cache;
#[cfg(feature = "login")]
pub(crate) mod login_file;
#[cfg(any(feature = "login", feature = "disk-cache"))]
pub(crate) mod private_file;
