//! What a credential is, and where it was found.

use std::fmt;

/// What a credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialKind {
    /// A service account's private key.
    ServiceAccount,
    /// A person's login, as gcloud keeps it.
    AuthorizedUser,
    /// A person's login, as Earth Engine's own clients keep it.
    EarthEngineFile,
    /// Workload or workforce identity federation.
    ExternalAccount,
    /// A login through workforce identity federation.
    ExternalAccountAuthorizedUser,
    /// A service account that another credential acts as.
    ImpersonatedServiceAccount,
    /// A service account of Google Distributed Cloud.
    GdchServiceAccount,
    /// The service account of a machine in Google's cloud.
    MetadataServer,
    /// A token, or a way to get one, that the program brought along.
    AccessToken,
    /// An API key.
    ApiKey,
}

impl CredentialKind {
    /// Its name in messages and in JSON; for a file's kind, what the file says in `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "service_account",
            Self::AuthorizedUser => "authorized_user",
            Self::EarthEngineFile => "earthengine_file",
            Self::ExternalAccount => "external_account",
            Self::ExternalAccountAuthorizedUser => "external_account_authorized_user",
            Self::ImpersonatedServiceAccount => "impersonated_service_account",
            Self::GdchServiceAccount => "gdch_service_account",
            Self::MetadataServer => "metadata_server",
            Self::AccessToken => "access_token",
            Self::ApiKey => "api_key",
        }
    }
}

impl fmt::Display for CredentialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a credential was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialSource {
    /// A program made it of parts of its own.
    InMemory,
    /// Named to the search outright: a flag, an argument.
    Explicit,
    /// The variable `EARTHENGINE_TOKEN`.
    EnvEarthEngineToken,
    /// Earth Engine's own credentials file.
    EarthEngineFile,
    /// The file that the variable `GOOGLE_APPLICATION_CREDENTIALS` names.
    EnvGoogleApplicationCredentials,
    /// The file that `gcloud auth application-default login` writes.
    GcloudAdc,
    /// The metadata server of a machine in Google's cloud.
    MetadataServer,
}

impl CredentialSource {
    /// Its name in messages and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InMemory => "caller",
            Self::Explicit => "flag",
            Self::EnvEarthEngineToken => "env:EARTHENGINE_TOKEN",
            Self::EarthEngineFile => "earthengine_file",
            Self::EnvGoogleApplicationCredentials => "env:GOOGLE_APPLICATION_CREDENTIALS",
            Self::GcloudAdc => "gcloud_adc",
            Self::MetadataServer => "metadata_server",
        }
    }
}

impl fmt::Display for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
