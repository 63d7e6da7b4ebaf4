//! OAuth scopes, in full and as short names.

/// The prefix of full scope names.
const PREFIX: &str = "https://www.googleapis.com/auth/";

/// Scopes without a prefix (OpenID Connect).
const BARE: [&str; 3] = ["openid", "email", "profile"];

pub(crate) const EARTHENGINE: &str = "https://www.googleapis.com/auth/earthengine";
pub(crate) const EARTHENGINE_READONLY: &str =
    "https://www.googleapis.com/auth/earthengine.readonly";
pub(crate) const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
pub(crate) const CLOUD_PLATFORM_READ_ONLY: &str =
    "https://www.googleapis.com/auth/cloud-platform.read-only";
pub(crate) const USERINFO_EMAIL: &str = "https://www.googleapis.com/auth/userinfo.email";
/// The scopes that let tokeninfo name the account's number.
pub(crate) const IDENTIFYING: [&str; 5] = [
    "openid",
    "email",
    "profile",
    USERINFO_EMAIL,
    "https://www.googleapis.com/auth/userinfo.profile",
];

/// The scopes of `gcloud auth application-default login --scopes=…` for Earth Engine.
pub(crate) const GCLOUD_LOGIN: [&str; 4] = ["openid", USERINFO_EMAIL, CLOUD_PLATFORM, EARTHENGINE];

/// The scopes that Earth Engine's Python client requests.
pub(crate) const EARTHENGINE_LOGIN: [&str; 4] = [
    EARTHENGINE,
    CLOUD_PLATFORM,
    "https://www.googleapis.com/auth/drive",
    "https://www.googleapis.com/auth/devstorage.full_control",
];

/// Expands a short scope name.
pub(crate) fn full(scope: &str) -> String {
    if scope.contains("://") || BARE.contains(&scope) {
        scope.to_owned()
    } else {
        format!("{PREFIX}{scope}")
    }
}

/// Expands a list of short scope names.
pub(crate) fn full_all<S: AsRef<str>>(scopes: &[S]) -> Vec<String> {
    scopes.iter().map(|scope| full(scope.as_ref())).collect()
}

/// Splits a space-separated `scope` parameter (RFC 6749 section 3.3).
pub(crate) fn split(scope: &str) -> Vec<String> {
    scope.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Returns whether Google would accept this scope. Short names are for tests only: in a request,
/// `earthengine` is an error.
pub(crate) fn is_known(scope: &str) -> bool {
    BARE.contains(&scope) || scope.len() > PREFIX.len() && scope.starts_with(PREFIX)
}
