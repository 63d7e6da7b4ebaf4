//! Adapters for other crates' credential traits.

#[cfg(feature = "google-cloud-auth")]
pub(crate) mod google_cloud_auth;
#[cfg(feature = "object_store")]
pub(crate) mod object_store;
