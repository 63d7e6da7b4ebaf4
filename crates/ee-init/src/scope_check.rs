//! Whether a token is good for Earth Engine at all, as far as that is known without asking
//! Google.

use ee_credentials::{CredentialKind, Credentials, Warning};
use ee_token::{Remedy, Scopes};

use crate::{Error, ErrorKind};

/// What some scopes are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Whatever the account may do.
    Everything,
    /// Requests that read, and no computation.
    Reading,
    Nothing,
}

pub(crate) fn good_for(scopes: &Scopes) -> Use {
    let any_of = |names: [&str; 2]| names.into_iter().any(|name| scopes.contains(name));
    if any_of(["earthengine", "cloud-platform"]) {
        Use::Everything
    } else if any_of(["earthengine.readonly", "cloud-platform.read-only"]) {
        Use::Reading
    } else {
        Use::Nothing
    }
}

/// The warning for scopes that are broader than Earth Engine needs, where the environment chose
/// them and nobody here.
pub(crate) fn too_broad(kind: CredentialKind, granted: &Scopes) -> Option<Warning> {
    matches!(
        kind,
        CredentialKind::MetadataServer | CredentialKind::AuthorizedUser
    )
    .then(|| Warning::for_broad_scopes(granted))
    .flatten()
}

/// Fails if the credentials are known to lack every scope that Earth Engine takes, and warns of
/// those that are [`too_broad`].
///
/// No request but those that are made anyway, and one to a metadata server. What goes wrong
/// with them is left for the request that follows to tell.
pub(crate) async fn check(credentials: Credentials) -> Result<Credentials, Error> {
    let kind = credentials.kind();
    let granted = match kind {
        CredentialKind::ApiKey | CredentialKind::GdchServiceAccount => None,
        CredentialKind::MetadataServer => credentials.fetch_granted_scopes().await.ok().flatten(),
        CredentialKind::ServiceAccount
        | CredentialKind::ExternalAccount
        | CredentialKind::ImpersonatedServiceAccount => credentials.scopes().cloned(),
        // The answer with the token says which were granted, and the token is needed anyway.
        _ => match credentials.token().await {
            Ok(token) => token.scopes().cloned(),
            Err(_) => None,
        },
    };
    let Some(granted) = granted.filter(|scopes| !scopes.is_empty()) else {
        return Ok(credentials);
    };
    if good_for(&granted) == Use::Nothing {
        return Err(lacking(&credentials, &granted));
    }
    Ok(match too_broad(kind, &granted) {
        Some(warning) => credentials.with_warning(warning),
        None => credentials,
    })
}

fn lacking(credentials: &Credentials, granted: &Scopes) -> Error {
    let error = Error::new(
        ErrorKind::InsufficientScopes,
        format!(
            "the credentials ({} from {}) are good for {granted} alone, and Earth Engine needs earthengine or cloud-platform",
            credentials.kind(),
            credentials.origin(),
        ),
    )
    .with_remedy(match credentials.kind() {
        CredentialKind::MetadataServer => Remedy::new(
            "Stop the machine, give it the scope cloud-platform, and start it again; or use other credentials.",
        )
        .command("gcloud compute instances set-service-account INSTANCE --scopes=cloud-platform")
        .url("https://cloud.google.com/compute/docs/access/service-accounts"),
        CredentialKind::AuthorizedUser => Remedy::new("Log in again for the scopes that Earth Engine needs.")
            .command("gcloud auth application-default login --scopes=https://www.googleapis.com/auth/earthengine,https://www.googleapis.com/auth/cloud-platform"),
        CredentialKind::EarthEngineFile => {
            Remedy::new("Log in again, and leave the boxes on the consent page ticked.")
                .command("eectl auth login --force")
        }
        _ => Remedy::new("Ask for the scope earthengine or cloud-platform."),
    });
    match credentials.principal() {
        Some(principal) => error.with_principal(principal),
        None => error,
    }
}
