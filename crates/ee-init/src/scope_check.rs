//! The check of a token's scopes, as far as they are known without a request.

use ee_credentials::{CredentialKind, Credentials, Warning};
use ee_rest::internal::LOGIN_WITH_SCOPES;
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

/// Returns the warnings about the granted scopes: too few, and more than needed.
pub(crate) fn warnings(kind: CredentialKind, granted: &Scopes) -> Vec<Warning> {
    let missing = match access(granted) {
        _ if granted.is_empty() => None,
        Access::None => Some(
            "neither earthengine nor cloud-platform was granted: Earth Engine rejects this token",
        ),
        Access::ReadOnly => Some("the granted scopes allow reading, but no computation"),
        Access::Full => None,
    };
    let missing = missing.map(|text| Warning::new("insufficient_scopes", text, obtain(kind)));
    missing
        .into_iter()
        .chain(Warning::for_broad_scopes(granted))
        .collect()
}

/// Returns how to get the scopes that Earth Engine needs.
pub(crate) fn obtain(kind: CredentialKind) -> Remedy {
    match kind {
        CredentialKind::MetadataServer => Remedy::new(
            "Stop the machine, give it the scope cloud-platform, and start it again. Or use other credentials.",
        )
        .command("gcloud compute instances set-service-account INSTANCE --scopes=cloud-platform")
        .url("https://cloud.google.com/compute/docs/access/service-accounts"),
        CredentialKind::AuthorizedUser => Remedy::new(format!(
            "Log in again with the scopes earthengine and cloud-platform: with gcloud, or with `{LOGIN_WITH_SCOPES}`."
        ))
        .command("gcloud auth application-default login --scopes=https://www.googleapis.com/auth/earthengine,https://www.googleapis.com/auth/cloud-platform"),
        CredentialKind::EarthEngineFile => Remedy::new(
            "Log in again with the scopes earthengine and cloud-platform, and keep the boxes on the consent page checked.",
        )
        .command(LOGIN_WITH_SCOPES),
        _ => Remedy::new(
            "Request the scopes earthengine and cloud-platform, with --scopes earthengine,cloud-platform or .scopes(…).",
        ),
    }
}

/// Fails if the credentials are known to lack every scope that Earth Engine accepts, and adds a
/// warning if the environment chose scopes that are broader than needed.
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
    let is_of_environment = matches!(
        kind,
        CredentialKind::MetadataServer | CredentialKind::AuthorizedUser
    );
    let broad = Warning::for_broad_scopes(&granted).filter(|_| is_of_environment);
    Ok(match broad {
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
            credentials.source(),
        ),
    )
    .with_remedy(obtain(credentials.kind()));
    match credentials.principal() {
        Some(principal) => error.with_principal(principal),
        None => error,
    }
}
