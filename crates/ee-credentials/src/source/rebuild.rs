//! Creating a credential again for other scopes.

use std::sync::Arc;

use ee_token::{SecretString, TokenSource};

use crate::iam::account::iam_scopes;
use crate::input::file::{FileFingerprint, read};
use crate::input::location::Location;
use crate::kinds;
use crate::kinds::credential::Credential;
use crate::kinds::service_account::{self, ServiceAccountKey};
use crate::source::reloading::{self, Reader};
use crate::{CredentialKind, CredentialOptions, Error};

/// The options and the input that a credential was created from.
#[derive(Clone)]
pub(crate) struct Rebuild {
    pub(crate) options: CredentialOptions,
    from: RebuildFrom,
}

#[derive(Clone)]
pub(crate) enum RebuildFrom {
    /// The scopes of its tokens are fixed.
    Nothing,
    /// A file, and its fingerprint when it was read.
    File(Location, Reader, FileFingerprint),
    Json(SecretString, Location),
    Key(Box<ServiceAccountKey>),
}

impl Rebuild {
    /// Keeps the input if the credential can request tokens for other scopes. Returns `None` for a
    /// login that the caller passed as text: neither its options nor its input are needed again.
    pub(crate) fn new(
        credential: &Credential,
        from: RebuildFrom,
        options: &CredentialOptions,
    ) -> Option<Self> {
        let has_other_scopes =
            names_scopes(credential.kind) || is_login(credential.kind) && options.scopes.is_some();
        let from = match from {
            from if has_other_scopes => from,
            RebuildFrom::Json(_, Location::InMemory) => return None,
            _ => RebuildFrom::Nothing,
        };
        Some(Self {
            options: options.clone(),
            from,
        })
    }

    /// Returns a source of tokens for IAM: with the scope of IAM alone if requests name scopes, and
    /// with all granted scopes for a login. Returns `None` if the scopes are fixed, or if the file
    /// of `current` now contains another identity.
    pub(crate) fn source_for_iam(
        &self,
        current: &Credential,
    ) -> Result<Option<Arc<dyn TokenSource>>, Error> {
        let options = CredentialOptions {
            self_signed_jwt: false,
            scopes: names_scopes(current.kind).then(iam_scopes),
            ..self.options.clone()
        };
        let credential = match &self.from {
            RebuildFrom::Nothing => return Ok(None),
            RebuildFrom::Key(key) => service_account::load((**key).clone(), &options)?,
            RebuildFrom::Json(text, location) => {
                kinds::load(text.expose_secret(), location, &options)?
            }
            RebuildFrom::File(location, reader, fingerprint) => {
                let file = read(location)?;
                let is_unchanged = file.fingerprint == *fingerprint;
                let (new, _) = reloading::load(file, location.clone(), *reader, &options)?;
                let is_same_identity = new.kind == current.kind
                    && current.identity.is_same(&new.identity) == Some(true);
                if !is_unchanged && !is_same_identity {
                    return Ok(None);
                }
                new
            }
        };
        Ok(Some(credential.source))
    }
}

/// Whether token requests must name scopes.
fn names_scopes(kind: CredentialKind) -> bool {
    matches!(
        kind,
        CredentialKind::ServiceAccount | CredentialKind::ExternalAccount
    )
}

/// Whether tokens have the scopes that a user granted, unless a request names fewer.
fn is_login(kind: CredentialKind) -> bool {
    matches!(
        kind,
        CredentialKind::AuthorizedUser | CredentialKind::EarthEngineFile
    )
}
