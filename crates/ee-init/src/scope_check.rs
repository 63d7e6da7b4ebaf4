//! The check of a token's scopes, as far as they are known without a request.

use ee_credentials::{CredentialKind, Credentials, Warning};
use ee_token::{Remedy, Scopes};

use crate::{Error, ErrorKind};

/// What scopes permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everything that the account may do.
    Full,
    /// Reading, but no computation.
    ReadOnly,
    /// Nothing in Earth Engine.
    None,
}

pub(crate) fn access(scopes: &Scopes) -> Access {
    let any_of = |names: [&str; 2]| names.into_iter().any(|name| scopes.contains(name));
    if any_of(["earthengine", "cloud-platform"]) {
        Access::Full
    } else if any_of(["earthengine.readonly", "cloud-platform.read-only"]) {
        Access::ReadOnly
    } else {
        Access::None
    }
}

/// Returns the warning that the scopes are broader than Earth Engine needs, if the environment
/// chose them.
pub(crate) fn too_broad(kind: CredentialKind, granted: &Scopes) -> Option<Warning> {
    matches!(
        kind,
        CredentialKind::MetadataServer | CredentialKind::AuthorizedUser
    )
    .then(|| Warning::for_broad_scopes(granted))
    .flatten()
}

/// Fails if the credentials are known to lack every scope that Earth Engine accepts, and adds a
/// warning if they are [`too_broad`].
///
/// Sends no extra request except to a metadata server. Failures are ignored, because the next
/// request reports them.
pub(crate) async fn check(credentials: Credentials) -> Result<Credentials, Error> {
    let kind = credentials.kind();
    let granted = match kind {
        CredentialKind::ApiKey | CredentialKind::GdchServiceAccount => None,
        CredentialKind::MetadataServer => credentials.fetch_granted_scopes().await.ok().flatten(),
        CredentialKind::ServiceAccount
        | CredentialKind::ExternalAccount
        | CredentialKind::ImpersonatedServiceAccount => credentials.scopes().cloned(),
        // The token response lists the granted scopes, and the token is needed anyway.
        _ => match credentials.token().await {
            Ok(token) => token.scopes().cloned(),
            Err(_) => None,
        },
    };
    let Some(granted) = granted.filter(|scopes| !scopes.is_empty()) else {
        return Ok(credentials);
    };
    if access(&granted) == Access::None {
        return Err(insufficient(&credentials, &granted));
    }
    Ok(match too_broad(kind, &granted) {
        Some(warning) => credentials.with_warning(warning),
        None => credentials,
    })
}

fn insufficient(credentials: &Credentials, granted: &Scopes) -> Error {
    let error = Error::new(
        ErrorKind::InsufficientScopes,
        format!(
            "the credentials ({} from {}) only have the scopes {granted}, but Earth Engine needs earthengine or cloud-platform",
            credentials.kind(),
            credentials.origin(),
        ),
    )
    .with_remedy(match credentials.kind() {
        CredentialKind::MetadataServer => Remedy::new(
            "Stop the machine, give it the scope cloud-platform, and start it again. Or use other credentials.",
        )
        .command("gcloud compute instances set-service-account INSTANCE --scopes=cloud-platform")
        .url("https://cloud.google.com/compute/docs/access/service-accounts"),
        CredentialKind::AuthorizedUser => Remedy::new("Log in again with the scopes that Earth Engine needs.")
            .command("gcloud auth application-default login --scopes=https://www.googleapis.com/auth/earthengine,https://www.googleapis.com/auth/cloud-platform"),
        CredentialKind::EarthEngineFile => {
            Remedy::new("Log in again, and keep the boxes on the consent page checked.")
                .command("eectl auth login --force")
        }
        _ => Remedy::new("Request the scope earthengine or cloud-platform."),
    });
    match credentials.principal() {
        Some(principal) => error.with_principal(principal),
        None => error,
    }
}
