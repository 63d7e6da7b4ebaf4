//! The serializable settings of an impersonation.

use serde::{Deserialize, Serialize};

/// The service account to impersonate: a serializable part of
/// [`CredentialConfig`](crate::CredentialConfig).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ImpersonationConfig {
    /// The service account's email address.
    pub target: String,
    /// The accounts between the source and the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delegates: Vec<String>,
    /// The scopes to request. Defaults to those of the options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// The lifetime of a token in seconds. Defaults to 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u64>,
    /// The project that the account's requests are billed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_project: Option<String>,
}
