//! Sources of tokens around those of the kinds.

pub(crate) mod rebuild;
pub(crate) mod reloading;

#[cfg(feature = "disk-cache")]
use crate::CredentialKind;
use crate::CredentialOptions;
use crate::kinds::credential::Credential;

/// Adds the disk cache of the options to a credential that was read from `text`.
#[cfg(feature = "disk-cache")]
pub(crate) fn with_disk_cache(
    credential: Credential,
    text: &str,
    options: &CredentialOptions,
) -> Credential {
    // A token of an earlier process may live longer than this one's.
    let is_shortened = credential.kind == CredentialKind::ImpersonatedServiceAccount
        && options.max_token_lifetime.is_some();
    match &options.disk_cache {
        Some(cache) if !options.self_signed_jwt && !is_shortened => {
            crate::storage::disk_cache::keep(
                credential,
                text,
                cache,
                options.subject.as_deref(),
                options.http.endpoints(),
            )
        }
        _ => credential,
    }
}

/// Returns the credential: the feature `disk-cache` is off.
#[cfg(not(feature = "disk-cache"))]
pub(crate) fn with_disk_cache(
    credential: Credential,
    _: &str,
    _: &CredentialOptions,
) -> Credential {
    credential
}
